"""``tunewright auth``: passwords and members of the tracking server."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from typing import Annotated

import typer

from tunewright.support.console import emit_json, say

app = typer.Typer(no_args_is_help=True, help="Change your password on the tracking server; add members.")

Json = Annotated[bool, typer.Option("--json", help="Print the facts as one JSON line; never a password.")]


class Level(str, Enum):
    """What a member may do on every experiment and model."""

    READ = "READ"
    USE = "USE"
    EDIT = "EDIT"
    MANAGE = "MANAGE"


@app.command()
def rotate(json: Json = False) -> None:
    """Change your password on the server and in .env, and prove that the old one is refused.

    Takes MLFLOW_TRACKING_NEW_PASSWORD (environment or .env, at least 12 characters) when it is set, else
    makes one. Safe to repeat: a change that was cut off is finished.

    Example: tunewright auth rotate
    """
    from tunewright.registry.auth import rotate as change
    from tunewright.support.paths import ProjectPaths

    done = change(ProjectPaths.find())
    if json:
        emit_json(asdict(done))
    else:
        say(f"the password of '{done.username}' on {done.uri} is changed; {done.dotenv} holds the new one")


@app.command("add-user")
def add_user(
    name: Annotated[str, typer.Argument(help="The member's user name.")],
    permission: Annotated[Level, typer.Option(help="On every experiment and registered model.")] = Level.EDIT,
    json: Json = False,
) -> None:
    """Add a member; the password is made and kept in a file that only you can read.

    Hand the file over on a safe way: it becomes the .env of that person's project, who then runs
    `tunewright auth rotate`. Needs an administrator's credentials in .env.

    Example: tunewright auth add-user ada --permission EDIT
    """
    from tunewright.registry.auth import add_user as add
    from tunewright.support.paths import ProjectPaths

    added = add(ProjectPaths.find(), name, permission=permission.value)
    if json:
        emit_json(asdict(added))
    else:
        say(f"'{added.username}' may {added.permission}; hand over {added.credentials}, then remove it")
