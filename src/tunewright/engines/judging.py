"""Whether a converted copy is still the model that was certified: the same tokens, the same answers, to a bound.

In float32 the logits must equal the certified ones within the certificate's bound. A copy of fewer bits can't, so its
error is held against the spread of the model's own logits, the labels that it changes are counted, and so is what
that costs on the frozen test rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.engines.children import every_alone
from tunewright.support.digests import digest_bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunewright.engines.children import Measured
    from tunewright.registry.certificate import Certificate

    Logits = npt.NDArray[np.float32]

EXACT = ("fp32",)
ERROR_SHARE = 0.15
"""Root mean square error over the spread of the logits, at most, where bits were left out. int8 gives 0.01 to 0.08 on
the models of tests and benchmarks; an adapter that was not folded in gives about 1."""
NEIGHBOUR_SHARE = 0.03
"""What a row's neighbours may move its logits, over their spread. Static int8 gives up to 0.01, dynamic int8 0.05."""
AGREEMENT = 0.99
"""Labels of test rows that must stay as they are, whatever the accuracy says."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found about one copy."""

    refusals: tuple[str, ...]
    """Why it may not be used; empty when it may."""
    agreement: float
    """Share of test rows with the reference's label."""
    accuracy: float | None
    """On the frozen test rows; None where they have no labels."""
    accuracy_loss: float | None
    max_difference: float
    """Largest difference of a logit from the certificate."""
    error_share: float
    """Root mean square error of the test rows' logits over their spread."""
    batch_difference: float
    """Largest difference of a logit between a row among others and alone."""

    @property
    def passes(self) -> bool:
        """Whether it may be used."""
        return not self.refusals


def judge(
    certificate: Certificate,
    precision: str,
    measured: Measured,
    found: Mapping[str, Logits],
    reference: Logits,
    truth: Sequence[int],
    *,
    max_accuracy_loss: float,
) -> Judgement:
    """Hold a copy's answers against the certificate and against the model on the frozen test rows.

    Args:
        certificate: Of the model.
        precision: Of the copy; ``fp32`` must be exact.
        measured: Token ids and cleaned texts of the probes.
        found: The copy's logits: ``alone`` and ``together`` (probes), ``narrow`` and ``widened`` (short texts alone and
            in batches of every width), ``texts`` and, of every so manieth of them alone, ``rebatched``.
        reference: The model's logits of the test rows, float32 (rows, labels).
        truth: Class ids of the test rows; empty where they have none.
        max_accuracy_loss: Accuracy that it may lose on them, between 0 and 1.
    """
    import numpy as np

    refusals = list(_unlike_probes(certificate, measured.token_ids, measured.cleaned))
    certified = np.array([probe.logits for probe in certificate.probes])
    shapes = (found["alone"].shape, found["texts"].shape)
    if shapes != (certified.shape, reference.shape):
        return _unusable(refusals, f"its logits have shapes {shapes}")
    if not all(np.isfinite(each).all() for each in found.values()):
        return _unusable(refusals, "its logits are not finite")
    spread = _spread(reference)
    error_share = float(np.sqrt(np.mean((found["texts"] - reference) ** 2))) / spread
    max_difference = float(np.abs(found["alone"] - certified).max())
    if precision in EXACT and max_difference > certificate.bound:
        refusals.append(f"logits differ by {max_difference:.3g}, allowed are {certificate.bound:g}")
    if precision not in EXACT and error_share > ERROR_SHARE:
        refusals.append(f"logits differ by {error_share:.0%} of their spread, allowed are {ERROR_SHARE:.0%}")
    batch_difference = _neighbours(found)
    refusals += _dependent(certificate, precision, batch_difference, spread)
    labels = found["texts"].argmax(axis=1)
    agreement = float(np.mean(labels == reference.argmax(axis=1)))
    if agreement < AGREEMENT:
        refusals.append(f"{1 - agreement:.1%} of the labels change, allowed are {1 - AGREEMENT:.0%}")
    accuracy = accuracy_loss = None
    if len(truth):
        accuracy = float(np.mean(labels == np.asarray(truth)))
        accuracy_loss = float(np.mean(reference.argmax(axis=1) == np.asarray(truth))) - accuracy
        if accuracy_loss > max_accuracy_loss:
            refusals.append(f"accuracy falls by {accuracy_loss:.4f}, allowed are {max_accuracy_loss:g}")
    return Judgement(
        tuple(refusals), agreement, accuracy, accuracy_loss, max_difference, error_share, batch_difference
    )


def judge_probes(
    certificate: Certificate,
    precision: str,
    *,
    token_ids: Sequence[tuple[int, ...]],
    cleaned: Sequence[str],
    alone: Logits,
    together: Logits,
    narrow: Logits,
    widened: Logits,
) -> tuple[str, ...]:
    """Hold a copy's answers against the certificate alone, where no test rows are at hand: say why it is refused.

    Labels are not compared: of a few probes one may stand at the border, where fewer bits may move it.

    Args:
        certificate: Of the model.
        precision: Of the copy; ``fp32`` must be exact.
        token_ids: Of the probes.
        cleaned: The probes after cleaning.
        alone: Their logits, float32 (probes, labels).
        together: The same, scored in batches.
        narrow: Logits of the short texts of ``beside_every_width``, alone.
        widened: The same, beside its wide ones.
    """
    import numpy as np

    refusals = list(_unlike_probes(certificate, token_ids, cleaned))
    certified = np.array([probe.logits for probe in certificate.probes])
    if not alone.shape == together.shape == certified.shape:
        return (*refusals, f"its logits have shapes {alone.shape} and {together.shape}")
    if not all(np.isfinite(each).all() for each in (alone, together, widened)):
        return (*refusals, "its logits are not finite")
    spread = _spread(certified)
    difference = float(np.abs(alone - certified).max())
    error_share = float(np.sqrt(np.mean((alone - certified) ** 2))) / spread
    if precision in EXACT and difference > certificate.bound:
        refusals.append(f"logits differ by {difference:.3g}, allowed are {certificate.bound:g}")
    if precision not in EXACT and error_share > ERROR_SHARE:
        refusals.append(f"logits differ by {error_share:.0%} of their spread, allowed are {ERROR_SHARE:.0%}")
    neighbours = max(float(np.abs(alone - together).max()), float(np.abs(narrow - widened).max()))
    return (*refusals, *_dependent(certificate, precision, neighbours, spread))


def _spread(logits: Logits) -> float:
    """Return how far logits lie from their means; 1 where they are all the same."""
    import numpy as np

    return float(np.sqrt(np.mean((logits - logits.mean(axis=0)) ** 2))) or 1.0


def _dependent(certificate: Certificate, precision: str, difference: float, spread: float) -> Sequence[str]:
    """Say that rows depend on their neighbours, where they do."""
    allowed = certificate.bound if precision in EXACT else max(NEIGHBOUR_SHARE * spread, certificate.bound)
    if difference <= allowed:
        return ()
    return [f"a row's answer depends on its neighbours (by {difference:.3g}, allowed are {allowed:.3g})"]


def _unlike_probes(
    certificate: Certificate, token_ids: Sequence[tuple[int, ...]], cleaned_probes: Sequence[str]
) -> Sequence[str]:
    """Name the first probe that is cleaned or tokenised otherwise."""
    for number, (probe, ids, cleaned) in enumerate(
        zip(certificate.probes, token_ids, cleaned_probes, strict=True), start=1
    ):
        if digest_bytes(cleaned.encode("utf-8", "surrogatepass")) != probe.cleaned_digest:
            return [f"probe {number} is cleaned differently"]
        if ids != probe.token_ids:
            at = next(
                (
                    at
                    for at, (one, other) in enumerate(zip(ids, probe.token_ids, strict=False))
                    if one != other
                ),
                min(len(ids), len(probe.token_ids)),
            )
            return [f"the token ids of probe {number} differ from position {at} on"]
    return []


def _neighbours(found: Mapping[str, Logits]) -> float:
    """Return the largest difference between a row among others and alone."""
    import numpy as np

    step = every_alone(len(found["texts"]))
    pairs = (
        (found["alone"], found["together"]),
        (found["narrow"], found["widened"]),
        (found["texts"][::step], found["rebatched"]),
    )
    return max(float(np.abs(one - other).max()) for one, other in pairs)


def _unusable(refusals: Sequence[str], fact: str) -> Judgement:
    nothing = float("nan")
    return Judgement((*refusals, fact), 0.0, None, None, nothing, nothing, nothing)
