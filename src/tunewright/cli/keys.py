"""``tunewright keys``: who may use this project's server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunewright.support.console import emit_json, output, say

if TYPE_CHECKING:
    from tunewright.serving.keys import Key, KeyStore

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the API keys of this project's server.")
Name = Annotated[str, typer.Argument(help="Name of the key: who or what will use it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def make(
    name: Name,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="infer, feedback, metrics or admin (all); may be given again. [default: infer, feedback]"
        ),
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Requests a minute; without limit by default.")
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Tokens a minute, in and out; without limit by default.")
    ] = None,
    expires: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Days until it expires; never by default.")
    ] = None,
    json_: Json = False,
) -> None:
    """Make a key and show its secret, once: it is kept nowhere.

    tunewright keys make ci --scope infer --requests-per-minute 600 --expires 90
    """
    from tunewright.serving.keys import DEFAULT_SCOPES

    key, secret = _store().make(
        name,
        scopes=scope or DEFAULT_SCOPES,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        days=expires,
    )
    if json_:
        emit_json({**_facts(key), "secret": secret})
        return
    output().print(secret, markup=False)
    say(f"the secret of '{name}'; it is shown this once and kept nowhere")


@app.command("list")
def list_(json_: Json = False) -> None:
    """List the keys, their scopes and limits; never a secret."""
    keys = [_facts(key) for key in _store().known()]
    if json_:
        emit_json(keys)
        return
    if not keys:
        say("no keys; `tunewright keys make NAME` makes one")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("name", "state", "scopes", "requests/min", "tokens/min", "created", "expires"):
        table.add_column(column)
    for key in keys:
        limits = [_or_dash(key[name]) for name in ("requests_per_minute", "tokens_per_minute")]
        days = [_or_dash(key[name])[:10] for name in ("created", "expires")]
        table.add_row(key["name"], key["state"], ", ".join(key["scopes"]), *limits, *days)
    output().print(table)


@app.command()
def revoke(name: Name, json_: Json = False) -> None:
    """Close a key for good; a server that runs refuses it from its next request on."""
    key = _store().revoke(name)
    if json_:
        emit_json(_facts(key))
    else:
        say(f"'{name}' is revoked")


def _store() -> KeyStore:
    from tunewright.serving.keys import FILE, KeyStore
    from tunewright.support.paths import ProjectPaths

    return KeyStore(ProjectPaths.find().state / FILE)


def _facts(key: Key) -> dict[str, Any]:
    from tunewright.serving.keys import utc_now

    return {**key.model_dump(mode="json", exclude={"sha256"}), "state": key.state(utc_now())}


def _or_dash(value: object) -> str:
    return "–" if value is None else str(value)
