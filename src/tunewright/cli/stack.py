"""``tunewright up``, ``down`` and ``status``: the local stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli.opening import open_project
from tunewright.support.console import emit_json, output, say

if TYPE_CHECKING:
    from tunewright.pipeline.stack import StackStatus

Json = Annotated[bool, typer.Option("--json", help="Print the facts as one JSON line.")]


def up(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of Dagster's page; 0 picks one.")] = 3000,
    tracking_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the tracking server; 0 picks one.")
    ] = 5000,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for each part.")] = 120.0,
    json_: Json = False,
) -> None:
    """Start the tracking server and Dagster (page and daemon) for this project, and wait until they answer.

    Files that are put in data/incoming are then answered and sampled, and imported labels retrain, without a hand.
    """
    from tunewright.pipeline.stack import StackOptions
    from tunewright.pipeline.stack import up as start

    _print(start(open_project(), StackOptions(port, tracking_port, timeout)), as_json=json_)


def down(json_: Json = False) -> None:
    """End every process that `tunewright up` started for this project, and what those started."""
    from tunewright.pipeline.stack import down as end

    ended = end(open_project())
    if json_:
        emit_json({"ended": ended})
    else:
        say(f"{ended} processes ended" if ended else "nothing was running")


def status(json_: Json = False) -> None:
    """Say which parts of the local stack run, where, whether they answer, and what memory they take."""
    from tunewright.pipeline.stack import status as ask

    _print(ask(open_project()), as_json=json_)


def _print(found: StackStatus, *, as_json: bool) -> None:
    from tunewright.pipeline.stack import facts

    if as_json:
        emit_json(facts(found))
        return
    for part in found.parts:
        state = "healthy" if part.healthy else "not answering" if part.running else "not running"
        output().print(
            f"{part.name:<9} {state:<14} {part.memory_mb:>6.0f} MB  {part.address or ''}", markup=False
        )
