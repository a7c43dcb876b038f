"""``tunewright server``: the team's tracking server."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.support.console import emit_json, output, say

if TYPE_CHECKING:
    from tunewright.registry.server import ServerStatus

app = typer.Typer(
    no_args_is_help=True,
    help="Run a tracking server with passwords, so that a team shares one record of runs and models.",
)

Json = Annotated[bool, typer.Option("--json", help="Print the facts as one JSON line.")]


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks one that is free.")] = 5000,
    store: Annotated[
        str | None,
        typer.Option(
            help="Database: sqlite:///FILE or postgresql+psycopg2://USER@HOST/DB. "
            "With a password: as MLFLOW_BACKEND_STORE_URI in .env instead."
        ),
    ] = None,
    artifacts: Annotated[
        str | None, typer.Option(help="Where model files go: a folder, or s3://BUCKET/PREFIX.")
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name under which clients reach it, when not by this machine's loopback. Repeatable."
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait until it answers.")] = 120.0,
    json: Json = False,
) -> None:
    """Start the server and point this project at it; does nothing when it runs already.

    Passwords are made for you and kept in .env, which only you can read. From then on `tunewright run`
    records on the server.

    Example: tunewright server up --port 5001
    """
    from tunewright.registry.server import up as start
    from tunewright.registry.server_settings import ServerOptions
    from tunewright.support.paths import ProjectPaths

    options = ServerOptions(
        host=host,
        port=port,
        store=store,
        artifacts=artifacts,
        allowed_hosts=tuple(allowed_host or ()),
        timeout_s=timeout,
    )
    _show(start(ProjectPaths.find(), options), as_json=json)


@app.command()
def down(json: Json = False) -> None:
    """End the server and every process of it; its records stay.

    Example: tunewright server down
    """
    from tunewright.registry.server import down as end
    from tunewright.support.paths import ProjectPaths

    ended = end(ProjectPaths.find())
    if json:
        emit_json({"ended": ended})
    else:
        say(f"the tracking server is down ({ended} processes ended)" if ended else "no tracking server runs")


@app.command()
def status(json: Json = False) -> None:
    """Say whether the server runs and answers, where, and what memory it takes.

    Example: tunewright server status --json
    """
    from tunewright.registry.server import status as look
    from tunewright.support.paths import ProjectPaths

    _show(look(ProjectPaths.find()), as_json=json)


def _show(found: ServerStatus, *, as_json: bool) -> None:
    if as_json:
        emit_json(asdict(found))
        return
    if not found.running:
        say("no tracking server runs; start one with `tunewright server up`")
        return
    rows = {
        "address": found.uri,
        "answers": "yes" if found.healthy else "no",
        "process": found.pid,
        "memory": f"{found.memory_mb:.0f} MB in {found.processes} processes",
        "store": found.store,
        "artifacts": found.artifacts,
        "log": found.log,
    }
    for name, value in rows.items():
        output().print(f"{name:<10} {value}", markup=False)
