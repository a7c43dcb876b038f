"""Write the two reference pages, ``docs/cli.md`` and ``docs/recipe.md``, from the command line and the schema.

    python tools/make_reference.py

A test compares the committed pages with what this gives, so that they can't go stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ORIGIN = "<!-- Written by tools/make_reference.py; change the code instead. -->\n"
COMMAND_WORDS = ("tunewright ", "cat ")
"""What an example in a command's help starts with."""
WIDTH = 118


def main() -> None:
    """Write both pages."""
    for name, page in (("cli.md", cli_page()), ("recipe.md", recipe_page())):
        (ROOT / "docs" / name).write_text(page, encoding="utf-8")


def cli_page() -> str:
    """Return the reference of the command line: each command with its arguments and options."""
    import typer
    from typer.main import get_command

    from tunewright.cli.app import app

    root = get_command(app)
    context = typer.Context(root, info_name="tunewright")
    head = [
        "# The command line",
        "",
        ORIGIN,
        "A command says the same with `--help`. Exit codes: 0 done, 1 a failure, 2 wrong use or input. Facts go to",
        "standard output, messages and progress to standard error. `--debug` shows tracebacks.",
        "",
    ]
    return "\n".join([*head, *_command_lines(root, context)]).rstrip() + "\n"


def _command_lines(command: Any, context: Any) -> Iterator[str]:  # noqa: ANN401 - a click command, wherever Typer keeps it
    import typer

    inner = getattr(command, "commands", {})
    if context.parent is not None:
        yield from (f"{'##' if context.parent.parent is None else '###'} `{context.command_path}`", "")
    yield from _help_lines(command.help or "")
    if not inner:
        yield from _parameter_lines(command, context)
    for name, each in inner.items():
        if not each.hidden:
            yield from _command_lines(each, typer.Context(each, info_name=name, parent=context))


def _help_lines(text: str) -> Iterator[str]:
    """Give each paragraph of a command's help; neighbours that are commands make one block."""
    lines = [" ".join(each.split()).removeprefix("Example: ") for each in text.split("\n\n")]
    for is_command, group in groupby(lines, key=lambda line: line.startswith(COMMAND_WORDS)):
        if is_command:
            yield from ("```console", *group, "```", "")
        else:
            for line in group:
                yield from (*wrap(line, WIDTH), "")


def _parameter_lines(command: Any, context: Any) -> Iterator[str]:  # noqa: ANN401
    shown = [each for each in command.params if not each.hidden]
    if not shown:
        return
    yield from ("| argument or option | meaning |", "|---|---|")
    for each in shown:
        left, meaning = each.get_help_record(context)
        name = (each.metavar or each.name.upper()) if each.param_type_name == "argument" else left
        yield f"| `{_cell(name)}` | {_cell(meaning)} |"
    yield ""


def recipe_page() -> str:
    """Return the reference of the recipe: each key with its default, what it may be, and what it does."""
    from tunewright.config.schema import Recipe

    schema = Recipe.model_json_schema()
    head = [
        "# Every key of the recipe",
        "",
        ORIGIN,
        "How they are set: [configuration.md](configuration.md). `tunewright config schema` gives the same to editors.",
        "The defaults are the schema's; an option of a group, such as `training=lora`, may set others.",
        "",
    ]
    return "\n".join([*head, *_section_lines(schema, schema["$defs"], "")]).rstrip() + "\n"


def _section_lines(section: Mapping[str, Any], known: Mapping[str, Any], prefix: str) -> Iterator[str]:
    yield from (f"## `{prefix.rstrip('.')}`" if prefix else "## The recipe itself", "")
    yield from (" ".join(section["description"].split()), "")
    yield from ("| key | default | may be | meaning |", "|---|---|---|---|")
    inner = {}
    for name, field in section["properties"].items():
        if "$ref" in field:
            inner[name] = known[field["$ref"].rsplit("/", 1)[1]]
            continue
        for each in field.get("patternProperties", {}).values():
            inner[f"{name}.NAME"] = known[each["$ref"].rsplit("/", 1)[1]]
        default = f"`{json.dumps(field['default'])}`" if "default" in field else "must be given"
        row = (f"`{prefix}{name}`", default, _may_be(field), field["description"])
        yield f"| {' | '.join(_cell(each) for each in row)} |"
    yield ""
    for name, each in inner.items():
        yield from _section_lines(each, known, f"{prefix}{name}.")


def _may_be(field: Mapping[str, Any]) -> str:
    """Say in words what a key accepts."""
    if "anyOf" in field:
        return " or ".join(_may_be(each) for each in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{each}`" for each in field["enum"])
    if field["type"] == "array":
        return f"list of {_may_be(field['items'])}"
    words = {"string": "text", "boolean": "true, false", "integer": "whole number", "object": "mapping"}
    word = words.get(field["type"], field["type"])
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {field[name]:,}" for name, sign in signs.items() if name in field]
    return " ".join([word, " and ".join(bounds)]).strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("&", "&amp;").replace("|", "\\|")


if __name__ == "__main__":
    main()
