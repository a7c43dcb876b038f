"""A language model: tokenizer, template, weights and limits as one thing that is asked, scored, merged and saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunewright.models.chat.masking import Loss, mask_row
from tunewright.models.heads import digest_weights
from tunewright.models.language.description import Description, Identity
from tunewright.models.language.generation import log_likelihoods, write_ids
from tunewright.models.language.merging import MergeCheck, merge
from tunewright.models.language.prompts import Prompt, prompt_of
from tunewright.models.language.storage import copy_base, open_whole, owned_weights, save_whole
from tunewright.models.language.writing import Written

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from tunewright.config.language import Method
    from tunewright.data.chat.rows import ChatRow
    from tunewright.models.chat.tokenizer import ChatTokenizer
    from tunewright.models.language.quantised import Loading

LONGEST = 2048
"""Tokens a row where the recipe names none and the model could read more."""


class LanguageModel:
    """Rows in, answers or likelihoods out; greedy, fp32, each answer independent of the rows beside it.

    Args:
        chat: Tokenizer and template.
        model: A Transformers causal model, or a ``peft.PeftModel`` around one.
        max_length: Tokens a row, answer included.
        method: How it was trained.
        loss_on: What carried loss; ``None``: what suits a row.
        load_in: How its base is held.
        base: What it was made from.
        source: The folder of an untouched base: it is saved as its files are.

    Example:
        ``LanguageModel.load(folder).write([row], max_new_tokens=64)[0].text``
    """

    def __init__(
        self,
        chat: ChatTokenizer,
        model: Any,  # noqa: ANN401
        *,
        max_length: int,
        method: Method = "full",
        loss_on: Loss | None = None,
        load_in: Loading = "full",
        base: Identity | None = None,
        source: Path | None = None,
    ) -> None:
        self.chat = chat
        self.model = model
        self.max_length = max_length
        self.method: Method = method
        self.loss_on: Loss | None = loss_on
        self.load_in: Loading = load_in
        self.base = base
        self.source = source

    @property
    def is_adapter(self) -> bool:
        """Whether only an adapter is its own, the other weights being the base's."""
        return hasattr(self.model, "peft_config")

    @property
    def size_bytes(self) -> int:
        """Bytes of all weights that an answer needs, as they are held."""
        return sum(weight.numel() * weight.element_size() for weight in self.model.parameters())

    @property
    def owned_bytes(self) -> int:
        """Bytes of the weights that ``save`` writes."""
        return sum(weight.numel() * weight.element_size() for weight in owned_weights(self.model).values())

    def prompt(self, row: ChatRow) -> Prompt:
        """Return what the model reads before it answers a row.

        Raises:
            RefusedRowError: When the template refuses it.
        """
        return prompt_of(row, self.chat)

    def write(
        self, rows: Sequence[ChatRow], *, max_new_tokens: int = 256, batch_size: int = 16
    ) -> list[Written]:
        """Answer each row's prompt greedily.

        Prompt and answer together have ``max_length`` tokens at most: where the prompt alone has as many, the answer
        is empty and unfinished.

        Raises:
            RefusedRowError: When the template refuses a row.
        """
        prompts = [self.prompt(row).ids for row in rows]
        written = self.write_ids(prompts, max_new_tokens=max_new_tokens, batch_size=batch_size)
        return [self._written(ids) for ids in written]

    def write_ids(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_size: int = 16
    ) -> list[list[int]]:
        """Return the new tokens behind each prompt, a stop token included."""
        setup = self.chat.setup
        return write_ids(
            self.model,
            prompts,
            stop_ids=setup.stop_ids,
            pad_id=setup.pad_id,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            max_length=self.max_length,
        )

    def text(self, ids: Sequence[int]) -> str:
        """Return what written tokens say, a stop token at the end taken off."""
        kept = ids[:-1] if ids and ids[-1] in self.chat.setup.stop_ids else ids
        return str(self.chat.tokenizer.decode(list(kept), skip_special_tokens=True)).strip()

    def losses(self, rows: Sequence[ChatRow], *, batch_size: int = 16) -> list[tuple[float, int]]:
        """Return for each row the summed negative log-likelihood (nats) of its tokens with loss, and their number.

        Of a preference the chosen answer counts.

        Raises:
            RefusedRowError: When a row has no sound mask.
        """
        masked = [mask_row(row, self.chat, loss=self.loss_on, max_length=self.max_length)[0] for row in rows]
        found = self.log_likelihoods(
            [each.ids for each in masked], [each.mask for each in masked], batch_size
        )
        return [(-sum(values), len(values)) for values in found]

    def text_losses(self, rows: Sequence[ChatRow], *, batch_size: int = 16) -> list[tuple[float, int]]:
        """Return the losses as ``losses`` does, of every token, whatever carried loss in training."""
        masked = [mask_row(row, self.chat, loss="all", max_length=self.max_length)[0] for row in rows]
        found = self.log_likelihoods(
            [each.ids for each in masked], [each.mask for each in masked], batch_size
        )
        return [(-sum(values), len(values)) for values in found]

    def log_likelihoods(
        self, sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[bool]], batch_size: int = 16
    ) -> list[list[float]]:
        """Return the log-probability (nats) of each masked token given those before it."""
        return log_likelihoods(
            self.model, sequences, masks, pad_id=self.chat.setup.pad_id, batch_size=batch_size
        )

    def merged(self, probes: Sequence[Sequence[int]], *, bound: float) -> tuple[LanguageModel, MergeCheck]:
        """Return the same model with its adapter folded in, in float32.

        Raises:
            TunewrightError: When it would answer otherwise.
        """
        plain, check = merge(self.model, probes, bound=bound)
        return LanguageModel(
            self.chat,
            plain,
            max_length=self.max_length,
            method=self.method,
            loss_on=self.loss_on,
            base=self.base,
        ), check

    def digest(self) -> str:
        """Return the identity of the weights it owns: SHA-256 over them in the order of their names."""
        return digest_weights(iter(sorted(owned_weights(self.model).items())))

    def save(self, folder: Path) -> None:
        """Write the model as a plain Transformers (or PEFT) folder with ``language_model.json`` beside.

        Raises:
            InputError: When ``folder`` holds something else.
            TunewrightError: When it can't be written.
        """
        if self.source is not None and not self.is_adapter:
            copy_base(self.source, self.chat, self._description(), folder)
        else:
            save_whole(self.model, self.chat, self._description(), folder)

    @classmethod
    def load(
        cls, folder: Path, *, base_folder: Path | None = None, dtype: torch.dtype | None = None
    ) -> LanguageModel:
        """Open what ``save`` wrote.

        Args:
            folder: The saved model.
            base_folder: For an adapter: the model that it was trained on.
            dtype: Of the weights; float32 by default.

        Raises:
            InputError: When a file is missing or damaged, an adapter comes without its base, or the base isn't
                the one that the adapter was trained on.
        """
        description, chat, model = open_whole(folder, base_folder=base_folder, dtype=dtype)
        return cls(
            chat,
            model,
            max_length=description.max_length,
            method=description.method,
            loss_on=description.loss_on,
            load_in=description.load_in,
            base=description.base,
        )

    def _written(self, ids: Sequence[int]) -> Written:
        """Turn new tokens into text, the stop token taken off."""
        finished = bool(ids) and ids[-1] in self.chat.setup.stop_ids
        return Written(self.text(ids), len(ids), finished)

    def _description(self) -> Description:
        """Return what the weights alone don't say."""
        return Description(
            kind="adapter" if self.is_adapter else "full",
            method=self.method,
            max_length=self.max_length,
            loss_on=self.loss_on,
            load_in=self.load_in if self.is_adapter else "full",
            stop_tokens=self.chat.setup.stop_tokens,
            base=self.base,
        )


def length_limit(chat: ChatTokenizer, asked: int | None) -> int:
    """Return the tokens that a row may have: what was asked for, else what the model can read, within reason."""
    context = chat.setup.context or LONGEST
    return min(asked or LONGEST, context)
