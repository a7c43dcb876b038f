"""``tunewright init``: make a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunewright.support.console import say


def init(
    folder: Annotated[Path, typer.Argument(help="The project's folder; its name becomes the project's.")],
    source: Annotated[str | None, typer.Option(help="File, folder, URL or data set id to train on.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Start with the bundled customer messages.")] = False,
    template: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Start with a bundled project for a language model: pretrain, extract, chat, preference.",
        ),
    ] = None,
) -> None:
    """Make a project: configs you own, git and DVC initialised, nothing trained yet.

    tunewright init spam && cd spam

    tunewright run data.source=../SMSSpamCollection
    """
    from tunewright.pipeline.new_project import create

    project = create(folder, source=source, demo=demo, template=template)
    say(f"made {project.paths.root}")
    say(f"next: cd {folder} && tunewright run" + ("" if source or demo or template else " data.source=FILE"))
