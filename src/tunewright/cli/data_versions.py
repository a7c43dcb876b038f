"""``tunewright data log|diff|restore|release|push|pull|remote``: the data over time and in other places."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli.opening import open_project
from tunewright.support.console import emit_json, output, say
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.data.difference import Change, Kind

VERSION = "A commit, run, model version (NAME/3, NAME@champion), digest, or latest."
KINDS: tuple[Kind, ...] = ("added", "removed", "relabelled")
LONGEST = 500
"""Characters of a conversation of which one line is shown."""
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

remote = typer.Typer(no_args_is_help=True, help="Places where data is kept besides this disk.")


def mount(app: typer.Typer) -> None:
    """Add the commands to ``tunewright data``."""
    for command in (log, diff, restore, release, push, pull):
        app.command()(command)
    remote.command("add")(add)
    remote.command("list")(list_)
    app.add_typer(remote, name="remote")


def log(
    all_: Annotated[bool, typer.Option("--all", help="Also what the steps before the split gave.")] = False,
    json_: Json = False,
) -> None:
    """List the versions of the data, newest first, each with its commit and the run that made it."""
    versions = open_project().data.log(every_step=all_)
    if json_:
        emit_json([asdict(version) for version in versions])
        return
    if not versions:
        say("no data version is committed yet: `tunewright run` makes one")
    for each in versions:
        mark = "*" if each.is_current else " "
        output().print(
            f"{mark} {each.commit[:10]}  {each.when[:19]}  {each.step:<9} data {each.digest[:12]}  run {each.run_id}",
            markup=False,
        )


def diff(
    before: Annotated[str, typer.Argument(help=VERSION)],
    after: Annotated[str, typer.Argument(help=VERSION)] = "latest",
    limit: Annotated[int, typer.Option(min=0, help="Rows to show of each kind.")] = 10,
    json_: Json = False,
) -> None:
    """Say which rows were added, removed or relabelled between two versions, as they were read from the source."""
    difference = open_project().data.diff(before, after)
    counts = {kind: difference.count(kind) for kind in KINDS}
    shown = {kind: [each for each in difference.changes if each.kind == kind][:limit] for kind in KINDS}
    if json_:
        rows = {"rows": {"before": difference.before, "after": difference.after}}
        emit_json({**counts, **rows, "changes": [asdict(each) for kind in KINDS for each in shown[kind]]})
        return
    kinds = KINDS if difference.labelled else KINDS[:2]
    words = ", ".join(f"{counts[kind]:,} {kind}" for kind in kinds)
    output().print(f"{difference.before:,} rows before, {difference.after:,} after: {words}", markup=False)
    for kind in KINDS:
        for each in shown[kind]:
            text = each.text if difference.labelled else " ".join(each.text[:LONGEST].split())
            output().print(f"{_sign(each)}  {text}", markup=False, overflow="ellipsis", no_wrap=True)
        if counts[kind] > limit:
            output().print(f"   … {counts[kind] - limit:,} more {kind} (--limit)", markup=False)


def restore(
    version: Annotated[str, typer.Argument(help=VERSION)],
    force: Annotated[bool, typer.Option("--force", help="Replace data that no version holds.")] = False,
    json_: Json = False,
) -> None:
    """Bring back the data of any commit, run or model version, and hold it there.

    Until `tunewright data release`, runs use this data and don't look at the source:

        tunewright data restore shop/1 && tunewright run
    """
    restored = open_project().data.restore(version, force=force)
    if json_:
        emit_json(asdict(restored))
        return
    output().print(
        f"restored {restored.rows:,} rows of {restored.commit[:10]}; their digest is {restored.digest}",
        markup=False,
    )
    say("the data is held there; `tunewright data release` lets it follow the source again")


def release() -> None:
    """Let the data follow the source again after `tunewright data restore`."""
    was_held = open_project().data.release()
    say("the next run reads the source" if was_held else "the data was not held; nothing changed")


def push(
    all_: Annotated[bool, typer.Option("--all", help="Also the data of older commits.")] = False,
    json_: Json = False,
) -> None:
    """Send the data to the default remote: what a run could not send, or older versions too."""
    sent = open_project().data.push(all_versions=all_)
    if json_:
        emit_json({"sent": sent})
        return
    output().print(f"{sent} files sent" if sent else "the remote has everything already")


def pull(
    force: Annotated[bool, typer.Option("--force", help="Replace data that no version holds.")] = False,
    json_: Json = False,
) -> None:
    """Fetch the data that the present commit points to, as in a fresh clone."""
    project = open_project()
    fetched = project.data.pull(force=force)
    digest = project.dataset().manifest.digest
    if json_:
        emit_json({"fetched": fetched, "digest": digest})
        return
    output().print(f"{fetched} files fetched; the data set is {digest}")


def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    url: Annotated[str, typer.Argument(help="A folder, s3://BUCKET/PATH, gs://…, azure://…, ssh://…")],
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", "-o", metavar="KEY=VALUE", help="A setting of DVC's for it, such as endpointurl=…"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a remote of the same name.")] = False,
) -> None:
    """Send data there from now on, after each step that gives some.

    tunewright data remote add store s3://team-data/spam

    Secrets stay in the environment (AWS_ACCESS_KEY_ID …) or in the store's own files.
    """
    options = {}
    for word in option or []:
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise InputError(
                "is not KEY=VALUE",
                place=f"--option {word}",
                mend="such as endpointurl=https://s3.example.org",
            )
        options[key] = value
    why_not = open_project().data.add_remote(name, url, options, replace=force)
    say(f"data goes to {name} from now on; `tunewright data push --all` sends what there is")
    if why_not:
        say(f".dvc/config is not committed: {why_not}")


def list_(json_: Json = False) -> None:
    """List the remotes."""
    found = open_project().data.remotes()
    if json_:
        emit_json([asdict(each) for each in found])
        return
    for each in found:
        output().print(f"{'*' if each.is_default else ' '} {each.name}  {each.url}", markup=False)
    if not found:
        say("none: `tunewright data remote add NAME URL` adds one")


def _sign(change: Change) -> str:
    if change.kind == "relabelled":
        return f"~ {change.before} → {change.after}"
    return f"+ {change.after}" if change.kind == "added" else f"- {change.before}"
