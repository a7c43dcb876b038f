"""``tunewright import``: another tool's configuration as a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tunewright.support.console import console, emit_json, output, say
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from tunewright.config.importing.outcome import Finding, Imported

BY_OBJECTIVE = "trl"
"""The tool whose files don't say what is trained: its commands do."""


def import_(
    tool: Annotated[
        Literal["axolotl", "llamafactory", "trl"],
        typer.Argument(metavar="TOOL", help="Whose file it is: axolotl, llamafactory or trl."),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its YAML or JSON file.")],
    *,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE_OR_FOLDER",
            help="A .yaml file to write, or the project's folder; standard output by default.",
        ),
    ] = None,
    objective: Annotated[
        Literal["sft", "dpo", "orpo", "kto", "reward", "grpo"] | None,
        typer.Option(help="Which trainer a TRL file is for, where its keys don't tell."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print recipe and keys as one JSON line.")] = False,
) -> None:
    """Turn another tool's fine-tuning configuration into a recipe, and say what became of every key.

    tunewright import axolotl qlora.yaml --to configs/config.yaml

    Nothing is dropped silently: each key of the file is listed with its outcome.
    """
    if objective and tool != BY_OBJECTIVE:
        raise InputError("is for trl alone", place="--objective", mend=f"leave it out: a {tool} file says it")
    from tunewright.config.importing.converting import import_config
    from tunewright.config.importing.writing import as_yaml, project_of, root_of, target_of, write

    target = target_of(to) if to else None
    root = root_of(target) if target else None
    imported = import_config(tool, file, objective=objective, root=root)
    if target:
        write(imported, target, force=force)
    if json_:
        emit_json(_facts(imported, target))
        return
    if target is None:
        output().print(as_yaml(imported, project=project_of(file)).rstrip(), markup=False)
    _print(imported, output() if target else console())
    if target:
        say(f"written: {target}")


def _print(imported: Imported, where: Console) -> None:
    """List the keys by what became of them, then what the other tool does unasked."""
    from tunewright.config.importing.outcome import OUTCOMES

    for outcome, meaning in OUTCOMES.items():
        of_it = [each for each in imported.findings if each.outcome == outcome]
        if of_it:
            where.print(f"{outcome} ({len(of_it)}): {meaning}", markup=False, style="bold")
        for line in _lines(of_it):
            where.print(f"  {line}", markup=False)
    if imported.assumptions:
        title = (
            f"assumed ({len(imported.assumptions)}): what {imported.tool} does where the file says nothing"
        )
        where.print(title, markup=False, style="bold")
    for assumed in imported.assumptions:
        note = f"; {assumed.note}" if assumed.note else ""
        where.print(f"  {assumed.key} → {assumed.target}={assumed.value}{note}", markup=False)
    for note in imported.notes:
        where.print(f"note: {note}", markup=False)


def _lines(findings: list[Finding]) -> list[str]:
    """Say what became of each key; keys that set nothing share a line with others of the same reason."""
    lines: dict[str, str] = {}
    for each in findings:
        sets = " ".join(f"{key}={'null' if value is None else value}" for key, value in each.sets.items())
        reason = each.key if sets else each.note
        said = f"{each.key} → {sets}" if sets else each.key
        lines[reason] = f"{lines[reason]}, {said}" if reason in lines else said
        if sets and each.note:
            lines[reason] += f": {each.note}"
    keys = {each.key for each in findings if each.sets}
    return [said if reason in keys or not reason else f"{said}: {reason}" for reason, said in lines.items()]


def _facts(imported: Imported, target: Path | None) -> dict[str, Any]:
    """Return everything as a program wants it."""
    return {
        "tool": imported.tool,
        "file": str(imported.file),
        "written": str(target) if target else None,
        "groups": dict(imported.groups),
        "recipe": dict(imported.values),
        "keys": [
            {"key": each.key, "outcome": each.outcome, "sets": dict(each.sets), "note": each.note}
            for each in imported.findings
        ],
        "counts": imported.counts(),
        "assumed": [
            {"key": each.key, "target": each.target, "value": each.value, "note": each.note}
            for each in imported.assumptions
        ],
        "notes": list(imported.notes),
    }
