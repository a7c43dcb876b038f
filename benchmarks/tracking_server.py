"""What an authenticated request costs a team's tracking server, and what the server holds in memory.

Starts `tunewright server up` in a fresh project on a free port, sends authenticated requests one after the other, and
reads the processor time of all its processes from the operating system. The baseline is the same server's answer to
a password that it has not cached (each first one is hashed), measured in the same run.

    python benchmarks/tracking_server.py --requests 400
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from tunewright.config.dotenv import read_secrets
from tunewright.pipeline.new_project import create
from tunewright.registry import server_process
from tunewright.registry.server import down, status, up
from tunewright.registry.server_settings import ServerOptions

if TYPE_CHECKING:
    from tunewright.support.paths import ProjectPaths

ROUTE = "/api/2.0/mlflow/experiments/get?experiment_id=0"


def cost(paths: ProjectPaths, session: requests.Session, uri: str, number: int) -> float:
    """Return CPU milliseconds a request over ``number`` requests."""
    processes = server_process.find(paths.state)
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    for _ in range(number):
        session.get(uri + ROUTE, timeout=60)
    return 1000 * (sum(sum(process.cpu_times()[:2]) for process in processes) - before) / number


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=400, help="requests in all")
    options = parser.parse_args()
    rounds = 5
    with tempfile.TemporaryDirectory() as scratch:
        paths = create(Path(scratch) / "team").paths
        uri = up(paths, ServerOptions(port=0)).uri
        try:
            secrets = read_secrets(paths.root / ".env")
            session, stranger = requests.Session(), requests.Session()
            session.auth = (secrets["MLFLOW_TRACKING_USERNAME"], secrets["MLFLOW_TRACKING_PASSWORD"])
            stranger.auth = (secrets["MLFLOW_TRACKING_USERNAME"], "not the password")
            cost(paths, session, uri, 20)
            cached = [cost(paths, session, uri, options.requests // rounds) for _ in range(rounds)]
            hashed = cost(paths, stranger, uri, 10)
            facts = status(paths)
        finally:
            down(paths)
    print("| request | CPU ms, median | min | max |\n|---|---|---|---|")
    print(
        f"| credentials in the cache | {statistics.median(cached):.1f} | {min(cached):.1f} | {max(cached):.1f} |"
    )
    print(f"| credentials not in it | {hashed:.1f} | | |")
    print(f"\n{facts.memory_mb:.0f} MB in {facts.processes} processes after {options.requests} requests")


if __name__ == "__main__":
    main()
