"""A classifier on any engine: texts in, labels out, as the certificate and the server ask it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tunewright.engines.batching import TOKEN_BUDGET, batches, padded, rounded
from tunewright.models.classifier import Prediction, predictions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.engines.interface import Scorer
    from tunewright.engines.text_side import TextSide


class EngineClassifier:
    """Text side and scorer as one thing that is asked.

    Args:
        text: Cleans and tokenises.
        scorer: The opened copy.
        token_budget: Padded tokens of a batch.

    Example:
        ``open_copy(folder).classify(["You have WON a prize"])[0].label``
    """

    def __init__(self, text: TextSide, scorer: Scorer, *, token_budget: int = TOKEN_BUDGET) -> None:
        self.text = text
        self.scorer = scorer
        self.token_budget = token_budget
        self._lanes = ThreadPoolExecutor(scorer.lanes) if scorer.lanes > 1 else None

    @property
    def label_names(self) -> tuple[str, ...]:
        """Label names; the position is the class id."""
        return self.text.facts.label_names

    @property
    def cleaning(self) -> Mapping[str, object]:
        """Settings of the cleaning that is done here."""
        return self.text.facts.cleaning

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, as the encoder reads them."""
        return self.text.encode(texts)

    def logits(self, texts: Sequence[str], *, batch_size: int = 64) -> npt.NDArray[np.float32]:
        """Score texts, float32 (texts, labels), in their order.

        Args:
            texts: As they come; they are cleaned here.
            batch_size: Texts a batch, at most; the token budget holds, too.
        """
        import numpy as np

        found = np.empty((len(texts), len(self.label_names)), dtype=np.float32)
        for rows, (logits, _) in self._scored(self.encode(texts), batch_size):
            found[rows] = logits
        return found

    def classify(self, texts: Sequence[str]) -> list[Prediction]:
        """Classify texts, in their order."""
        return predictions(self.logits(texts), self.label_names)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return what the last layer sees of each text, float32 (texts, features)."""
        import numpy as np

        found: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)] * len(texts)
        for rows, (_, features) in self._scored(self.encode(texts), len(texts)):
            for row, vector in zip(rows, features, strict=True):
                found[row] = vector
        return np.stack(found) if found else np.empty((0, 0), np.float32)

    def score(self, rows: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Score the token ids of one batch; return logits and features (see ``Scorer``)."""
        facts = self.text.facts
        width = self._width(max(map(len, rows)))
        return self.scorer.score(*padded(rows, facts.pad_id, facts.padding_side, width=width))

    def close(self) -> None:
        """Give the engine's memory and threads back."""
        if self._lanes:
            self._lanes.shutdown()
        self.scorer.close()

    def _scored(
        self, ids: Sequence[Sequence[int]], max_rows: int
    ) -> Iterator[tuple[list[int], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]]:
        """Score token ids in batches; with each, the positions it is about."""
        widths = [self._width(len(row)) for row in ids]
        plan = list(batches(widths, token_budget=self.token_budget, max_rows=max(max_rows, 1)))

        def score(rows: list[int]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
            return self.score([ids[row] for row in rows])

        run = self._lanes.map if self._lanes and len(plan) > 1 else map
        yield from zip(plan, run(score, plan), strict=True)

    def _width(self, length: int) -> int:
        """Return how wide a batch is whose longest text has so many tokens."""
        if not self.scorer.prefers_few_shapes:
            return length
        return rounded(length, self.text.facts.max_length)
