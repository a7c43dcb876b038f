"""Several adapters on one base: which can share it, the base's copy, and each adapter's own small one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tunewright.engines.catalogue import REFERENCE, engine, package_versions
from tunewright.engines.conversion import convert
from tunewright.engines.copies import MANIFEST, Manifest, language_facts, read_manifest, seal
from tunewright.engines.interface import Form, Source
from tunewright.engines.language_side import LanguageFacts, copy_language_side
from tunewright.models.language.storage import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    read_description,
    require_base,
)
from tunewright.support.digests import digest_file, digest_json
from tunewright.support.errors import InputError
from tunewright.support.files import read_json, writing_folder
from tunewright.support.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tunewright.models.chat.tokenizer import ChatTokenizer
    from tunewright.models.language.description import Description, Identity

FORM = Form(REFERENCE, "fp32")
"""What mixes adapters: PEFT on Transformers."""
APART = "serve it with --beside, which gives it a worker of its own"
UNMIXABLE = {
    "use_dora": "is trained by DoRA, whose adapters PEFT can't mix",
    "modules_to_save": "brings whole layers of its own (modules_to_save)",
    "trainable_token_indices": "brings embeddings of its own (trainable_token_indices)",
    "alora_invocation_tokens": "is an activated LoRA, which starts in the middle of a prompt",
    "lora_bias": "brings biases of its own (lora_bias)",
    "target_parameters": "changes parameters that are no linear layer (target_parameters)",
    "layer_replication": "repeats layers of its base (layer_replication)",
}
"""Settings of PEFT's that keep an adapter from sharing its base, and what to say of them."""
PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal")
"""How matrices may begin; the others (PiSSA, OLoRA, LoftQ …) take something out of the base for one adapter."""
MATRICES = (".lora_A.weight", ".lora_B.weight")
OUTPUT_LAYERS = ("lm_head", "embed_out")


def why_apart(folder: Path) -> str:
    """Say why a saved language model can't share its base with others; empty when it can.

    Args:
        folder: What ``LanguageModel.save`` wrote; only its files are looked at.
    """
    return next(_reasons(folder), "")


class SavedAdapter:
    """An adapter as it was saved, with the base that it stands on; no base is loaded to look at it.

    Args:
        folder: What ``LanguageModel.save`` wrote.
        base_folder: The model that it was trained on.

    Raises:
        InputError: When it can't share its base, or the base is another one.
    """

    def __init__(self, folder: Path, base_folder: Path | None) -> None:
        from tunewright.models.chat.tokenizer import open_chat_tokenizer

        if why := why_apart(folder):
            raise InputError(why, place=str(folder), mend=APART)
        self.folder = folder
        self.description: Description = read_description(folder)
        self.base = cast("Identity", self.description.base)
        self.base_folder = require_base(folder, base_folder, self.description)
        self.chat: ChatTokenizer = open_chat_tokenizer(folder, name=self.base.name)

    @property
    def is_quantised(self) -> bool:
        """Whether it was trained on a base in 4 or 8 bits, whose weights are other ones than its files'."""
        return self.description.load_in != "full"

    @property
    def base_digest(self) -> str:
        """Identity of the weights that it stands on: of the base's files, and of how few bits they are held in."""
        files = self.base.digest
        return digest_json([files, self.description.load_in]) if self.is_quantised else files

    @property
    def base_name(self) -> str:
        """What its base is called, with the bits that it is held in."""
        return f"{self.base.name} in {self.description.load_in}" if self.is_quantised else self.base.name

    def digest(self) -> str:
        """Return the identity of its weights, as ``LanguageModel.digest`` gives it."""
        from safetensors.torch import load_file

        from tunewright.models.heads import digest_weights

        return digest_weights(iter(sorted(load_file(self.folder / ADAPTER_WEIGHTS).items())))

    def copy_base(self, cache: Path, place: Path) -> Path:
        """Convert its base, unless that was done before; return the copy's folder.

        Args:
            cache: Folder of all copies.
            place: Where a base may be written that isn't held as its files are; must not exist.
        """
        from tunewright.models.chat.tokenizer import open_chat_tokenizer

        folder, chat = self.base_folder, open_chat_tokenizer(self.base_folder, name=self.base.name)
        if self.is_quantised:
            self._write_base(place)
            folder, chat = place, self.chat
        config = read_json(folder / "config.json")
        rows = config.get("vocab_size") or config.get("text_config", {}).get("vocab_size")
        length = read_description(folder).max_length
        facts = LanguageFacts.beside(
            chat, folder, max_length=length, vocabulary=int(rows), family=self.base.name
        )
        source = Source("generation", folder, config, self.base_digest)
        return convert(source, FORM, cache, language=facts)

    def copy(self, cache: Path, base_copy: Path) -> Path:
        """Put its files into a folder of their own with their digests, unless that was done before.

        Args:
            cache: Folder of all copies.
            base_copy: The base's copy.

        Returns:
            The copy's folder.
        """
        digest = self.digest()
        facts = LanguageFacts.beside(
            self.chat,
            self.folder,
            max_length=self.description.max_length,
            vocabulary=language_facts(base_copy).vocabulary,
            family=self.base.name,
        )
        settings = digest_file(self.folder / ADAPTER_CONFIG)
        key = digest_json([self.base_digest, digest, settings, facts.model_dump(mode="json")])[:12]
        folder = cache / f"{digest[:12]}-adapter-{key}"
        with locked(cache / f"{folder.name}.lock", what="the copy of an adapter"):
            if (folder / MANIFEST).is_file() and read_manifest(folder).model_digest == digest:
                return folder
            with writing_folder(folder) as target:
                for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
                    shutil.copyfile(self.folder / name, target / name)
                copy_language_side(self.folder, target)
                manifest = Manifest(
                    task="generation",
                    form=FORM,
                    model_digest=digest,
                    language=facts,
                    base=self.base_digest,
                    packages=package_versions(engine(FORM.engine)),
                    files={},
                )
                seal(target, manifest)
        return folder

    def _write_base(self, place: Path) -> None:
        """Write the base as it is computed with, in float32."""
        from tunewright.models.language.loading import load_causal
        from tunewright.models.language.merging import unquantised
        from tunewright.models.language.model import LanguageModel

        held = load_causal(self.base_folder, self.chat, load_in=self.description.load_in)
        length = self.description.max_length
        LanguageModel(self.chat, unquantised(held), max_length=length, base=self.base).save(place)


def _reasons(folder: Path) -> Iterator[str]:
    """Give the reasons one after the other; the later ones make sense without the former only."""
    description = read_description(folder)
    if description.kind != "adapter":
        yield "is a whole model, no adapter"
        return
    if description.base is None:
        yield "doesn't say which base it was trained on"
    settings = read_json(folder / ADAPTER_CONFIG)
    if settings.get("peft_type") != "LORA":
        yield f"is an adapter of another kind ({settings.get('peft_type')}), only LoRA can be mixed"
    if settings.get("bias", "none") != "none":
        yield "brings biases of its own (bias)"
    yield from (why for name, why in UNMIXABLE.items() if settings.get(name))
    if (start := settings.get("init_lora_weights")) not in PLAIN_STARTS:
        yield f"was begun on a base whose weights were changed for it (init_lora_weights={start})"
    for name in _tensors(folder / ADAPTER_WEIGHTS):
        layer = next((name.removesuffix(end) for end in MATRICES if name.endswith(end)), None)
        if layer is None:
            yield f"brings weights beside its low-rank matrices ({name})"
        elif layer.endswith(OUTPUT_LAYERS):
            yield "changes the output layer"


def _tensors(path: Path) -> Sequence[str]:
    """Name the tensors of a safetensors file.

    Raises:
        InputError: When it is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return sorted(file.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(
            "is missing or damaged", place=str(path), mend="save or fetch the model again"
        ) from error
