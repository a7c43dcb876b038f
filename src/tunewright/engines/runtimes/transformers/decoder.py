"""A language model on torch: its forward pass over slots, or over whole texts where its cache is of another kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.engines.batching import padded
from tunewright.engines.runtimes.transformers.cache import FULL, SLIDING, SlotCache, layer_kinds, masks
from tunewright.engines.stepping import Decoder, SteppingGenerator
from tunewright.models.inference import exact_matmul
from tunewright.models.language.heads import only_positions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Logits = npt.NDArray[np.float32]

PROBE = ((3, 5, 4, 6, 5), (4, 3, 5))
SAME = {"fp32": 1e-3, "bf16": 0.3}
"""Difference of a logit over the spread of all that rounding may make between a pass over slots and a whole one; a
cache that isn't understood gives about 1."""
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


def open_generator(folder: Path, precision: str, threads: int, slots: int) -> SteppingGenerator:
    """Open a copy for generation.

    Whether the architecture's cache is understood is tried, not believed: where it isn't, each step reads the whole
    text again, which is slow and right.
    """
    import torch

    from tunewright.engines.copies import language_facts
    from tunewright.engines.grammar import Grammars
    from tunewright.engines.language_side import FOLDER, TOKENIZER
    from tunewright.models.language.loading import load_causal

    torch.set_num_threads(threads)
    model = load_causal(folder, dtype=getattr(torch, DTYPES[precision]))
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    decoder: Decoder = SlotDecoder(model, slots)
    whole = WholeDecoder(model, slots)
    if not _agree(model, decoder, whole, SAME[precision]):
        decoder = whole
    facts = language_facts(folder)
    grammars = Grammars(folder / FOLDER / TOKENIZER, facts)
    return SteppingGenerator(decoder, facts, slots, engine="transformers", grammars=grammars)


class WholeDecoder:
    """Reads every text from its beginning at each step.

    Args:
        model: A Transformers causal model in evaluation mode.
        slots: Requests at once.
    """

    def __init__(self, model: Any, slots: int) -> None:  # noqa: ANN401
        self._model = model
        self._texts: list[list[int]] = [[] for _ in range(slots)]

    def read(self, prompts: Sequence[Sequence[int]], first: int) -> Logits:
        """Read prompts (see ``Decoder``)."""
        for at, prompt in enumerate(prompts, start=first):
            self._texts[at] = list(prompt)
        return self._last([list(prompt) for prompt in prompts])

    def write(self, tokens: Sequence[int], lengths: Sequence[int]) -> Logits:
        """Append a token to each (see ``Decoder``)."""
        for at, (token, length) in enumerate(zip(tokens, lengths, strict=True)):
            self._texts[at] = [*self._texts[at][:length], token]
        return self._last(self._texts[: len(tokens)])

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a slot (see ``Decoder``)."""
        self._texts[target] = self._texts[source][:length]

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[Logits]:
        """Return the logits behind every token (see ``Decoder``)."""
        found = self._run(sequences)
        return [each[: len(ids)] for each, ids in zip(found, sequences, strict=True)]

    def close(self) -> None:
        """Let the weights go."""
        del self._model

    def _last(self, texts: Sequence[Sequence[int]]) -> Logits:
        import torch

        ends = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.bool)
        ends[range(len(texts)), [len(text) - 1 for text in texts]] = True
        with only_positions(self._model, ends):
            found: Logits = self._run(texts)[0]
        return found

    def _run(self, texts: Sequence[Sequence[int]]) -> Logits:
        """Run the model over texts that are filled up on the right."""
        import torch

        ids, mask = (torch.from_numpy(each).to(self._model.device) for each in padded(texts, 0))
        with torch.inference_mode(), exact_matmul():
            logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        found: Logits = logits.float().cpu().numpy()
        return found


class SlotDecoder(WholeDecoder):
    """Keeps keys and values of each request in a slot.

    Args:
        model: A Transformers causal model in evaluation mode.
        slots: Requests at once.
    """

    def __init__(self, model: Any, slots: int) -> None:  # noqa: ANN401
        super().__init__(model, slots)
        self._cache = SlotCache(slots)
        self._config = model.config.get_text_config()

    def read(self, prompts: Sequence[Sequence[int]], first: int) -> Logits:
        """Read prompts (see ``Decoder``)."""
        import torch

        ids = torch.from_numpy(padded(prompts, 0)[0])
        ends = torch.zeros_like(ids, dtype=torch.bool)
        ends[range(len(prompts)), [len(prompt) - 1 for prompt in prompts]] = True
        positions = torch.arange(ids.shape[1]).expand(ids.shape)
        self._cache.place(first, None)
        with only_positions(self._model, ends):
            found: Logits = self._forward(ids, positions, ids.shape[1])[0]
        return found

    def write(self, tokens: Sequence[int], lengths: Sequence[int]) -> Logits:
        """Append a token to each (see ``Decoder``)."""
        import torch

        held = torch.tensor(lengths)
        self._cache.place(0, held.to(self._model.device))
        return self._forward(torch.tensor(tokens)[:, None], held[:, None], max(lengths) + 1)[:, 0]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a slot (see ``Decoder``)."""
        import torch

        with torch.inference_mode():
            self._cache.move(source, target, length)

    def close(self) -> None:
        """Let weights and cache go."""
        super().close()
        del self._cache

    def _forward(self, ids: Any, positions: Any, width: int) -> Logits:  # noqa: ANN401
        """Run the model on the rows that the cache was told of."""
        import torch

        positions = positions.to(self._model.device)
        with torch.inference_mode(), exact_matmul():
            logits = self._model(
                input_ids=ids.to(self._model.device),
                attention_mask=masks(self._config, positions, width, self._model.dtype),
                position_ids=positions,
                past_key_values=self._cache,
                use_cache=True,
            ).logits
        found: Logits = logits.float().cpu().numpy()
        return found


def _agree(model: Any, slots: Decoder, whole: Decoder, allowed: float) -> bool:  # noqa: ANN401
    """Tell whether two decoders give the same on two prompts of different length and a token behind each."""
    import numpy as np

    if not set(layer_kinds(model.config.get_text_config())) <= {FULL, SLIDING}:
        return False
    try:
        found = _probed(slots)
    except (TypeError, ValueError, AttributeError, RuntimeError, IndexError):
        return False
    wanted = _probed(whole)
    return bool(np.abs(found - wanted).max() <= allowed * (float(wanted.std()) or 1.0))


def _probed(decoder: Decoder) -> Logits:
    """Let a decoder read two prompts and write a token behind each."""
    import numpy as np

    prompts = [list(prompt) for prompt in PROBE]
    read = decoder.read(prompts[1:], 0), decoder.read(prompts, 0)[:1]
    return np.concatenate([*read, decoder.write([6, 7], [len(prompt) for prompt in prompts])])
