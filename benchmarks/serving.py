"""``tunewright serve`` beside ``mlflow models serve``, LitServe and Ray Serve: the same model, clients and run.

A classifier of DistilBERT's size answers real messages, one a request. Ours serves a converted copy, the others what
their users would serve: MLflow the registered model as tunewright packages it, LitServe and Ray Serve Transformers in
fp32 with their batching on. Both are also measured with the very copy that ours serves, so that the server is told
apart from the engine. Each server is alone while it is measured, on all cores, which it shares with the client:
nothing is pinned, for a server is free to use every core that the client leaves, and this is the same for all.

For each, turn by turn: cold start, labels of 50 texts compared with the model's own, the highest rate whose p99 holds
a bound (Poisson arrivals that don't wait for answers), then latencies at fixed loads, processor time, memory. Ours is
then asked three times what it can answer.

    python benchmarks/serving.py                    # the figures of the docs, some 12 minutes on 2 cores
    python benchmarks/serving.py --quick            # ours and MLflow's, short

The others need ``pip install 'tunewright[bench]'``. Ray listens on every address of the machine even when it is told
127.0.0.1, so all runs in a network namespace of its own (``unshare``), which has nothing but loopback.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from serving.contenders import OURS, Contender, contenders
from serving.measuring import Settings, at_rates, seek
from serving.overload import Overload, overload
from serving.prepare import Prepared, prepare
from serving.report import (
    Visits,
    busy_clients,
    capacity,
    print_loads,
    print_overload,
    print_servers,
    throughput,
)
from sms_model import LAYERS, WIDTH

KEPT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tunewright-benchmarks" / "serving"
LIBRARIES = ("mlflow", "litserve", "ray", "torch", "transformers", "openvino", "uvicorn")
LOW_SHARE, HIGH_SHARE = 0.5, 0.5
"""Fixed loads: so much of what the weakest bears, and of what ours bears."""
QUEUE_SHARE = 0.5
"""Of the bound: what may wait in the queue of ours that is measured beside the one as shipped."""


def main() -> None:
    """Run the servers in turn and print tables in Markdown."""
    options = _options()
    if options.prepare:
        prepare(options.keep, options.form, layers=options.layers, width=options.width)
        return
    _make(options)
    if not options.quick and not options.isolated:
        _isolate(options.keep)
    _allow_connections()
    prepared = Prepared.read(options.keep)
    settings = Settings(
        bound_ms=options.p99_ms,
        duration_s=options.duration,
        warm_up_s=options.warm_up,
        timeout_s=options.timeout,
        texts=prepared.texts,
    )
    found = contenders(prepared, all_of_them=not options.quick)
    visits = _visit(found, prepared, settings, options.rounds)
    rates = _fixed_rates(found, visits)
    for each in found if rates else []:
        _tell(f"{each.title}: {', '.join(f'{rate:,.1f}' for rate in rates)} a second")
        visits[each.title].append(at_rates(each, prepared, settings, rates))
    over = _overload(found, prepared, settings, visits, options.overload)
    _report(found, visits, rates, over, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--form", default="openvino:int8", help="engine and precision of the copy that ours serves"
    )
    parser.add_argument("--p99-ms", type=float, default=100.0, help="bound on the 99th percentile")
    parser.add_argument("--rounds", type=int, default=2, help="rounds over all servers; the median counts")
    parser.add_argument("--duration", type=float, default=3.0, help="seconds of each run of the client")
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds before, not measured")
    parser.add_argument(
        "--timeout", type=float, default=5.0, help="seconds after which an answer is an error"
    )
    parser.add_argument(
        "--overload", type=float, help="seconds at three times the capacity; 0: none; 60, or 5 with --quick"
    )
    parser.add_argument("--quick", action="store_true", help="ours and MLflow's, short")
    parser.add_argument("--layers", type=int, default=LAYERS, help="of the model")
    parser.add_argument("--width", type=int, default=WIDTH, help="of the model, a multiple of 64")
    parser.add_argument("--keep", type=Path, default=KEPT, help=f"folder of model and copies ({KEPT})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON")
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--isolated", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.duration = 1, min(options.duration, 2.0)
    if options.overload is None:
        options.overload = 5.0 if options.quick else 60.0
    name = f"{options.layers}x{options.width}-{options.form.replace(':', '-')}"
    if not (options.prepare or options.isolated):
        options.keep = (options.keep / name).resolve()
    return options


def _make(options: argparse.Namespace) -> None:
    """Make the model in a process of its own, unless it is there."""
    if options.isolated:
        return
    _tell(f"model, copy and texts: {options.keep}")
    sizes = ["--layers", str(options.layers), "--width", str(options.width), "--form", options.form]
    command = [sys.executable, __file__, "--prepare", "--keep", str(options.keep), *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the model can't be made:\n{done.stderr[-3000:]}")


def _isolate(prepared: Path) -> None:
    """Start again in a network namespace that has nothing but loopback; this call doesn't return."""
    apart = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], check=False).returncode:
        sys.exit(
            "no network namespace can be made here (unshare), and Ray would listen on every address: --quick"
        )
    words = [*sys.argv[1:], "--isolated", "--keep", str(prepared)]
    with_loopback = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    os.execvp(apart[0], [*apart, *with_loopback, sys.executable, __file__, *words])


def _allow_connections() -> None:
    """Let client and servers hold as many connections as the system allows: overload needs thousands."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _visit(found: list[Contender], prepared: Prepared, settings: Settings, rounds: int) -> dict[str, list]:
    """Seek what each server bears, turn by turn."""
    visits: dict[str, list] = {each.title: [] for each in found}
    for number in range(1, rounds + 1):
        for each in found:
            visit = seek(each, prepared, settings)
            visits[each.title].append(visit)
            held = f"{visit.capacity.rate:,.1f} a second" if visit.capacity else "no rate holds"
            _tell(f"{each.title}, round {number} of {rounds}: {held}")
    return visits


def _fixed_rates(found: list[Contender], visits: Visits) -> tuple[float, ...]:
    """Return a load that all survive, and one of half of what ours (the first) bears."""
    borne = [capacity(visits[each.title]) for each in found]
    if not (ours := borne[0]):
        return ()
    return (LOW_SHARE * min(rate for rate in borne if rate), HIGH_SHARE * ours)


def _overload(
    found: list[Contender], prepared: Prepared, settings: Settings, visits: Visits, seconds: float
) -> list[Overload]:
    """Ask ours three times what it can answer: as shipped, and with a queue that is answered within the bound."""
    if not seconds:
        return []
    # The rate that holds a p99 may be far below what can be answered, and three times that no overload.
    own = visits[found[0].title]
    rate = max(throughput(own), capacity(own) or 0.0)
    outcomes = []
    for words in ((), (f"serving.queue_s={QUEUE_SHARE * settings.bound_ms / 1e3:g}",)):
        _tell(f"{OURS} {' '.join(words)}: three times {rate:,.1f} a second")
        outcomes.append(overload(found[0], prepared, settings, rate=rate, seconds=seconds, words=words))
    return outcomes


def _report(
    found: list[Contender],
    visits: Visits,
    rates: tuple[float, ...],
    over: list[Overload],
    options: argparse.Namespace,
) -> None:
    """Print the tables; write everything as JSON where that is wanted."""
    from tunewright.support.machine import describe_machine

    machine = describe_machine()
    hardware = f"{machine.cores} cores of {machine.processor}, {machine.memory_gib} GiB, {machine.system}"
    libraries = ", ".join(f"{name} {known}" for name in LIBRARIES if (known := _version(name)))
    print(
        f"\n{hardware}, clients on the same cores, nothing pinned; {options.rounds} rounds, runs of"
        f" {options.duration:g} s; {libraries}\n"
    )
    print_servers(found, visits, options.p99_ms)
    if rates:
        print_loads(found, visits, rates)
    if over:
        print_overload(over, options.p99_ms, options.overload)
    for line in busy_clients(visits):
        print(f"The client itself was late: {line}")
    if options.json:
        facts = {
            "hardware": hardware,
            "libraries": libraries,
            "options": vars(options),
            "rates": rates,
            "visits": {title: [asdict(one) for one in own] for title, own in visits.items()},
            "overload": [{**asdict(one), "kept_share": one.kept_share} for one in over],
        }
        options.json.write_text(json.dumps(facts, indent=1, default=str), encoding="utf-8")


def _version(name: str) -> str:
    """Return the version of a library; empty where it isn't installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
