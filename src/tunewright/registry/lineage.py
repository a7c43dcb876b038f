"""Where a version came from, and what learned from a row."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.data.dataset import SPLITS
from tunewright.registry.git import git_state
from tunewright.registry.ledger import Ledger
from tunewright.registry.references import Version, find_version, versions_of
from tunewright.registry.tracking import PREFIX, Tracking, explained, without_credentials
from tunewright.support.digests import digest_bytes

if TYPE_CHECKING:
    from mlflow.entities import Run

    from tunewright.data.dataset import Dataset
    from tunewright.registry.executions import Execution

FOLDER = "lineage"
ROWS, ENVIRONMENT, DIFF = f"{FOLDER}/rows.parquet", f"{FOLDER}/environment.json", f"{FOLDER}/change.diff"
RECIPE = "recipe.json"
DIGEST_CHARACTERS = 16
LEARNED_FROM = ("train", "validation")
"""Validation rows steer training, so a model has seen them too."""
PACKAGES = (
    "tunewright",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "accelerate",
    "datasets",
    "mlflow",
    "numpy",
)


def row_digest(text: str) -> str:
    """Identify a row by its text, whatever its case, white space and cleaning of these.

    Returns:
        16 hexadecimal digits of a SHA-256.
    """
    return digest_bytes(" ".join(text.split()).casefold().encode("utf-8", "surrogatepass"))[
        :DIGEST_CHARACTERS
    ]


def log_lineage(run: Execution, dataset: Dataset) -> None:
    """Keep with a run what ``trace`` needs: its rows, its environment and the uncommitted change.

    Args:
        run: The execution that trains.
        dataset: What it reads. A row costs about 20 bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for split in SPLITS:
        rows = dataset.examples(split)
        columns = {
            "digest": pa.array([row_digest(text) for text in rows.texts], pa.string()),
            "split": pa.array([split] * len(rows), pa.string()),
            "row": pa.array(rows.ids, pa.int64()),
            "source": pa.array([without_credentials(name) for name in rows.sources], pa.string()),
        }
        tables.append(pa.table(columns))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / Path(ROWS).name
        pq.write_table(pa.concat_tables(tables), path, compression="zstd")
        run.artifact(path, FOLDER)
    run.json(ENVIRONMENT, environment())
    if diff := git_state(run.tracking.root).diff:
        run.text(DIFF, diff)


def environment() -> dict[str, Any]:
    """Describe the machine and the versions that a result depends on."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": {name: found for name in PACKAGES if (found := _installed(name))},
    }


def trace(tracking: Tracking, reference: str = "") -> dict[str, Any]:
    """Say where a version came from.

    Returns:
        ``model``, ``version``, ``run`` (id, name, status, parent, started_ms), ``commit``, ``dirty``, ``diff``,
        ``config`` (the recipe), ``data`` (digest, and each input's name, context and digest),
        ``environment``, ``base``, ``certificate``, ``verdict``, ``rows`` (by split) and ``ledger``.

    Raises:
        InputError: When the reference names nothing.
    """
    version = find_version(tracking, reference)
    with explained(tracking.uri):
        run = tracking.client.get_run(version.run_id)
    tags = run.data.tags
    entries = [
        item.model_dump(mode="json", by_alias=True)
        for item in Ledger(tracking.ledger).entries(version.name)
        if version.version in (item.version, item.to_version, item.from_version)
    ]
    verdicts = [entry["verdict"] for entry in entries if entry["verdict"]]
    base = {key: version.facts[key] for key in ("base_uri", "base_digest") if key in version.facts}
    return {
        "model": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "uri": version.uri,
        "run": _described(run),
        "commit": tags.get(PREFIX + "commit") or None,
        "dirty": tags.get(PREFIX + "dirty") == "true",
        "diff": _text(tracking, version.run_id, DIFF) or "",
        "config": _json(tracking, version.run_id, RECIPE),
        "data": {"digest": tags.get(PREFIX + "data_digest"), "inputs": _inputs(run)},
        "environment": _json(tracking, version.run_id, ENVIRONMENT),
        "base": base or None,
        "certificate": version.facts.get("certificate"),
        "verdict": version.facts.get("verdict") or (verdicts[-1] if verdicts else None),
        "rows": _row_counts(tracking, version),
        "ledger": entries,
    }


def rows_trained_on(tracking: Tracking, version: str | Version) -> set[str]:
    """Return the digests (see ``row_digest``) of the rows that a version learned from.

    Args:
        tracking: Where.
        version: A version or a reference to one.

    Returns:
        Train and validation rows; empty when the run kept no lineage.
    """
    found = version if isinstance(version, Version) else find_version(tracking, version)
    return {digest for digest, split in _rows(tracking, found.run_id) if split in LEARNED_FROM}


def learned_from(tracking: Tracking, text: str, name: str = "") -> list[tuple[Version, str]]:
    """List the versions whose data held a text, each with the split in which it stood.

    Args:
        tracking: Where.
        text: The row's text.
        name: Registered name; empty takes the project's.
    """
    wanted = row_digest(text)
    found: list[tuple[Version, str]] = []
    for version in versions_of(tracking, name or tracking.model_name):
        splits = sorted({split for digest, split in _rows(tracking, version.run_id) if digest == wanted})
        found += [(version, split) for split in splits]
    return found


def fetched(tracking: Tracking, run_id: str, name: str, folder: Path) -> Path | None:
    """Fetch one artefact of a run.

    Args:
        tracking: Where.
        run_id: The run.
        name: Its path among the artefacts.
        folder: Where to put it.

    Returns:
        The file; None when the run has none of that name.
    """
    with explained(tracking.uri):
        listed = tracking.client.list_artifacts(run_id, str(Path(name).parent) if "/" in name else None)
        if name not in {item.path for item in listed}:
            return None
        return Path(tracking.client.download_artifacts(run_id, name, str(folder)))


def _installed(name: str) -> str | None:
    """Return a package's version."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _rows(tracking: Tracking, run_id: str) -> Sequence[tuple[str, str]]:
    """Read digest and split of a run's rows."""
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as name:
        path = fetched(tracking, run_id, ROWS, Path(name))
        if path is None:
            return []
        table = pq.read_table(path, columns=["digest", "split"])
        return list(zip(table["digest"].to_pylist(), table["split"].to_pylist(), strict=True))


def _row_counts(tracking: Tracking, version: Version) -> dict[str, int]:
    """Count a version's rows by split."""
    counts: dict[str, int] = {}
    for _, split in _rows(tracking, version.run_id):
        counts[split] = counts.get(split, 0) + 1
    return counts


def _text(tracking: Tracking, run_id: str, name: str) -> str | None:
    """Read one text artefact of a run."""
    with tempfile.TemporaryDirectory() as folder:
        path = fetched(tracking, run_id, name, Path(folder))
        return None if path is None else path.read_text(encoding="utf-8")


def _json(tracking: Tracking, run_id: str, name: str) -> Mapping[str, Any] | None:
    """Read one JSON artefact of a run."""
    text = _text(tracking, run_id, name)
    return None if text is None else dict(json.loads(text))


def _described(run: Run) -> dict[str, Any]:
    """Say which run it was."""
    return {
        "id": run.info.run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "step": run.data.tags.get(PREFIX + "step"),
        "parent": run.data.tags.get("mlflow.parentRunId"),
        "started_ms": run.info.start_time,
    }


def _inputs(run: Run) -> list[dict[str, str]]:
    """List the data sets that the run read."""
    if run.inputs is None:
        return []
    return [
        {
            "name": item.dataset.name,
            "digest": item.dataset.digest,
            "context": next((tag.value for tag in item.tags if tag.key == "mlflow.data.context"), ""),
        }
        for item in run.inputs.dataset_inputs
    ]
