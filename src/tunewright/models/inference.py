"""Scoring token ids in fp32: batches of similar length, answers independent of their neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

EXACT = 2e-6
"""Error of an fp32 product relative to its largest value: rounding gives 5e-7, bf16 gives 4e-3, TF32 5e-4."""
PROBE_SIZE = 256


def score_ids(
    model: Any,  # noqa: ANN401
    ids: Sequence[Sequence[int]],
    *,
    outputs: int,
    pad_id: int,
    padding_side: str = "right",
    batch_size: int = 32,
) -> npt.NDArray[np.float32]:
    """Run a classifier over tokenised texts, longest first so that a lack of memory shows at once.

    Args:
        model: A Transformers classifier; its mode is put back afterwards.
        ids: Token ids, one list a text, each with at least one token.
        outputs: Numbers that the model gives for a text.
        pad_id: What fills short rows; it is masked.
        padding_side: Where it stands.
        batch_size: Texts a forward pass.

    Returns:
        Logits, float32 (texts, outputs), in the order of ``ids``.
    """
    import numpy as np
    import torch

    order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
    scores = np.empty((len(ids), outputs), dtype=np.float32)
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), exact_matmul():
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                scores[rows] = _forward(model, [ids[row] for row in rows], pad_id, padding_side)
    finally:
        model.train(training)
    return scores


def _forward(
    model: Any,  # noqa: ANN401
    rows: Sequence[Sequence[int]],
    pad_id: int,
    padding_side: str,
) -> npt.NDArray[np.float32]:
    """Score one batch."""
    import numpy as np
    import torch

    longest = max(map(len, rows))
    tokens = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for at, row in enumerate(rows):
        place = slice(longest - len(row), None) if padding_side == "left" else slice(len(row))
        tokens[at, place] = row
        mask[at, place] = 1
    inputs = {"input_ids": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(mask)}
    logits = model(**{name: value.to(model.device) for name, value in inputs.items()}).logits
    scores: npt.NDArray[np.float32] = logits.float().cpu().numpy()
    return scores


@contextmanager
def exact_matmul() -> Iterator[None]:
    """Multiply matrices in true fp32 inside, by the fastest setting that a probe finds exact here.

    Whatever the process has chosen for training, TF32 or bf16 products never reach an answer.
    """
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(_fastest_exact())
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@cache
def _fastest_exact() -> str:
    """Return "medium" where it merely selects a faster fp32 library, else "highest"."""
    import torch

    if torch.cuda.is_available():
        return "highest"
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(PROBE_SIZE, PROBE_SIZE, generator=generator) for _ in range(2))
    exact = left.double() @ right.double()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        error = ((left @ right).double() - exact).abs().max() / exact.abs().max()
    finally:
        torch.set_float32_matmul_precision(before)
    return "medium" if error < EXACT else "highest"
