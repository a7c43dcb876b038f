"""What Dagster shows of a step: its figures, its run in MLflow, the commit of its data, its pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from tunewright.pipeline.executing import last_execution
from tunewright.pipeline.headline import columns
from tunewright.support.files import read_json

if TYPE_CHECKING:
    from tunewright.pipeline.project import Project
    from tunewright.pipeline.runner import StepResult
    from tunewright.pipeline.steps import Step

PAGES = {"evaluate": "reports/evaluation/report.html"}
"""The page of a step that doesn't name it among its outputs."""
Entries = dict[str, Any]


def metadata_of(step: Step, project: Project, result: StepResult) -> Entries:
    """Gather what is known of a step that is up to date."""
    found: Entries = {"state": result.state, "seconds": result.seconds}
    if result.reasons:
        found["reasons"] = dg.MetadataValue.md("\n".join(f"- {reason}" for reason in result.reasons))
    found |= _provenance(step, project)
    found |= _figures(step, project.paths.root)
    pages = [path for path in step.plain if path.endswith(".html")]
    page = project.paths.root / PAGES.get(step.name, *(pages or ["-"]))
    if page.is_file():
        found["page"] = dg.MetadataValue.path(page)
    return found


def _provenance(step: Step, project: Project) -> Entries:
    """Name the MLflow run and the commit, with a link where there is a server."""
    record = last_execution(project.paths, step.name)
    if record is None:
        return {}
    found: Entries = {"mlflow_run": record.run_id, "mlflow_run_name": record.names.run}
    if link := run_link(project, record.run_id):
        found["mlflow"] = dg.MetadataValue.url(link)
    if record.commit:
        found["commit"] = record.commit
    return found


def run_link(project: Project, run_id: str) -> str | None:
    """Return the address of a run's page; ``None`` for a local store, which has none."""
    from tunewright.registry.presence import store_uri
    from tunewright.registry.tracking import without_credentials

    uri = store_uri(project.last_recipe(), project.paths)
    if not uri.startswith(("http://", "https://")):
        return None
    return f"{without_credentials(uri).rstrip('/')}/#/runs/{run_id}"


def _figures(step: Step, root: Path) -> Entries:
    """Read a step's own figures from what it left."""
    reader = READERS.get(step.name)
    return reader(root) if reader else {}


def _ingest(root: Path) -> Entries:
    facts = read_json(root / "data/interim/rows/source.json")
    return {"dagster/row_count": facts["rows"], "labels": facts["labels"], "rejected": facts["rejected"]}


def _clean(root: Path) -> Entries:
    return {"changed": read_json(root / "data/interim/clean/cleaning.json")}


def _validate(root: Path) -> Entries:
    facts = read_json(root / "data/interim/valid/validation.json")
    return {"dagster/row_count": facts["kept"], "quarantined": facts["quarantined"]}


def _split(root: Path) -> Entries:
    facts = read_json(root / "data/processed/manifest.json")
    return {
        "dagster/row_count": sum(facts["splits"].values()),
        "splits": facts["splits"],
        "labels": dg.MetadataValue.md(_bars(facts["labels"])),
        "leaks": facts["leaks"],
        "digest": facts["digest"],
    }


def _check(root: Path) -> Entries:
    return {
        "forecast": dg.MetadataValue.md(
            "\n".join(f"- {line}" for line in read_json(root / "reports/check.json")["lines"])
        )
    }


def _train(root: Path) -> Entries:
    facts = read_json(root / "models/candidate.json")
    last = facts["history"][-1] if facts["history"] else {}
    numbers = {name: float(value) for name, value in last.items() if isinstance(value, int | float)}
    return {"model": facts["logged"]["uri"], "certificate": facts["logged"]["certificate"], **numbers}


def _evaluate(root: Path) -> Entries:
    report = read_json(root / "reports/evaluation/report.json")
    shown = columns(report)
    rows = [
        " | ".join(["", model["name"], *(f"{model['metrics'][name]:.4f}" for name in shown), ""])
        for model in report["models"]
    ]
    heads = " | ".join(["", "model", *shown.values(), ""])
    table = "\n".join([heads, "|" + "---|" * (len(shown) + 1), *rows])
    return {"headline": report["headline"], "comparison": dg.MetadataValue.md(table)}


def _register(root: Path) -> Entries:
    return dict(read_json(root / "models/registered.json"))


def _promote(root: Path) -> Entries:
    verdict = read_json(root / "reports/verdict.json")
    return {"decision": verdict["decision"], "summary": verdict["summary"], "promoted": verdict["promoted"]}


READERS = {
    "ingest": _ingest, "clean": _clean, "validate": _validate, "split": _split, "check": _check, "train": _train,
    "evaluate": _evaluate, "register": _register, "promote": _promote,
}  # fmt: skip


def _bars(counts: dict[str, int], width: int = 30) -> str:
    """Draw counts as bars of text, which Dagster's page shows as they are."""
    most = max(counts.values(), default=1)
    wide = max(map(len, counts), default=0)
    lines = [
        f"{name:<{wide}} {'█' * max(1, round(count / most * width))} {count:,}"
        for name, count in sorted(counts.items(), key=lambda item: -item[1])
    ]
    return "\n".join(["```", *lines, "```"])
