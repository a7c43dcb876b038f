"""``tunewright config``: what the recipe is, what it may be, where it comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from tunewright.support.console import emit_json, output
from tunewright.support.errors import InputError
from tunewright.support.paths import ProjectPaths

app = typer.Typer(
    no_args_is_help=True, help="Show the recipe, its schema and the groups it is composed from."
)


def _paths() -> ProjectPaths | None:
    try:
        return ProjectPaths.find()
    except InputError:
        return None


@app.command()
def show(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False,
) -> None:
    """Print the composed and validated recipe: `tunewright config show training=lora`."""
    import yaml

    from tunewright.config.compose import compose

    paths = _paths()
    recipe = compose(overrides or [], configs=paths.configs if paths else None).model_dump(mode="json")
    if json_:
        emit_json(recipe)
    else:
        output().print(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).rstrip(), markup=False)


@app.command()
def schema() -> None:
    """Print the JSON schema of the recipe, for editors and programs."""
    from tunewright.config.schema import Recipe

    emit_json(Recipe.model_json_schema())


@app.command()
def groups(json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the groups and their options: `tunewright run GROUP=OPTION` takes one."""
    from tunewright.config.compose import groups as list_groups

    paths = _paths()
    found = list_groups(paths.configs if paths else None)
    if json_:
        emit_json(found)
        return
    for name, options in found.items():
        output().print(f"{name:<12} {' '.join(options)}", markup=False)
