"""What came out: medians over the rounds, as Markdown and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from generation.arms import BASELINES, GENERATE, PIPELINE, Outcome, Task, Timing
from generation.roof import Machine, Roof, precision_of, roof

BILLION = 1e9
NOT_RUN = "not run: no GPU and no --vllm"


@dataclass(frozen=True, slots=True)
class Row:
    """An arm with so many requests at once, medians over the rounds."""

    arm: str
    batch: int
    tokens_per_s: float
    tokens_per_cpu_s: float
    first_token_ms: float | None
    token_ms: float | None
    roof_tokens_per_s: float
    """The most that the roof allows in this precision."""
    bound: str
    """Of the tokens behind the first: ``memory`` or ``arithmetic``."""

    @property
    def share(self) -> float:
        """Of the roof."""
        return self.tokens_per_s / self.roof_tokens_per_s


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm, medians over the rounds."""

    name: str
    load_s: float
    peak_mib: float
    same_tokens: float
    """Share of the first answer's tokens that are those of ``generate()``, up to the first other one."""


@dataclass(frozen=True, slots=True)
class Result:
    """The whole run."""

    task: Task
    machine: Machine
    arms: tuple[Arm, ...]
    rows: tuple[Row, ...]

    def rate(self, arm: str, batch: int) -> float | None:
        """Return tokens a second; None where it wasn't measured."""
        found = (row.tokens_per_s for row in self.rows if (row.arm, row.batch) == (arm, batch))
        return next(found, None)

    def best(self, batch: int) -> Row:
        """Return the fastest of our engines with so many requests at once."""
        ours = [row for row in self.rows if row.batch == batch and row.arm not in BASELINES]
        return max(ours, key=lambda row: row.tokens_per_s)

    def as_json(self) -> dict[str, object]:
        """Return it for programs."""
        return {**asdict(self), "rows": [{**asdict(row), "roof_share": row.share} for row in self.rows]}


def result(task: Task, machine: Machine, rounds: Sequence[Sequence[Outcome]]) -> Result:
    """Take the medians over the rounds."""
    reference = next(each.first_answer for each in rounds[0] if each.arm == GENERATE)
    arms, rows = [], []
    for same in zip(*rounds, strict=True):
        one = same[0]
        arms.append(
            Arm(
                one.arm,
                statistics.median(each.load_s for each in same),
                statistics.median(each.peak_mib for each in same),
                _agreed(one.first_answer, reference),
            )
        )
        rows += [
            _row(one.arm, timings, _roof(task, machine, one.arm, timings[0].batch))
            for timings in zip(*(each.timings for each in same), strict=True)
        ]
    return Result(task, machine, tuple(arms), tuple(rows))


def print_result(found: Result) -> None:
    """Print the tables."""
    task = found.task
    print(
        f"{task.shape.weights:,} parameters ({task.shape.layers} layers of {task.shape.width},"
        f" {task.shape.vocabulary:,} tokens); {task.prompt_tokens} tokens in, {task.output_tokens} out,"
        f" greedy; {task.threads} threads\n"
    )
    _print_engines(found)
    _print_times(found)
    _print_roof(found)
    _print_seeds(found)


def _print_engines(found: Result) -> None:
    heads = [f"tokens/s, {batch} at once" for batch in found.task.batches]
    most = max(found.task.batches)
    print(
        _line(
            "", *heads, "× generate() one by one", "× pipeline", "peak MiB", "load s", "tokens as generate()"
        )
    )
    print(_line(*["---"] * (len(heads) + 6)))
    alone, piped = found.rate(GENERATE, 1), found.rate(PIPELINE, 1)
    for arm in found.arms:
        rates = [found.rate(arm.name, batch) for batch in found.task.batches]
        top = found.rate(arm.name, most) or found.rate(arm.name, 1) or 0.0
        print(
            _line(
                arm.name,
                *map(_number, rates),
                _times(top, alone),
                _times(top, piped),
                f"{arm.peak_mib:,.0f}",
                f"{arm.load_s:.1f}",
                f"{arm.same_tokens:.0%}",
            )
        )
    print(
        f"\nRatios are those of {most} at once (pipeline: one by one). All rates count reading the prompts.\n"
    )


def _print_times(found: Result) -> None:
    batches = found.task.batches
    heads = [
        f"{word}, {batch}" for batch in batches for word in ("first token ms", "each next ms", "per CPU s")
    ]
    print(_line("", *heads))
    print(_line(*["---"] * (len(heads) + 1)))
    for arm in found.arms:
        cells: list[str] = []
        for batch in batches:
            row = next((each for each in found.rows if (each.arm, each.batch) == (arm.name, batch)), None)
            cells += (
                [_number(row.first_token_ms), _number(row.token_ms), _number(row.tokens_per_cpu_s)]
                if row
                else ["", "", ""]
            )
        print(_line(arm.name, *cells))
    print()


def _print_roof(found: Result) -> None:
    machine = found.machine
    peaks = ", ".join(
        f"{kind} {each.operations_per_s / BILLION:,.0f} ({each.by})" for kind, each in machine.peaks.items()
    )
    reads = ", ".join(f"{name} {rate / BILLION:.1f}" for name, rate in machine.read_bandwidth.items())
    print(
        f"Memory: {machine.bandwidth / BILLION:.1f} GB/s; reading as much as the weights have: {reads} GB/s."
    )
    print(f"Peak products on {machine.threads} threads, billion operations a second: {peaks}.\n")
    heads = [word for batch in found.task.batches for word in (f"roof, {batch}", "bound by", "reached")]
    print(_line("", *heads))
    print(_line(*["---"] * (len(heads) + 1)))
    for arm in found.arms:
        rows = [row for row in found.rows if row.arm == arm.name]
        cells = [
            cell for row in rows for cell in (_number(row.roof_tokens_per_s), row.bound, f"{row.share:.0%}")
        ]
        print(_line(arm.name, *cells, *[""] * (len(heads) - len(cells))))
    for batch in found.task.batches:
        best = found.best(batch)
        print(
            f"\n{batch} at once: {best.arm} is the fastest, {best.tokens_per_s:,.0f} tokens/s,"
            f" {best.share:.0%} of the roof of its precision."
        )
    print()


def _print_seeds(found: Result) -> None:
    """Print the table that is usually shown for this comparison: seconds for the same answers, and ratios."""
    most = max(found.task.batches)
    measured = {row.arm for row in found.rows}
    wanted = [
        (PIPELINE, 1),
        (GENERATE, 1),
        (GENERATE, most),
        ("ctranslate2:fp32", most),
        ("ctranslate2:int8", most),
    ]
    fastest = max(
        (row for row in found.rows if row.arm.startswith("openvino:") and row.batch == most),
        key=lambda row: row.tokens_per_s,
        default=None,
    )
    wanted += [(fastest.arm, most)] if fastest else []
    tokens, slowest = most * found.task.output_tokens, found.rate(PIPELINE, 1)
    print(_line("", "at once", f"seconds for {most} answers", "tokens/s", "ratio"))
    print(_line(*["---"] * 5))
    for arm, batch in wanted:
        rate = found.rate(arm, batch)
        if rate is not None:
            print(_line(arm, str(batch), f"{tokens / rate:.1f}", _number(rate), _times(rate, slowest)))
    remote = next((arm for arm in measured if arm.startswith("remote:")), None)
    rate = found.rate(remote, most) if remote else None
    if rate is None:
        print(_line("vLLM", "", NOT_RUN, "", ""))
    else:
        print(_line("vLLM", str(most), f"{tokens / rate:.1f}", _number(rate), _times(rate, slowest)))
    print(
        f"\nThe two that go one by one wrote {found.task.singles} answers; their seconds are taken to {most}.\n"
    )


def _row(arm: str, timings: Sequence[Timing], top: Roof) -> Row:
    batch = timings[0].batch
    output = timings[0].output_tokens // timings[0].answers
    return Row(
        arm=arm,
        batch=batch,
        tokens_per_s=statistics.median(each.output_tokens / each.wall_s for each in timings),
        tokens_per_cpu_s=statistics.median(each.output_tokens / each.cpu_s for each in timings),
        first_token_ms=_median_ms([each.first_token_s for each in timings]),
        token_ms=_median_ms([each.token_s for each in timings]),
        roof_tokens_per_s=batch * output / top.total_s,
        bound=top.write_bound,
    )


def _roof(task: Task, machine: Machine, arm: str, batch: int) -> Roof:
    return roof(
        machine,
        task.shape,
        precision_of(arm),
        batch=batch,
        prompt=task.prompt_tokens,
        output=task.output_tokens,
    )


def _median_ms(seconds: Sequence[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return 1e3 * statistics.median(known) if known else None


def _agreed(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the share of tokens before the first that differs."""
    pairs = list(zip(one, other, strict=True))
    at = next((at for at, (a, b) in enumerate(pairs) if a != b), len(pairs))
    return at / len(pairs)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _times(value: float, base: float | None) -> str:
    return f"{value / base:.1f}" if base else ""
