"""A converted copy on disk: what it is a copy of, made with what, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tunewright.engines.catalogue import engine, require_installed
from tunewright.engines.classifier import EngineClassifier
from tunewright.engines.generator import EngineLanguageModel
from tunewright.engines.interface import Adapting, Form, Task
from tunewright.engines.language_side import LanguageFacts, LanguageSide
from tunewright.engines.text_side import TextFacts, TextSide
from tunewright.support.digests import digest_file
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import read_model, size_of, write_json

if TYPE_CHECKING:
    from tunewright.engines.interface import Generator

MANIFEST = "engine.json"
MEND = "convert again: `tunewright optimize`"


class Manifest(BaseModel):
    """What ``engine.json`` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    task: Task
    form: Form
    model_digest: str
    """Of the weights that were converted."""
    text: TextFacts | None = None
    """For a classifier."""
    language: LanguageFacts | None = None
    """For a language model."""
    base: str = ""
    """For an adapter's copy: the digest of the base that it stands on."""
    packages: dict[str, str]
    """Versions of the libraries that made it."""
    files: dict[str, str]
    """SHA-256 of every other file."""


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Write ``engine.json`` with the digest of every file that lies in the folder; return it."""
    files = {
        path.relative_to(folder).as_posix(): digest_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    sealed = manifest.model_copy(update={"files": files})
    write_json(folder / MANIFEST, sealed.model_dump(mode="json"))
    return sealed


def read_manifest(folder: Path) -> Manifest:
    """Read ``engine.json``.

    Raises:
        InputError: When it is missing.
        TunewrightError: When it isn't one of this version.
    """
    absent = "name the folder of a converted copy"
    return read_model(folder / MANIFEST, Manifest, absent=absent, mend=MEND, fault=TunewrightError)


def language_facts(folder: Path) -> LanguageFacts:
    """Return what an engine must know about the language model that a copy is of.

    Raises:
        InputError: When it is a classifier's copy.
    """
    facts = read_manifest(folder).language
    if facts is None:
        raise InputError("is a classifier's copy, no language model's", place=str(folder))
    return facts


def verify(folder: Path) -> Manifest:
    """Compare every file with its digest.

    Raises:
        TunewrightError: For the first that is missing or has changed.
    """
    manifest = read_manifest(folder)
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file() or digest_file(path) != digest:
            fact = "has changed since it was certified" if path.is_file() else "is missing"
            raise TunewrightError(fact, place=str(path), mend=MEND)
    return manifest


def open_classifier(folder: Path, *, threads: int) -> EngineClassifier:
    """Open a classifier's copy after comparing its files with their digests.

    Args:
        folder: The copy.
        threads: Processor threads that it may use.

    Raises:
        InputError: When it is a language model's, or its engine isn't installed.
        TunewrightError: When it is damaged.
    """
    manifest = verify(folder)
    if manifest.text is None:
        raise InputError("is a language model's copy, no classifier's", place=str(folder))
    runtime = engine(manifest.form.engine)
    require_installed(runtime)
    text = TextSide.open(folder, manifest.text)
    return EngineClassifier(text, runtime.open_scorer(folder, manifest.form.precision, threads))


def open_generator(folder: Path, *, threads: int, slots: int) -> Generator:
    """Open the weights of a language model's copy, which take and give token ids.

    Args:
        folder: The copy.
        threads: Processor threads that it may use.
        slots: Requests at once.

    Raises:
        InputError: When it is a classifier's, or its engine isn't installed.
        TunewrightError: When it is damaged.
    """
    return _generator(folder, verify(folder), threads, slots)


def bring_adapter(generator: Generator, base: str, name: str, folder: Path) -> None:
    """Let an opened base take an adapter in, after comparing the adapter's files with their digests.

    Args:
        generator: The opened base.
        base: The digest of its weights.
        name: What requests call the adapter.
        folder: The adapter's copy.

    Raises:
        InputError: When the engine holds no adapters, or the adapter stands on another base or doesn't fit.
        TunewrightError: When it is damaged.
    """
    manifest = verify(folder)
    if not isinstance(generator, Adapting):
        raise InputError("its engine holds no adapters", place=str(folder), mend="use transformers or remote")
    if manifest.base != base:
        raise InputError("is no adapter of the base that is open", place=str(folder))
    generator.bring(name, folder)


def open_language_model(folder: Path, *, threads: int, slots: int) -> EngineLanguageModel:
    """Open a language model's copy with its tokenizer and template, as ``open_generator`` does."""
    manifest = verify(folder)
    side = LanguageSide.open(folder, language_facts(folder))
    return EngineLanguageModel(side, _generator(folder, manifest, threads, slots))


def copy_bytes(folder: Path) -> int:
    """Return the bytes of a copy on disk."""
    return size_of(folder)


def _generator(folder: Path, manifest: Manifest, threads: int, slots: int) -> Generator:
    """Open the weights of a copy whose files were compared."""
    language_facts(folder)
    if manifest.base:
        raise InputError("is an adapter's copy, which answers on its base only", place=str(folder))
    runtime = engine(manifest.form.engine)
    require_installed(runtime)
    return runtime.open_generator(folder, manifest.form.precision, threads, slots)
