"""What goes into MLflow, in the form that it takes: flat names, bounded text, no credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.registry.tracking import PREFIX, without_credentials

if TYPE_CHECKING:
    from tunewright.data.dataset import Dataset

MAX_PARAM_CHARACTERS = 6000
MAX_TAG_CHARACTERS = 8000
DATASET_DIGEST_CHARACTERS = 36
"""Width of the column in which MLflow keeps a data set's digest."""


def flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Give nested settings dotted names."""
    found: dict[str, object] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def tags_of(values: Mapping[str, object]) -> dict[str, str]:
    """Prefix and bound tags."""
    return {
        name if "." in name else PREFIX + name: bounded(value, MAX_TAG_CHARACTERS)
        for name, value in values.items()
    }


def bounded(value: object, limit: int) -> str:
    """Write a value as text without credentials, cut where MLflow would refuse it."""
    text = (
        {True: "true", False: "false", None: ""}[value]
        if value is None or isinstance(value, bool)
        else str(value)
    )
    text = without_credentials(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cleaned(value: Any) -> Any:  # noqa: ANN401
    """Take credentials out of every text in a JSON-like value."""
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, Mapping):
        return {name: cleaned(item) for name, item in value.items()}
    return [cleaned(item) for item in value] if isinstance(value, list | tuple) else value


def dataset_entity(dataset: Dataset, split: str) -> Any:  # noqa: ANN401
    """Describe one split as MLflow does: source, schema and profile as JSON."""
    from mlflow.entities import Dataset as DatasetEntity

    manifest = dataset.manifest
    kinds = {"int64": "long", "double": "double", "bool": "boolean"}
    columns = [
        {"name": name, "type": kinds.get(kind, "string"), "required": True}
        for name, kind in manifest.columns.items()
    ]
    profile = {"num_rows": manifest.splits[split], "labels": manifest.split_labels.get(split, {})}
    return DatasetEntity(
        name=f"{Path(without_credentials(manifest.source.uri)).name or 'data'}:{split}",
        digest=manifest.split_digests[split][:DATASET_DIGEST_CHARACTERS],
        source_type="local",
        source=json.dumps({"uri": str(dataset.root / split)}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps(profile),
    )
