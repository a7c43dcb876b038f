"""A language model as a folder of its own: its adapter apart or merged, its card, and as GGUF where that is wanted."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunewright.pipeline.language_opening import open_language_model
from tunewright.support.console import say
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.files import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunewright.config.schema import Recipe
    from tunewright.models.language.merging import MergeCheck
    from tunewright.models.language.model import LanguageModel
    from tunewright.support.paths import ProjectPaths

Form = Literal["safetensors", "gguf"]
CONVERTER = "convert_hf_to_gguf.py"
PROBE_TEXTS = ("Hello", "What can you do for me?", "1 2 3 4 5 6 7 8 9 10", "The quick brown fox jumps over")
CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    folder: Path
    merged: MergeCheck | None
    """How the merged model compares with the adapter; ``None`` where there was nothing to merge."""


def export(
    reference: str,
    out: Path,
    recipe: Recipe,
    *,
    merge: bool,
    form: Form = "safetensors",
    paths: ProjectPaths | None = None,
) -> Exported:
    """Write a language model as a plain Transformers (or PEFT) folder with its card.

    Args:
        reference: The model, as ``open_language_model`` takes it.
        out: The folder to write; it must not exist.
        recipe: Holds the bound of a merge.
        merge: Fold an adapter into its base, and prove on the certificate's probes that nothing else changed.
        form: ``gguf`` also converts, with llama.cpp's converter.
        paths: The project, where there is one.

    Raises:
        InputError: When the folder exists, the reference names nothing, or the converter isn't there.
        TunewrightError: When the merged model would answer otherwise, or nothing can be written.
    """
    if out.exists():
        raise InputError("exists already", place=str(out), mend="choose another folder")
    converter = _converter() if form == "gguf" else None
    model = open_language_model(reference, recipe, paths=paths)
    check = None
    if (merge or converter) and model.is_adapter:
        model, check = model.merged(
            _probes(model, reference, recipe, paths), bound=recipe.registry.certificate_bound
        )
        say(f"    {check.describe()}")
    elif merge:
        raise InputError(
            "is no adapter: there is nothing to merge", place=reference or "the champion", mend="export it"
        )
    model.save(out)
    write_text(out / CARD, card(model, reference, check))
    if converter is not None:
        _convert(converter, out)
    return Exported(out, check)


def card(model: LanguageModel, reference: str, check: MergeCheck | None) -> str:
    """Return a model card: what the model is, what it was made from, and how it is used."""
    base = model.base
    name = base.location or base.name if base else "none"
    library = "peft" if model.is_adapter else "transformers"
    lines = ["---", f"library_name: {library}", *([f"base_model: {name}"] if base else [])]
    lines += ["pipeline_tag: text-generation", "---", "", f"# {reference or 'champion'}", ""]
    kind = "an adapter" if model.is_adapter else "a whole model"
    lines.append(f"This is {kind}, trained with tunewright (method: {model.method}) on `{name}`.")
    if base:
        lines += ["", f"- digest of the base: `{base.digest}`"]
    lines += [
        f"- digest of its own weights: `{model.digest()}`",
        f"- longest row in training: {model.max_length:,} tokens",
        f"- stop tokens: {', '.join(f'`{each}`' for each in model.chat.setup.stop_tokens)}",
    ]
    if check is not None:
        lines.append(f"- {check.describe()}")
    return "\n".join(lines) + "\n"


def _probes(
    model: LanguageModel, reference: str, recipe: Recipe, paths: ProjectPaths | None
) -> Sequence[Sequence[int]]:
    """Return token ids to compare forms on: the certificate's, where the model has one."""
    if paths is not None and not Path(reference or "-").is_dir() and "://" not in reference:
        from tunewright.registry.language_models import load_language_certificate
        from tunewright.registry.tracking import connect

        certificate = load_language_certificate(connect(recipe, paths), reference)
        return [[*probe.token_ids, *probe.written] for probe in certificate.probes]
    return [model.chat.tokenizer(text)["input_ids"] for text in PROBE_TEXTS]


def _converter() -> list[str]:
    """Return the command of llama.cpp's converter.

    Raises:
        InputError: When it isn't installed.
    """
    if found := shutil.which(CONVERTER):
        return [sys.executable, found]
    if importlib.util.find_spec("gguf") is None or not (script := Path(CONVERTER)).is_file():
        raise InputError(
            f"GGUF needs llama.cpp's {CONVERTER}, which isn't on the path",
            place="--format gguf",
            mend="put a llama.cpp checkout on PATH and `pip install gguf`, or export safetensors",
        )
    return [sys.executable, str(script)]


def _convert(converter: list[str], folder: Path) -> None:
    """Run the converter; its file stands beside the weights."""
    out = folder / "model.gguf"
    done = subprocess.run(
        [*converter, str(folder), "--outfile", str(out)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not out.is_file():
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise TunewrightError(
            f"the converter failed ({last[:200]})", place=str(folder), mend="the safetensors there are whole"
        )
