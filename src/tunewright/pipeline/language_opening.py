"""Language models by any name a person would use: a version, an alias, a folder, an adapter, a remote folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import read_json, writing_folder

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.models.language.model import LanguageModel
    from tunewright.support.paths import ProjectPaths

SCHEMES = ("s3://", "gs://", "gcs://", "abfs://", "az://", "file://", "http://", "https://", "memory://")
CACHE = Path("~/.cache/tunewright/models")
MOST_BYTES = 2 << 40


def open_language_model(
    reference: str, recipe: Recipe, *, paths: ProjectPaths | None = None, here: Path | None = None
) -> LanguageModel:
    """Open a language model.

    Args:
        reference: A folder that we, Transformers or PEFT saved, the address of such a folder for fsspec
            (``s3://…``), or inside a project ``NAME``, ``NAME@alias``, ``NAME/3``, ``models:/…``; empty takes
            the project's champion.
        recipe: Settings of the model section.
        paths: The project, where there is one.
        here: What a relative folder is relative to; the working directory by default.

    Raises:
        InputError: When it names nothing that can be opened.
        TunewrightError: When it can't be fetched.
    """
    start = here or Path.cwd()
    if reference.startswith(SCHEMES):
        return _open_folder(_fetched(reference), recipe, start)
    folder = start / Path(reference).expanduser()
    if reference and folder.is_dir():
        return _open_folder(folder, recipe, start)
    if paths is None:
        raise InputError(
            "no such folder, and this is no project whose models could be meant",
            place=f"'{reference}'",
            mend="name a folder, an address such as s3://…, or run this inside a project",
        )
    from tunewright.registry.language_models import is_language_model, load_language_model
    from tunewright.registry.tracking import connect

    tracking = connect(recipe, paths)
    if not is_language_model(tracking, reference):
        raise InputError(
            "is a classifier",
            place=reference or "the champion",
            mend="ask it with `tunewright predict`",
        )
    return load_language_model(tracking, reference)


def _open_folder(folder: Path, recipe: Recipe, start: Path) -> LanguageModel:
    """Open what lies in a folder, an adapter on the base that it names."""
    from tunewright.models.language.model import LanguageModel
    from tunewright.models.language.storage import ADAPTER_CONFIG, DESCRIPTION, read_description

    if (folder / DESCRIPTION).is_file():
        description = read_description(folder)
        if description.kind == "full":
            return LanguageModel.load(folder)
        named = description.base.location or description.base.name if description.base else ""
        return LanguageModel.load(folder, base_folder=_base(named, folder, recipe, start))
    if (folder / ADAPTER_CONFIG).is_file():
        named = str(read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path") or "")
        return _plain(_base(named, folder, recipe, start), recipe, adapter=folder)
    return _plain(folder, recipe)


def _base(named: str, folder: Path, recipe: Recipe, start: Path) -> Path:
    """Find the base that an adapter names: a folder, or a model of the hub."""
    from tunewright.models.catalogue import resolve

    if not named:
        raise InputError(
            "is an adapter that names no base",
            place=str(folder),
            mend="write its base_model_name_or_path into adapter_config.json",
        )
    return resolve(recipe.model.model_copy(update={"name": named}), base_dir=start).folder


def _plain(folder: Path, recipe: Recipe, *, adapter: Path | None = None) -> LanguageModel:
    """Open a folder that Transformers saved, perhaps with one that PEFT saved on it."""
    from tunewright.models.chat.tokenizer import open_chat_tokenizer
    from tunewright.models.language.loading import load_causal
    from tunewright.models.language.model import LanguageModel, length_limit

    tokenizer = adapter if adapter and (adapter / "tokenizer.json").is_file() else folder
    template = Path(recipe.model.template) if recipe.model.template else None
    chat = open_chat_tokenizer(tokenizer, name=str(folder), template=template)
    model = load_causal(folder, chat, trust_remote_code=recipe.model.trust_remote_code)
    if adapter is not None:
        from peft import PeftModel

        try:
            model = PeftModel.from_pretrained(model, str(adapter)).eval()
        except (RuntimeError, ValueError, OSError, TypeError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"can't be opened ({first[:200]})", place=str(adapter)) from error
    return LanguageModel(
        chat,
        model,
        max_length=length_limit(chat, recipe.model.max_length),
        method="full" if adapter is None else "lora",
        source=None if adapter else folder,
    )


def _fetched(address: str) -> Path:
    """Download a remote folder into the cache, whole or not at all; what lies there already is taken.

    Raises:
        InputError: When there is nothing.
        TunewrightError: When its store can't be reached.
    """
    import fsspec

    try:
        store, path = fsspec.core.url_to_fs(address)
        files = store.find(path, detail=True)
    except (OSError, ValueError, ImportError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TunewrightError(
            f"can't be reached ({first[:200]})",
            place=address,
            mend="check address and credentials; `pip install 'tunewright[cloud]'` brings the stores",
        ) from error
    if not files:
        raise InputError("holds no file", place=address, mend="check the address")
    state = digest_json({name: [facts.get("size"), str(facts.get("ETag"))] for name, facts in files.items()})
    folder = CACHE.expanduser() / digest_json([address, state])[:32]
    if folder.is_dir():
        return folder
    if sum(int(facts.get("size") or 0) for facts in files.values()) > MOST_BYTES:
        raise InputError("is larger than any model", place=address, mend="name the model's own folder")
    with writing_folder(folder) as target:
        for name in files:
            place = target / Path(name).relative_to(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            store.get_file(name, str(place))
    return folder
