"""From what a person names to a copy that can be opened: ``python -m tunewright.serving.opening < REQUEST``.

A registered model is looked up, and converted if need be, in a process of its own: MLflow and torch are imported there,
and their memory goes with it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from tunewright.config.schema import Recipe  # noqa: TC001 -- pydantic reads the annotations
from tunewright.engines.copies import MANIFEST, read_manifest
from tunewright.engines.interface import Form
from tunewright.serving.served import Identity
from tunewright.support.console import say
from tunewright.support.environment import prepare_environment, quieten_libraries
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.paths import ProjectPaths

if TYPE_CHECKING:
    from tunewright.registry.references import Version
    from tunewright.registry.tracking import Tracking

MODULE = "tunewright.serving.opening"
REFERENCE = Form("transformers", "fp32")
CACHE = Path("cache") / "engines"


class Request(BaseModel):
    """What is to be found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: str
    recipe: Recipe
    root: Path
    sharing: Literal["no", "may", "must"] = "no"
    """Whether it is to be an adapter in a worker that others share."""
    base: Path | None = None
    """The copy of the base that such a worker has; any, where there is none yet."""
    adapters: tuple[str, ...] = ()
    """Further adapters, on the same base as the first."""


class Found(BaseModel):
    """A copy, and whose it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    name: str
    version: str
    aliases: tuple[str, ...] = ()
    certificate: Path | None = None
    """What it answered when it was made; None for a copy named by its folder."""
    is_proved: bool = True
    """Whether it was held against its certificate on a processor like this one, or needs no proof: Transformers in fp32
    is what certificates are made with."""
    called: str = ""
    """What it is called where it is served beside another one."""
    base: Path | None = None
    """For an adapter that shares a worker: the copy of its base."""

    @property
    def identity(self) -> Identity:
        """Which model it is."""
        manifest = read_manifest(self.folder)
        form, digest = str(manifest.form), manifest.model_digest
        return Identity(self.name, self.version, form, digest, self.aliases, self.called)


class _Reply(BaseModel):
    """What the process answers: copies, or the parts of an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    found: tuple[Found, ...] = ()
    fact: str = ""
    place: str = ""
    mend: str = ""
    is_input: bool = False


def find_copy(reference: str, recipe: Recipe, paths: ProjectPaths | None) -> Found:
    """Find what a person names.

    Args:
        reference: The folder of a copy, or a registered model: ``NAME``, ``NAME@alias``, ``NAME/3``; empty takes the
            project's champion.
        recipe: Says where models are registered.
        paths: The project, where there is one.

    Raises:
        InputError: When it names nothing that can be served.
        TunewrightError: When a model can't be converted.
    """
    if is_folder(reference):
        return _copy(Path(reference).expanduser().resolve())
    if paths is None:
        raise InputError(
            "is no copy's folder, and this is no project whose models could be meant",
            place=f"'{reference}'",
            mend="name a folder with engine.json, or run this inside a project",
        )
    return ask(Request(reference=reference, recipe=recipe, root=paths.root))[0]


def is_folder(reference: str) -> bool:
    """Tell whether a person names the folder of a copy."""
    return bool(reference) and (Path(reference).expanduser() / MANIFEST).is_file()


def ask(request: Request) -> tuple[Found, ...]:
    """Let a process of its own find what is to be served.

    Raises:
        InputError: When something named can't be.
        TunewrightError: When a model can't be converted.
    """
    done = subprocess.run(
        [sys.executable, "-m", MODULE],
        input=request.model_dump_json(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return read_reply(done.stdout, done.returncode, request.reference)


def watchable(reference: str, recipe: Recipe, paths: ProjectPaths | None) -> Request | None:
    """Return what is to be watched of what a person names; None where it can't come to mean another version."""
    is_version = reference.rpartition("/")[2].isdecimal()
    if paths is None or is_folder(reference) or is_version:
        return None
    return Request(reference=reference, recipe=recipe, root=paths.root)


def read_reply(said: str, code: int | None, reference: str) -> tuple[Found, ...]:
    """Read what the process of an opening said.

    Args:
        said: Its standard output.
        code: Its exit code.
        reference: What was to be opened.

    Raises:
        InputError: When that names nothing.
        TunewrightError: When it can't be served.
    """
    try:
        reply = _Reply.model_validate_json(said.rpartition("\n")[2])
    except ValueError as error:
        raise TunewrightError(f"its opening ended with exit code {code}", place=reference) from error
    if not reply.found:
        kind = InputError if reply.is_input else TunewrightError
        raise kind(reply.fact, place=reply.place, mend=reply.mend)
    return reply.found


def registered_copy(request: Request) -> Found:
    """Find the copy that is registered with a version, or make one; this imports MLflow, and torch to convert.

    Raises:
        InputError: When there is no such version, or it must share a base and can't.
        TunewrightError: When its copy is gone, or it can't be converted.
    """
    from tunewright.engines.registering import attached, is_proved_here
    from tunewright.registry.packaging import CERTIFICATE_FILE
    from tunewright.registry.storage import model_folder
    from tunewright.registry.tracking import connect

    tracking = connect(request.recipe, ProjectPaths(request.root))
    version, folder, base = _shared(tracking, request)
    if base is None:
        version, folder = attached(tracking, request.reference)
    return Found(
        folder=folder or _made(tracking, version),
        name=version.name,
        version=str(version.version),
        aliases=version.aliases,
        certificate=model_folder(tracking, version.uri) / CERTIFICATE_FILE,
        is_proved=folder is None or is_proved_here(version),
        base=base,
    )


def main() -> None:
    """Answer one request on standard output."""
    prepare_environment()
    quieten_libraries()
    request = Request.model_validate_json(sys.stdin.read())
    try:
        reply = _Reply(found=_all(request))
    except TunewrightError as error:
        reply = _Reply(
            fact=error.fact, place=error.place, mend=error.mend, is_input=isinstance(error, InputError)
        )
    sys.stdout.write("\n" + reply.model_dump_json())


def _all(request: Request) -> tuple[Found, ...]:
    """Find the first one, and the adapters on its base."""
    first = registered_copy(request)
    others = (request.model_copy(update={"reference": each, "base": first.base}) for each in request.adapters)
    return first, *map(registered_copy, others)


def _copy(folder: Path) -> Found:
    """Name a copy by its folder."""
    manifest = read_manifest(folder)
    return Found(folder=folder, name=folder.name, version=manifest.model_digest[:12])


def _shared(tracking: Tracking, request: Request) -> tuple[Version, Path | None, Path | None]:
    """Return a version, and the copies of its adapter and of its base where it shares that.

    Raises:
        InputError: When it must share it and can't.
    """
    from tunewright.registry.references import find_version
    from tunewright.serving.adapter_copies import adapter_copies

    version = find_version(tracking, request.reference)
    if request.sharing == "no":
        return version, None, None
    try:
        return version, *adapter_copies(tracking, version, tracking.state / CACHE, base=request.base)
    except InputError:
        if request.sharing == "must":
            raise
        return version, None, None


def _made(tracking: Tracking, version: Version) -> Path:
    """Convert a version for the reference engine; the same one is converted once.

    Raises:
        TunewrightError: When it can't be converted.
    """
    import tempfile

    from tunewright.registry.language_models import is_language_model

    say(f"{version.reference} has no copy yet: it is served by {REFERENCE}, the slowest engine")
    make = _made_language_model if is_language_model(tracking, version.reference) else _made_classifier
    with tempfile.TemporaryDirectory() as name:
        return make(tracking, version, Path(name) / "source")


def _made_classifier(tracking: Tracking, version: Version, place: Path) -> Path:
    from tunewright.engines.conversion import classifier_source, convert
    from tunewright.engines.text_side import TextFacts
    from tunewright.registry.models import load

    classifier = load(tracking, version.reference)
    source = classifier_source(classifier, place)
    return convert(source, REFERENCE, tracking.state / CACHE, text=TextFacts.of(classifier))


def _made_language_model(tracking: Tracking, version: Version, place: Path) -> Path:
    from tunewright.engines.conversion import convert
    from tunewright.engines.language_side import language_source
    from tunewright.registry.language_models import load_language_certificate, load_language_model

    certificate = load_language_certificate(tracking, version.reference)
    probes = [[*probe.token_ids, *probe.written] for probe in certificate.probes]
    model = load_language_model(tracking, version.reference)
    source, facts = language_source(model, place, probes=probes, bound=certificate.bound)
    return convert(source, REFERENCE, tracking.state / CACHE, language=facts)


if __name__ == "__main__":
    main()
