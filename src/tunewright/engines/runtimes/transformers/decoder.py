"""A language model on torch: its forward pass over slots, or over whole texts where its cache is of another kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.engines.batching import padded
from tunewright.engines.runtimes.transformers.adapted import AdaptedModel
from tunewright.engines.runtimes.transformers.adapting import AdaptingGenerator
from tunewright.engines.runtimes.transformers.cache import FULL, SLIDING, SlotCache, layer_kinds, masks
from tunewright.models.language.heads import only_positions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.engines.stepping import Decoder

    Logits = npt.NDArray[np.float32]

PROBE = ((3, 5, 4, 6, 5), (4, 3, 5))
SAME = {"fp32": 1e-3, "bf16": 0.3}
"""Difference of a logit over the spread of all that rounding may make between a pass over slots and a whole one; a
cache that isn't understood gives about 1."""
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


def open_generator(folder: Path, precision: str, threads: int, slots: int) -> AdaptingGenerator:
    """Open a copy for generation.

    Whether the architecture's cache is understood is tried, not believed: where it isn't, each step reads the whole
    text again, which is slow and right.
    """
    import torch

    from tunewright.models.language.loading import load_causal

    torch.set_num_threads(threads)
    plain = load_causal(folder, dtype=getattr(torch, DTYPES[precision]))
    plain.to("cuda" if torch.cuda.is_available() else "cpu")
    model = AdaptedModel(plain)
    decoder: Decoder = SlotDecoder(model, slots)
    whole = WholeDecoder(model, slots)
    if not _agree(plain, decoder, whole, SAME[precision]):
        decoder = whole
    return AdaptingGenerator(decoder, model, folder, slots)


class WholeDecoder:
    """Reads every text from its beginning at each step.

    Args:
        model: The weights.
        slots: Requests at once.
    """

    def __init__(self, model: AdaptedModel, slots: int) -> None:
        self._model = model
        self._texts: list[list[int]] = [[] for _ in range(slots)]

    def read(self, prompts: Sequence[Sequence[int]], first: int, adapters: Sequence[str] = ()) -> Logits:
        """Read prompts (see ``Decoder``)."""
        for at, prompt in enumerate(prompts, start=first):
            self._texts[at] = list(prompt)
        return self._last([list(prompt) for prompt in prompts], adapters)

    def write(self, tokens: Sequence[int], lengths: Sequence[int], adapters: Sequence[str] = ()) -> Logits:
        """Append a token to each (see ``Decoder``)."""
        for at, (token, length) in enumerate(zip(tokens, lengths, strict=True)):
            self._texts[at] = [*self._texts[at][:length], token]
        return self._last(self._texts[: len(tokens)], adapters)

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

    def _last(self, texts: Sequence[Sequence[int]], adapters: Sequence[str]) -> Logits:
        import torch

        ends = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.bool)
        ends[range(len(texts)), [len(text) - 1 for text in texts]] = True
        with only_positions(self._model.plain, ends):
            found: Logits = self._run(texts, adapters)[0]
        return found

    def _run(self, texts: Sequence[Sequence[int]], adapters: Sequence[str] = ()) -> Logits:
        """Run the model over texts that are filled up on the right."""
        import torch

        ids, mask = (torch.from_numpy(each).to(self._model.device) for each in padded(texts, 0))
        return self._model.logits(adapters, input_ids=ids, attention_mask=mask, use_cache=False)


class SlotDecoder(WholeDecoder):
    """Keeps keys and values of each request in a slot.

    Args:
        model: The weights.
        slots: Requests at once.
    """

    def __init__(self, model: AdaptedModel, slots: int) -> None:
        super().__init__(model, slots)
        self._cache = SlotCache(slots)
        self._config = model.plain.config.get_text_config()

    def read(self, prompts: Sequence[Sequence[int]], first: int, adapters: Sequence[str] = ()) -> Logits:
        """Read prompts (see ``Decoder``)."""
        import torch

        ids = torch.from_numpy(padded(prompts, 0)[0])
        ends = torch.zeros_like(ids, dtype=torch.bool)
        ends[range(len(prompts)), [len(prompt) - 1 for prompt in prompts]] = True
        positions = torch.arange(ids.shape[1]).expand(ids.shape)
        self._cache.place(first, None)
        with only_positions(self._model.plain, ends):
            found: Logits = self._forward(ids, positions, ids.shape[1], adapters)[0]
        return found

    def write(self, tokens: Sequence[int], lengths: Sequence[int], adapters: Sequence[str] = ()) -> Logits:
        """Append a token to each (see ``Decoder``)."""
        import torch

        held = torch.tensor(lengths)
        self._cache.place(0, held.to(self._model.device))
        ids, width = torch.tensor(tokens)[:, None], max(lengths) + 1
        return self._forward(ids, held[:, None], width, adapters)[:, 0]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a slot (see ``Decoder``)."""
        import torch

        with torch.inference_mode():
            self._cache.move(source, target, length)

    def close(self) -> None:
        """Let weights and cache go."""
        super().close()
        del self._cache

    def _forward(self, ids: Any, positions: Any, width: int, adapters: Sequence[str]) -> Logits:  # noqa: ANN401
        """Run the model on the rows that the cache was told of."""
        model = self._model
        positions = positions.to(model.device)
        return model.logits(
            adapters,
            input_ids=ids.to(model.device),
            attention_mask=masks(self._config, positions, width, model.plain.dtype),
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )


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
