"""``tunewright bench``: load on a running server, and what it takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunewright.support.console import emit_json, output, say
from tunewright.support.errors import InputError, TunewrightError

if TYPE_CHECKING:
    from tunewright.serving.bench.benching import Bench, Run
    from tunewright.serving.bench.figures import Figures, Percentiles
    from tunewright.serving.bench.profile import Profile
    from tunewright.serving.bench.search import Tried

app = typer.Typer(no_args_is_help=True, help="Measure how a running server bears load.")
KEY = "TUNEWRIGHT_API_KEY"
SEARCH = "search"


@app.callback()
def _bench() -> None:
    """Keep ``bench`` a group, though it has one command."""


@app.command()
def serve(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server, such as http://127.0.0.1:8000.")],
    profile: Annotated[
        str, typer.Option(help="classify, chat, chat-stream, invocations, or a YAML file of your own.")
    ] = "classify",
    rate: Annotated[
        str | None,
        typer.Option(
            help="Requests a second; max: each connection asks again at once; search: needs --p99-ms."
        ),
    ] = None,
    duration: Annotated[float | None, typer.Option(metavar="SECONDS", help="How long to measure.")] = None,
    warm_up: Annotated[float | None, typer.Option(metavar="SECONDS", help="Before, not measured.")] = None,
    connections: Annotated[int | None, typer.Option(help="Connections at most.")] = None,
    processes: Annotated[int | None, typer.Option(help="Client processes, one core each.")] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="What is later is an error.")
    ] = None,
    p99_ms: Annotated[
        float | None, typer.Option(help="Bound on the 99th percentile; exit code 1 beyond.")
    ] = None,
    arrivals: Annotated[str | None, typer.Option(help="poisson or constant.")] = None,
    texts: Annotated[Path | None, typer.Option(metavar="FILE", help="Texts to ask with, one a line.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Name of the model, where the server has several.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of arrivals and order.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it: .png, .svg or .html.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures as JSON.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON line.")] = False,
) -> None:
    """Ask a server as many users would, and say how long each had to wait.

    Requests arrive when they were scheduled, however slow the answers are, and latency counts from then. An API key
    is taken from TUNEWRIGHT_API_KEY. Nothing but the URL is talked to.

    tunewright bench serve http://127.0.0.1:8000 --rate 200 --duration 30 --plot load.png

    tunewright bench serve http://127.0.0.1:8000 --rate search --p99-ms 100
    """
    from tunewright.serving.bench.benching import Bench
    from tunewright.serving.bench.profile import load_profile

    _refuse_files(plot, out, force=force)
    wanted = load_profile(
        profile,
        rate=None if rate in (None, SEARCH) else _number(rate),
        duration_s=duration,
        warm_up_s=warm_up,
        connections=connections,
        processes=processes,
        timeout_s=timeout,
        p99_ms=p99_ms,
        arrivals=arrivals,
        texts=texts,
        model=model,
        seed=seed,
    )
    bench = Bench(url, wanted, key=os.environ.get(KEY))
    bench.check()
    run, tried = _search(bench) if rate == SEARCH else (bench.run(), [])
    facts = _facts(url, profile, run, tried)
    if out is not None:
        from tunewright.support.files import write_json

        write_json(out, facts)
        say(f"figures: {out}")
    if plot is not None:
        from tunewright.serving.bench.plots import draw

        draw(run, plot, title=f"{profile} at {run.profile.rate} a second")
        say(f"drawn: {plot}")
    if json_:
        emit_json(facts)
    else:
        _print(run)
    _judge(run.figures)


def _number(rate: str | None) -> object:
    """Return a rate as the profile takes it, which refuses what is none."""
    try:
        return float(rate or "")
    except ValueError:
        return rate


def _refuse_files(plot: Path | None, out: Path | None, *, force: bool) -> None:
    """Refuse before the run what could not be written after it."""
    for path in (plot, out):
        if path is not None and path.exists() and not force:
            raise InputError("exists already", place=str(path), mend="give another file, or add --force")
    if plot is not None:
        from tunewright.serving.bench.plots import check_suffix

        check_suffix(plot)


def _search(bench: Bench) -> tuple[Run, list[Tried]]:
    def tell(tried: Tried) -> None:
        latency = tried.figures.latency_ms
        p99 = "no answer" if latency is None else f"p99 {latency.p99:,.1f} ms"
        errors = f", {tried.figures.error_share:.1%} without an answer" if tried.figures.error_share else ""
        say(f"{tried.rate:,.1f} a second: {'holds' if tried.holds else 'too much'} ({p99}{errors})")

    found, first = bench.search(tell)
    say(f"closed loop: {first.figures.answered_per_s:,.1f} answers a second")
    if found.rate is None or found.run is None:
        raise TunewrightError(
            f"no rate keeps p99 under {bench.profile.p99_ms:g} ms",
            place=bench.url,
            mend="see the figures of a low --rate",
        )
    return found.run, list(found.tried)


def _facts(url: str, name: str, run: Run, tried: list[Tried]) -> dict[str, Any]:
    import platform
    from datetime import datetime, timezone

    found = {"rate": run.profile.rate, "tried": [{"rate": each.rate, "holds": each.holds} for each in tried]}
    return {
        "url": url,
        "profile": {"name": name, **run.profile.model_dump(mode="json", exclude={"body", "headers"})},
        "machine": {
            "cpus": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **({"search": found} if tried else {}),
        "figures": run.figures.as_json(),
    }


def _print(run: Run) -> None:
    from rich.table import Table

    figures, profile = run.figures, run.profile
    output().print(_headline(figures, profile), markup=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("ms")
    for name in ("p50", "p90", "p95", "p99", "p99.9", "largest", "mean", "count"):
        table.add_column(name, justify="right")
    rows = {
        "latency": figures.latency_ms,
        "first token": figures.first_token_ms,
        "token to token": figures.token_gap_ms,
        "turned away (429)": figures.rejected_ms,
    }
    for name, found in rows.items():
        if found is not None:
            table.add_row(name, *_cells(found))
    output().print(table)
    errors = {kind: count for kind, count in figures.outcomes.items() if count and kind != "ok"}
    if errors:
        output().print(", ".join(f"{kind} {count:,}" for kind, count in errors.items()), markup=False)
    lag = "" if figures.client_lag_p99_ms is None else f", late with p99 {figures.client_lag_p99_ms:.1f} ms"
    say(f"client: {figures.client_cpu_share:.0%} of a core, {figures.client_cpu_us:.0f} µs a request{lag}")


def _headline(figures: Figures, profile: Profile) -> str:
    asked = (
        f"{profile.connections} connections, each asking at once"
        if figures.offered_per_s is None
        else f"{figures.offered_per_s:,.1f} requests a second ({profile.arrivals})"
    )
    tokens = "" if figures.tokens_per_s is None else f", {figures.tokens_per_s:,.1f} tokens a second"
    return (
        f"{asked} for {profile.duration_s:g} s: {figures.answered_per_s:,.1f} right answers a second, goodput"
        f" {figures.goodput_per_s:,.1f}{tokens}"
    )


def _cells(found: Percentiles) -> list[str]:
    shown = (found.p50, found.p90, found.p95, found.p99, found.p999, found.largest, found.mean)
    return [*(f"{each:,.1f}" for each in shown), f"{found.count:,}"]


def _judge(figures: Figures) -> None:
    """Warn of what makes figures worthless, and fail where the bound doesn't hold."""
    if figures.client_is_busy:
        say(
            "the client itself was late, and that is in these figures: add --processes, lower the rate, or run it on"
            " another machine"
        )
    if figures.holds_bound is False:
        p99 = (
            "there was no answer"
            if figures.latency_ms is None
            else f"p99 is {figures.latency_ms.p99:,.1f} ms"
        )
        raise TunewrightError(f"{p99}, beyond the bound of {figures.bound_p99_ms:g} ms")
