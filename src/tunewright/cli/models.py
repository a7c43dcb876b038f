"""``tunewright models``: list, show, compare, promote, roll back, delete, purge, trace, merge, export."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tunewright.cli.opening import open_project, project_if_any
from tunewright.support.console import emit_json, output, say

if TYPE_CHECKING:
    from tunewright.pipeline.language_exporting import Exported
    from tunewright.registry.tracking import Tracking

app = typer.Typer(
    no_args_is_help=True,
    help="Registered models: what there is, where it came from, and which one is the champion.\n\n"
    "A MODEL is NAME (its champion), NAME@alias or NAME/3; @alias and 3 alone mean the project's model.",
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="NAME[@alias|/version]; the champion when left out.")
]
Given = Annotated[str, typer.Argument(metavar="MODEL", help="NAME[@alias|/version].")]
Reason = Annotated[str, typer.Option(help="Why, for the ledger.")]
MIB = 1 << 20
EXAMPLES = 20


def _tracking() -> Tracking:
    from tunewright.registry.tracking import connect

    project = open_project()
    return connect(project.last_recipe(), project.paths)


@app.command("list")
def list_(json_: Json = False) -> None:
    """List the versions of the project's model, newest first."""
    from rich.table import Table

    from tunewright.pipeline.headline import listed
    from tunewright.registry.versions import list_versions

    found = list_versions(_tracking())
    if json_:
        emit_json(found)
        return
    table = Table(box=None, pad_edge=False)
    named = listed(found)
    for heading in ("model", "aliases", "role", "kind", *named.values(), "MiB", "created", "run"):
        table.add_column(heading)
    for each in found:
        figures = [f"{each['metrics'][name]:.4f}" if name in each["metrics"] else "" for name in named]
        table.add_row(
            f"{each['name']}/{each['version']}",
            " ".join(each["aliases"]),
            each.get("role", ""),
            each.get("kind", ""),
            *figures,
            f"{each['size_bytes'] / MIB:.1f}",
            each["created"][:10],
            each["run_id"][:8],
        )
    output().print(table)


@app.command()
def show(model: Model = "", json_: Json = False) -> None:
    """Show one version: aliases, run, commit, data digest, certificate, metrics."""
    from tunewright.registry.versions import show as describe

    _print_facts(describe(_tracking(), model), as_json=json_)


@app.command()
def trace(model: Model = "", json_: Json = False) -> None:
    """Say where a version came from: run, commit and uncommitted change, recipe, data, environment, ledger."""
    from tunewright.registry.lineage import trace as follow

    _print_facts(follow(_tracking(), model), as_json=json_)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A model.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    json_: Json = False,
    examples: Annotated[int, typer.Option(min=0, help="Rows shown on which they differ.")] = EXAMPLES,
) -> None:
    """Compare two versions on the frozen test rows: the statistics, and the rows on which they differ.

    tunewright models compare spam/2 spam@champion
    """
    from tunewright.pipeline.comparing import compare_versions

    found = compare_versions(open_project(), a, b)
    if json_:
        emit_json(
            {
                "a": found.a,
                "b": found.b,
                "metrics": {
                    name: each.model_dump(mode="json")
                    for name, each in zip((found.a, found.b), found.metrics, strict=True)
                },
                "comparison": found.comparison.model_dump(mode="json"),
                "disagreements": [each.model_dump(mode="json") for each in found.disagreements],
            }
        )
        return
    for name, metrics in zip((found.a, found.b), found.metrics, strict=True):
        output().print(
            f"{name}: accuracy {metrics.accuracy:.4f}, F1 macro {metrics.f1_macro:.4f}", markup=False
        )
    statistics = found.comparison
    output().print(
        f"{statistics.rows} rows; right alone: {found.a} {statistics.only_a_right}, "
        f"{found.b} {statistics.only_b_right}; mid-p McNemar, two-sided: {statistics.p_two_sided:.2g}",
        markup=False,
    )
    for name, interval in (("accuracy", statistics.accuracy), ("F1 macro", statistics.f1_macro)):
        level = f"{statistics.confidence:.0%} interval"
        output().print(
            f"{name} difference: {interval.value:+.4f} ({level} {interval.low:+.4f} to {interval.high:+.4f})"
        )
    for row in found.disagreements[:examples]:
        output().print(f"  row {row.row}: {row.truth} | {row.a} | {row.b} | {row.text}", markup=False)


@app.command()
def promote(model: Given, reason: Reason = "") -> None:
    """Make a version the champion by hand; the gate is not asked, the ledger remembers."""
    from tunewright.registry.versions import promote as move

    version = move(_tracking(), model, reason=reason or "promoted by hand")
    say(f"{version.reference} is the champion")


@app.command()
def rollback(reason: Reason = "") -> None:
    """Give the champion's place back to the champion before."""
    from tunewright.registry.versions import rollback as back

    version = back(_tracking(), reason=reason)
    say(f"{version.reference} is the champion again")


@app.command()
def delete(
    model: Given,
    reason: Reason = "",
    force: Annotated[
        bool, typer.Option("--force", help="Though it has an alias or is the way back.")
    ] = False,
) -> None:
    """Delete a version; never the champion, nor a base that adapters stand on. `purge` frees its bytes."""
    from tunewright.registry.versions import delete as remove

    version = remove(_tracking(), model, force=force, reason=reason)
    say(f"deleted {version.reference}; `tunewright models purge` frees its bytes")


@app.command()
def purge(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json_: Json = False,
) -> None:
    """Remove the files of models that no version and no adapter needs, and say how many bytes that frees."""
    from dataclasses import asdict

    from tunewright.pipeline.pointers import pointed_at
    from tunewright.registry.purge import purge as sweep
    from tunewright.registry.tracking import connect

    project = open_project()
    swept = sweep(
        connect(project.last_recipe(), project.paths), keep=pointed_at(project.paths), dry_run=dry_run
    )
    if json_:
        emit_json(asdict(swept))
        return
    say(f"{'would free' if dry_run else 'freed'} {swept.freed_bytes:,} bytes of {len(swept.models)} models")


def _print_facts(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(facts)
        return
    import yaml

    output().print(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True).rstrip(), markup=False)


@app.command()
def merge(
    model: Model = "",
    *,
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write; must not exist.")],
    json_: Json = False,
) -> None:
    """Fold a language model's adapter into its base, and prove that it answers the same.

    tunewright models merge support/3 --to merged
    """
    from tunewright.pipeline.language_exporting import export as write

    recipe, paths = project_if_any()
    _say_exported(write(model, to, recipe, merge=True, paths=paths), as_json=json_)


@app.command()
def export(
    model: Model = "",
    *,
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write; must not exist.")],
    format_: Annotated[
        Literal["safetensors", "gguf"], typer.Option("--format", help="gguf needs llama.cpp's converter.")
    ] = "safetensors",
    json_: Json = False,
) -> None:
    """Write a language model as a plain Transformers folder, an adapter as a plain PEFT folder, with its card.

    tunewright models export support/3 --to support-3
    """
    from tunewright.pipeline.language_exporting import export as write

    recipe, paths = project_if_any()
    _say_exported(write(model, to, recipe, merge=False, form=format_, paths=paths), as_json=json_)


def _say_exported(found: Exported, *, as_json: bool) -> None:
    """Say what was written."""
    if as_json:
        emit_json({"folder": str(found.folder), "merged": asdict(found.merged) if found.merged else None})
    else:
        say(f"written to {found.folder}")
