"""``tunewright sample``: choose the rows worth labelling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunewright.cli.opening import open_project
from tunewright.support.console import emit_json, output, say


def sample(
    answers: Annotated[
        Path | None,
        typer.Argument(
            metavar="[ANSWERS]", help="Folder that `tunewright infer` wrote; the newest by default."
        ),
    ] = None,
    rows: Annotated[int, typer.Option(help="How many rows to choose.")] = 100,
    strategy: Annotated[
        str, typer.Option(help="diverse, margin, least_confidence, entropy or random.")
    ] = "diverse",
    random_share: Annotated[
        float, typer.Option(help="Share drawn at random from the whole pool, as a control.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="The same seed chooses the same rows.")] = 42,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Rows of other selections may be chosen again.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; one below data/to_label by default.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Choose again; replace the selection there.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Choose rows worth labelling: those that the model is least sure of, and a random control share.

    tunewright sample --rows 50

    tunewright sample data/inferred/incoming --strategy margin --random-share 0.2
    """
    done = open_project().sample(
        answers,
        rows=rows,
        strategy=strategy,  # type: ignore[arg-type]  # refused there, with the nearest name
        random_share=random_share,
        seed=seed,
        repeat=repeat,
        out=out,
        force=force,
    )
    manifest = done.selection.manifest
    if json_:
        facts = {"folder": str(done.selection.folder), "report": str(done.report), "fresh": done.fresh}
        emit_json({**facts, **manifest.model_dump(mode="json")})
        return
    output().print(
        f"{manifest.rows:,} of {manifest.pool:,} rows chosen: {manifest.rows - manifest.control:,} by "
        f"{manifest.strategy}, {manifest.control:,} at random",
        markup=False,
    )
    for reason, count in manifest.left_out.items():
        output().print(f"left out: {count:,} {reason}", markup=False)
    if not done.fresh:
        say("they were chosen before: nothing was done again")
    say(f"selection: {done.selection.folder}")
    say(f"histogram: {done.report}")
