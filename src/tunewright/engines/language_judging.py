"""Whether a converted language model is still the one that was certified: same prompts, same ids, same answers.

In float32 log-probabilities must equal the certified ones within the certificate's bound, and so must every token. A
copy of fewer bits can't: its error is held against the spread of the certified log-probabilities, and the share of the
certified tokens that it still writes is counted, up to where two tokens were about equally likely.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunewright.engines.children import LanguageMeasured, Spoken
    from tunewright.registry.language_certificate import LanguageCertificate, Probe

EXACT = ("fp32",)
ERROR_SHARE = {"int4": 0.35}
OTHER_ERROR_SHARE = 0.15
"""Root mean square error of the certified tokens' log-probabilities over their spread, at most, where bits were left
out: bf16 gives 0.02 to 0.06 and int8 0.04 to 0.12 on the models of the tests, a strong adapter that was not folded in
about 4 (docs/engines.md). int4 is allowed more, and models too small for it are refused nevertheless."""
KEPT_SHARE = 0.8
"""Certified tokens that a copy of fewer bits must still write, those behind a tie left out: all kept every one."""
NEIGHBOUR_SHARE = 0.2
"""What a prompt's neighbours may move a log-probability, over their spread, where bits were left out. bf16 on torch
gives up to 0.1, for its products are summed in another order; every other engine next to nothing."""


@dataclass(frozen=True, slots=True)
class LanguageJudgement:
    """What was found about one copy."""

    refusals: tuple[str, ...]
    """Why it may not be used; empty when it may."""
    max_difference: float
    """Largest difference of a log-probability from the certificate (nats)."""
    error_share: float
    """Root mean square of those differences over the spread of the certified ones."""
    kept_share: float
    """Certified tokens that it writes, too."""
    batch_difference: float
    """Largest difference of a log-probability between a prompt among others and alone."""
    by: str
    """How likelihoods were held: ``given tokens`` (it scored the certified ones), or ``written tokens`` (its own, as
    far as they are the certified ones)."""

    @property
    def passes(self) -> bool:
        """Whether it may be used."""
        return not self.refusals


def judge_language(
    certificate: LanguageCertificate, precision: str, measured: LanguageMeasured
) -> LanguageJudgement:
    """Hold a copy's answers against the certificate.

    Args:
        certificate: Of the model.
        precision: Of the copy; ``fp32`` must be exact.
        measured: What the copy made of the certificate's probes, alone and together.
    """
    exact = precision in EXACT
    spread = _spread(certificate.probes)
    share = ERROR_SHARE.get(precision.partition("-")[0], OTHER_ERROR_SHARE)
    # Two tokens nearer than twice the error allowed may change places.
    tie = 2 * (certificate.bound if exact else share * spread)
    refusals = list(_unlike_prompts(certificate.probes, measured))
    scored = measured.given_alone is not None
    differences = [
        one - other
        for probe, said, values in zip(
            certificate.probes,
            measured.alone,
            measured.given_alone or [()] * len(measured.alone),
            strict=True,
        )
        for one, other in zip(
            values if scored else said.log_probabilities[: _agreed(said.ids, probe.written)],
            probe.log_probabilities,
            strict=scored,
        )
    ]
    if not all(abs(each) < float("inf") for each in differences):
        refusals.append("its log-probabilities are not finite")
    largest = max(map(abs, differences), default=0.0)
    error = (sum(each**2 for each in differences) / max(1, len(differences))) ** 0.5 / spread
    bound = certificate.bound
    if exact and not largest <= bound:
        refusals.append(f"log-probabilities differ by {largest:.3g}, allowed are {bound:g}")
    if not exact and not error <= share:
        refusals.append(f"log-probabilities differ by {error:.0%} of their spread, allowed are {share:.0%}")
    kept = _kept(certificate.probes, measured, tie)
    wanted = 1.0 if exact else KEPT_SHARE
    if kept < wanted:
        refusals.append(f"it writes {kept:.0%} of the certified tokens, wanted are {wanted:.0%}")
    moved, changed = _neighbours(measured, tie)
    allowed = bound if exact else max(NEIGHBOUR_SHARE * spread, bound)
    if moved > allowed or changed:
        what = f"by {moved:.3g}, allowed are {allowed:.3g}" if moved > allowed else "another token"
        refusals.append(f"an answer depends on its neighbours ({what})")
    by = "given tokens" if scored else "written tokens"
    return LanguageJudgement(tuple(refusals), largest, error, kept, moved, by)


def _spread(probes: Sequence[Probe]) -> float:
    """Return the root mean square deviation of the certified log-probabilities from their mean."""
    values = [value for probe in probes for value in probe.log_probabilities]
    mean = sum(values) / max(1, len(values))
    return (sum((value - mean) ** 2 for value in values) / max(1, len(values))) ** 0.5 or 1.0


def _unlike_prompts(probes: Sequence[Probe], measured: LanguageMeasured) -> Sequence[str]:
    """Name the first probe that is rendered or tokenised otherwise."""
    for number, (probe, text, ids) in enumerate(
        zip(probes, measured.prompts, measured.token_ids, strict=True), start=1
    ):
        if text != probe.prompt:
            return [f"the prompt of probe {number} is rendered differently"]
        if ids != probe.token_ids:
            at = _agreed(ids, probe.token_ids)
            return [f"the token ids of probe {number} differ from position {at} on"]
    return []


def _kept(probes: Sequence[Probe], measured: LanguageMeasured, tie: float) -> float:
    """Return the share of the certified tokens that are written, those behind a tie left out."""
    kept = compared = 0
    for number, (probe, said) in enumerate(zip(probes, measured.alone, strict=True)):
        at = _agreed(said.ids, probe.written)
        kept += at
        compared += at
        if at == len(probe.written) or at == len(said.ids):
            compared += len(probe.written) - at
            continue
        own = measured.given_alone[number][at] if measured.given_alone else probe.log_probabilities[at]
        other = said.log_probabilities[at]
        # Without scores of given tokens the two come from different passes, and a tie also needs room for both.
        is_possible = measured.given_alone is not None or math.exp(own) + math.exp(other) <= 1 + tie
        if other - own > tie or not is_possible:
            compared += len(probe.written) - at
    return kept / max(1, compared)


def _neighbours(measured: LanguageMeasured, tie: float) -> tuple[float, bool]:
    """Return what company changes: the largest difference of a log-probability, and whether a token beyond ties."""
    largest = 0.0
    changed = False
    for one, other in zip(measured.alone, measured.together, strict=True):
        at = _agreed(one.ids, other.ids)
        largest = max([largest, *_apart(one.log_probabilities[:at], other.log_probabilities[:at])])
        if at < max(len(one.ids), len(other.ids)):
            changed |= at == min(len(one.ids), len(other.ids)) or _gap(one, other, at) > tie
    for alone, together in zip(measured.given_alone or (), measured.given_together or (), strict=True):
        largest = max([largest, *_apart(alone, together)])
    return largest, changed


def _gap(one: Spoken, other: Spoken, at: int) -> float:
    return abs(one.log_probabilities[at] - other.log_probabilities[at])


def _apart(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [abs(left - right) for left, right in zip(one, other, strict=True)]


def _agreed(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two sequences begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))
