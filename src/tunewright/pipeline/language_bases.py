"""Where a language model's base comes from: a folder, the hub, MLflow, or nothing but the training rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.models.catalogue import Base, resolve
from tunewright.registry.references import MODEL_URI
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.data.dataset import Dataset
    from tunewright.models.language.model import LanguageModel
    from tunewright.pipeline.job import Job

NEW = "new"
IDENTITY_CHARACTERS = 16


def language_base(job: Job, dataset: Dataset) -> Base:
    """Find the base of a language model; ``new`` is made from the training rows, once.

    Raises:
        InputError: When there is no such model, or it can't be used.
        TunewrightError: When the hub or the tracking store can't be reached.
    """
    config = job.recipe.model
    if config.name == NEW:
        folder = _fresh(job, dataset)
        return resolve(config.model_copy(update={"name": str(folder)}), base_dir=job.paths.root)
    if config.name.startswith(MODEL_URI):
        folder = _registered(job, config.name)
        return resolve(config.model_copy(update={"name": str(folder)}), base_dir=job.paths.root)
    return resolve(config, base_dir=job.paths.root)


def template_of(job: Job) -> Path | None:
    """Return the file with the chat template that the recipe names.

    Raises:
        InputError: When it isn't there.
    """
    name = job.recipe.model.template
    if name is None:
        return None
    path = job.paths.root / Path(name).expanduser()
    if not path.is_file():
        raise InputError("no such file", place=str(path), mend="check model.template")
    return path


def untouched(job: Job, base: Base) -> LanguageModel:
    """Open a base as it is, in full precision."""
    from tunewright.models.chat.tokenizer import open_chat_tokenizer
    from tunewright.models.language.description import Identity
    from tunewright.models.language.loading import load_causal
    from tunewright.models.language.model import LanguageModel, length_limit
    from tunewright.training.language.rows import loss_of

    chat = open_chat_tokenizer(base.folder, name=base.name, template=template_of(job))
    model = load_causal(base.folder, chat, trust_remote_code=job.recipe.model.trust_remote_code)
    return LanguageModel(
        chat,
        model,
        max_length=length_limit(chat, job.recipe.model.max_length),
        loss_on=loss_of(job.recipe.training.loss_on),
        base=Identity.of(base),
        source=base.folder,
    )


def _fresh(job: Job, dataset: Dataset) -> Path:
    """Make a model of random weights with a tokenizer trained on the training rows, or find it made already."""
    from tunewright.models.chat.texts import contents
    from tunewright.models.language.fresh import fresh_model, fresh_tokenizer, save_fresh

    new, seed = job.recipe.model.new, job.recipe.seed
    facts = {"data": dataset.manifest.digest, "new": new.model_dump(mode="json"), "seed": seed}
    folder = job.paths.state / "fresh" / digest_json(facts)[:IDENTITY_CHARACTERS]
    if not folder.is_dir():
        texts = (text for row in dataset.conversations("train") for text in contents(row))
        tokenizer = fresh_tokenizer(texts, vocabulary=new.vocabulary, context=new.context)
        save_fresh(folder, tokenizer, fresh_model(tokenizer, new, seed=seed))
    return folder


def _registered(job: Job, uri: str) -> Path:
    """Return the folder of a language model that MLflow holds whole."""
    from tunewright.models.language.storage import read_description
    from tunewright.registry.packaging import LANGUAGE_FOLDER
    from tunewright.registry.references import resolve as find
    from tunewright.registry.storage import model_folder
    from tunewright.registry.tracking import connect

    tracking = connect(job.recipe, job.paths)
    folder = model_folder(tracking, find(tracking, uri).uri) / LANGUAGE_FOLDER
    if not folder.is_dir():
        raise InputError("is no language model", place=uri, mend="name one in model.name")
    if read_description(folder).kind == "adapter":
        raise InputError(
            "is an adapter, and adapters aren't stacked",
            place=uri,
            mend=f"merge it first: `tunewright models merge {uri} --to FOLDER`, then set model.name=FOLDER",
        )
    return folder
