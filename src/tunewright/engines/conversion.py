"""Conversion, kept by digest: the same model, engine, precision and libraries are converted once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.catalogue import engine, package_versions, require_installed
from tunewright.engines.children import ConvertJob, run_child
from tunewright.engines.copies import MANIFEST, Manifest, read_manifest, seal
from tunewright.engines.interface import Form, Source
from tunewright.engines.language_side import LanguageFacts, copy_language_side
from tunewright.engines.text_side import TOKENIZER, TextFacts
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError
from tunewright.support.files import read_json, writing_folder
from tunewright.support.locks import locked

if TYPE_CHECKING:
    from tunewright.models.classifier import Classifier

FORMAT = 2
"""Counted up when an engine's copies change their layout: older ones are made again."""


def classifier_source(classifier: Classifier, folder: Path) -> Source:
    """Write a classifier as an engine converts it: whole, an adapter folded in.

    Args:
        classifier: What was trained; it isn't changed.
        folder: Where to write.
    """
    classifier.merged().save(folder)
    if not (folder / TOKENIZER).is_file():
        raise InputError(
            "its tokenizer has no tokenizer.json, which every engine but transformers needs",
            place=str(folder),
            mend="serve it with the engine transformers",
        )
    return Source(
        task="classification",
        folder=folder,
        config=read_json(folder / "config.json"),
        digest=classifier.digest(),
        labels=len(classifier.label_names),
    )


def convert(
    source: Source,
    form: Form,
    cache: Path,
    *,
    calibration: Sequence[Sequence[int]] = (),
    text: TextFacts | None = None,
    language: LanguageFacts | None = None,
) -> Path:
    """Convert a model, unless the same was converted before; return the copy's folder.

    Args:
        source: The model.
        form: Engine and precision.
        cache: Folder of all copies.
        calibration: Token ids of real texts, for static quantisation.
        text: For a classifier, what its tokenizer's file doesn't say.
        language: For a language model, what ``language_source`` gave.

    Raises:
        InputError: When the engine isn't installed, or refuses the architecture.
        TunewrightError: When the converter fails.
    """
    runtime = engine(form.engine)
    require_installed(runtime)
    if why := runtime.refusal(source, form.precision):
        raise InputError(why, place=f"{form}")
    versions = package_versions(runtime)
    facts = [each.model_dump(mode="json") if each else None for each in (text, language)]
    stored = Form(form.engine, runtime.stored_as(form.precision))
    calibrated = digest_json([list(row) for row in calibration])
    key = digest_json([FORMAT, source.digest, str(stored), versions, facts, calibrated])[:12]
    folder = cache / f"{source.digest[:12]}-{form.engine}-{form.precision}-{key}"
    with locked(cache / f"{folder.name}.lock", what=f"the conversion to {form}"):
        if (folder / MANIFEST).is_file() and read_manifest(folder).model_digest == source.digest:
            return folder
        with writing_folder(folder) as target:
            if stored == form:
                run_child("convert", ConvertJob.of(source, form, target, calibration), what=f"{form}")
                if language:
                    copy_language_side(source.folder, target)
            else:
                shared = convert(source, stored, cache, calibration=calibration, text=text, language=language)
                _link(shared, target)
            seal(
                target,
                Manifest(
                    task=source.task,
                    form=form,
                    model_digest=source.digest,
                    text=text,
                    language=language,
                    packages=versions,
                    files={},
                ),
            )
    return folder


def _link(shared: Path, folder: Path) -> None:
    """Give a folder the files of another without taking room twice, where the disk can."""
    for path in shared.rglob("*"):
        if path.is_file() and path.name != MANIFEST:
            place = folder / path.relative_to(shared)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                place.hardlink_to(path)
            except OSError:
                shutil.copy2(path, place)
