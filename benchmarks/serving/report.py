"""What came out: medians over the rounds, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from serving.contenders import MLFLOW, Contender
from serving.measuring import Load, Visit

if TYPE_CHECKING:
    from serving.overload import Overload

Visits = Mapping[str, Sequence[Visit]]
"""By a contender's title."""


def capacity(visits: Sequence[Visit]) -> float | None:
    """Return the median of the highest rates that held the bound; None where none did."""
    return _median(each.capacity.rate if each.capacity else None for each in visits if each.tried)


def throughput(visits: Sequence[Visit]) -> float:
    """Return the median of what a closed loop was answered, a second."""
    return _median(each.closed_per_s for each in visits if each.tried) or 0.0


def print_servers(contenders: Sequence[Contender], visits: Visits, bound_ms: float) -> None:
    """Print what each server bears and costs."""
    heads = (
        *("server", "engine", f"a second at p99 ≤ {bound_ms:g} ms", f"× {MLFLOW}", "closed loop, a second"),
        *("CPU s per 1,000", "cold start s", "idle MiB", "MiB after load"),
    )
    print(_line(*heads))
    print(_line(*["---"] * len(heads)))
    base = next((capacity(visits[each.title]) for each in contenders if each.name == MLFLOW), None)
    for each in contenders:
        own = visits[each.title]
        sought, bears = [one for one in own if one.tried], capacity(own)
        print(
            _line(
                each.name,
                each.engine,
                _number(bears) or "none holds",
                f"{bears / base:.1f}" if bears and base else "",
                _number(_median(one.closed_per_s for one in sought)),
                _number(_median(one.capacity.cpu_s_per_1000 if one.capacity else None for one in sought)),
                _number(_median(one.cold_start_s for one in own)),
                _number(_median(one.idle_mib for one in own)),
                _number(_median(one.loaded_mib for one in sought)),
            )
        )
    print(
        "\nCPU at the highest rate that held. Memory: proportional set size, summed over all processes of a"
        " server. Cold start: from the start of its process to the first right answer.\n"
    )


def print_loads(contenders: Sequence[Contender], visits: Visits, rates: Sequence[float]) -> None:
    """Print how each answers at loads that are the same for all."""
    names = [f"{rate:,.1f} a second" for rate in sorted(rates)]
    heads = [
        word for name in names for word in (f"{name}: p50 ms", "p95", "p99", "answered", "CPU s per 1,000")
    ]
    print(_line("server", "engine", *heads))
    print(_line(*["---"] * (len(heads) + 2)))
    for each in contenders:
        lives = [one.fixed for one in visits[each.title] if one.fixed]
        cells = [cell for at in range(len(names)) for cell in _load_cells([one[at] for one in lives])]
        print(_line(each.name, each.engine, *cells))
    print("\nAnswers that never came within the timeout count with it.\n")


def print_overload(found: Sequence[Overload], bound_ms: float, seconds: float) -> None:
    """Print what three times the capacity does to ours."""
    heads = (
        *("settings", "capacity", "answered at it", f"answered at 3 × for {seconds:g} s", "share kept"),
        *(f"of these within {bound_ms:g} ms", "429", "429 told by (p99 ms)", "other errors"),
        *("MiB before", "peak", "after", "recovered after s"),
    )
    print(_line(*heads))
    print(_line(*["---"] * len(heads)))
    for one in found:
        others = {kind: n for kind, n in one.over.outcomes.items() if kind not in ("ok", "rejected_429")}
        print(
            _line(
                " ".join(one.words) or "as shipped",
                _number(one.at_capacity.rate),
                _number(one.at_capacity.answered_per_s),
                _number(one.over.answered_per_s),
                f"{one.kept_share:.0%}",
                f"{one.over.goodput_per_s / max(one.over.answered_per_s, 1e-9):.0%}",
                f"{one.rejected_share:.0%}",
                _number(one.rejected_p99_ms),
                ", ".join(f"{n} {kind}" for kind, n in others.items()) or "none",
                _number(one.idle_mib),
                _number(one.peak_mib),
                _number(one.after_mib),
                _number(one.recovery_s) or "not within the run",
            )
        )
    print()


def busy_clients(visits: Visits) -> list[str]:
    """Name the runs whose figures the client itself may have spoiled."""
    return [
        f"{title} at {each.rate:,.1f} a second (late by {each.client_late_ms or 0:.1f} ms)"
        for title, own in visits.items()
        for one in own
        for each in (*one.fixed, *([one.capacity] if one.capacity else []))
        if each.client_is_busy
    ]


def _load_cells(loads: Sequence[Load]) -> list[str]:
    """Return the cells of one load, medians over the rounds."""

    def middle(of: Callable[[Load], float | None]) -> str:
        return _number(_median(map(of, loads)))

    if not loads:
        return [""] * 5
    return [
        middle(lambda one: one.p50_ms),
        middle(lambda one: one.p95_ms),
        middle(lambda one: one.p99_ms),
        f"{1 - statistics.median(one.error_share for one in loads):.1%}",
        middle(lambda one: one.cpu_s_per_1000),
    ]


def _median(values: Iterable[float | None]) -> float | None:
    """Return the median of those that are known, if all or most are."""
    given = list(values)
    known = [each for each in given if each is not None]
    return statistics.median(known) if known and 2 * len(known) > len(given) else None


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
