"""A reward model: one score for an answer to a prompt, the higher the better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from tunewright.models.chat.masking import mask_row
from tunewright.models.chat.tokenizer import open_chat_tokenizer
from tunewright.models.checkpoints import inspect_checkpoint
from tunewright.models.inference import exact_matmul
from tunewright.models.language.generation import evaluating
from tunewright.models.language.loading import require_causal, require_finite, settle_tokens
from tunewright.models.language.model import LanguageModel
from tunewright.models.language.quantised import Loading, keep_gradients_right, quantisation
from tunewright.models.language.storage import (
    DESCRIPTION,
    MEND,
    read_description,
    require_base,
    save_whole,
)
from tunewright.models.loading import read_config, seeded
from tunewright.models.tokenizers import quiet_transformers
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from tunewright.data.chat.rows import ChatRow
    from tunewright.models.chat.tokenizer import ChatTokenizer
    from tunewright.models.language.description import Description

HEAD = "score.weight"
"""The one tensor that a causal base lacks."""
ROWS_AT_ONCE = 16


class RewardModel(LanguageModel):
    """Rows in, scores out. It writes nothing, and a score means something beside other scores of the same prompt alone.

    Example:
        ``RewardModel.load(folder).score([row])[0]``
    """

    def score(self, rows: Sequence[ChatRow], *, batch_size: int = ROWS_AT_ONCE) -> list[float]:
        """Score each row's last answer; of a preference the chosen one.

        Raises:
            RefusedRowError: When the template refuses a row.
        """
        masked = [self._masked(row) for row in rows]
        return self.score_ids([parts[0] for parts in masked], batch_size=batch_size)

    def score_pairs(
        self, rows: Sequence[ChatRow], *, batch_size: int = ROWS_AT_ONCE
    ) -> list[tuple[float, float]]:
        """Score both answers of each preference, the chosen one first.

        Raises:
            InputError: When a row isn't a preference.
            RefusedRowError: When the template refuses a row.
        """
        for row in rows:
            if row.kind != "preference":
                raise InputError(
                    "has no two answers to compare", place=f"row {row.row}", mend="give preferences"
                )
        found = self.score_ids([ids for row in rows for ids in self._masked(row)], batch_size=batch_size)
        return list(zip(found[::2], found[1::2], strict=True))

    def score_ids(self, sequences: Sequence[Sequence[int]], *, batch_size: int = ROWS_AT_ONCE) -> list[float]:
        """Score token ids; each score is independent of the sequences beside it."""
        import torch

        found = [0.0] * len(sequences)
        order = sorted(range(len(sequences)), key=lambda at: -len(sequences[at]))
        with evaluating(self.model), exact_matmul(), torch.inference_mode():
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                width = len(sequences[rows[0]])
                ids = torch.full((len(rows), width), self.chat.setup.pad_id)
                mask = torch.zeros_like(ids)
                for at, row in enumerate(rows):
                    ids[at, : len(sequences[row])] = torch.tensor(list(sequences[row]))
                    mask[at, : len(sequences[row])] = 1
                device = self.model.device
                scores = self.model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
                for row, value in zip(rows, scores.logits[:, 0].float().tolist(), strict=True):
                    found[row] = value
        return found

    @classmethod
    def load(
        cls, folder: Path, *, base_folder: Path | None = None, dtype: torch.dtype | None = None
    ) -> RewardModel:
        """Open what ``save`` wrote; the arguments and errors are those of ``LanguageModel.load``."""
        description = read_description(folder)
        if description.task != "score":
            raise InputError("is a model that writes, not one that scores", place=str(folder / DESCRIPTION))
        chat = open_chat_tokenizer(folder, name=description.base.name if description.base else "")
        if description.kind == "full":
            inspect_checkpoint(folder)
            model = load_scorer(folder, chat, seed=None, dtype=dtype)
        else:
            from peft import PeftModel

            whole = require_base(folder, base_folder, description)
            plain = load_scorer(whole, chat, load_in=description.load_in, seed=0, dtype=dtype)
            model = PeftModel.from_pretrained(plain, str(folder)).eval()
        return cls(
            chat,
            model,
            max_length=description.max_length,
            method=description.method,
            loss_on=description.loss_on,
            load_in=description.load_in,
            base=description.base,
        )

    def save(self, folder: Path) -> None:
        """Write the model as a plain Transformers (or PEFT) folder with ``language_model.json`` beside.

        Raises:
            InputError: When ``folder`` holds something else.
            TunewrightError: When it can't be written.
        """
        save_whole(self.model, self.chat, self._description(), folder)

    def write(self, rows: Sequence[ChatRow], **_: Any) -> NoReturn:  # noqa: ANN401, ARG002
        """Refuse.

        Raises:
            InputError: Always.
        """
        raise _silent()

    def write_ids(self, prompts: Sequence[Sequence[int]], **_: Any) -> NoReturn:  # noqa: ANN401, ARG002
        """Refuse.

        Raises:
            InputError: Always.
        """
        raise _silent()

    def log_likelihoods(self, *_: Any, **__: Any) -> NoReturn:  # noqa: ANN401
        """Refuse.

        Raises:
            InputError: Always.
        """
        raise _silent()

    def merged(self, probes: Sequence[Sequence[int]], *, bound: float) -> NoReturn:  # noqa: ARG002
        """Refuse: what is compared after a merge are logits of words.

        Raises:
            InputError: Always.
        """
        raise _silent()

    def _masked(self, row: ChatRow) -> list[tuple[int, ...]]:
        return [each.ids for each in mask_row(row, self.chat, loss=self.loss_on, max_length=self.max_length)]

    def _description(self) -> Description:
        return super()._description().model_copy(update={"task": "score"})


def load_scorer(
    folder: Path,
    chat: ChatTokenizer,
    *,
    load_in: Loading = "full",
    seed: int | None,
    dtype: torch.dtype | None = None,
    trust_remote_code: bool = False,
) -> Any:  # noqa: ANN401
    """Load a causal model with a head for one score instead of its output layer, in evaluation mode.

    The head reads the last token that isn't padding. Padding is a token of its own (``models.chat.tokenizer``), so
    a score doesn't depend on how far a row is padded, and no stop token is taken for padding.

    Args:
        folder: A Transformers folder.
        chat: Its tokenizer.
        load_in: How its linear layers are held.
        seed: Draws a new head; ``None`` refuses a folder that has none.
        dtype: Of the other weights; float32 by default.
        trust_remote_code: Whether to run code that comes with the model.

    Raises:
        InputError: When Transformers has no such model for the architecture, or the files don't fit.
        MissingExtraError: When bitsandbytes is asked for and not installed.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    settings = read_config(folder, trust_remote_code=trust_remote_code)
    if seed is not None:
        require_causal(settings, folder, trust_remote_code=trust_remote_code)
    settings.num_labels = 1
    settings.pad_token_id = chat.setup.pad_id
    dtype = dtype or torch.float32
    load: Any = AutoModelForSequenceClassification.from_pretrained
    held = None if load_in == "full" else quantisation(load_in, compute_dtype=dtype)
    try:
        with quiet_transformers(), seeded(seed or 0):
            model, found = load(
                folder,
                config=settings,
                dtype=dtype,
                quantization_config=held,
                output_loading_info=True,
                trust_remote_code=trust_remote_code,
                local_files_only=True,
            )
    except (ValueError, OSError, RuntimeError, KeyError, ImportError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"can't be loaded ({first[:200]})", place=str(folder), mend=MEND) from error
    absent = {*map(str, found["missing_keys"]), *map(str, found["mismatched_keys"])}
    absent -= {HEAD} if seed is not None else set()
    if absent:
        raise InputError(
            f"the weight files lack {len(absent)} tensors or have them in another shape (such as {min(absent)})",
            place=str(folder),
            mend="take a base whose scoring form has the one new tensor score.weight, or save the model again",
        )
    require_finite(model, folder)
    keep_gradients_right(model)
    settle_tokens(model, chat)
    return model.eval()


def _silent() -> InputError:
    return InputError(
        "a reward model scores answers and writes none",
        place="training.objective=reward",
        mend="ask it with RewardModel.score",
    )
