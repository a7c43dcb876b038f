"""A model that lies whole in MLflow: what it is, the tags that say so, and how it gets there or leaves nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from tunewright.registry.references import MODEL_URI
from tunewright.registry.storage import remove_model
from tunewright.registry.tracking import PREFIX

if TYPE_CHECKING:
    from pathlib import Path

    from tunewright.registry.executions import Execution

Role = Literal["tuned", "base"]


class LoggedModel(BaseModel):
    """A model that lies whole in MLflow; small enough for a step's pointer file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    """``models:/m-…``."""
    role: Role
    kind: Literal["full", "lora"]
    digest: str
    """Digest of the weights that it owns."""
    weights_sha256: str | None
    """Digest of the weight file, which adapters check; None for an adapter."""
    size_bytes: int
    run_id: str
    certificate: str
    """Digest of its certificate."""
    base_uri: str | None = None
    """For an adapter: the logged model that holds its base."""
    base_digest: str | None = None
    """For an adapter: the digest of that base's weights."""
    base_weights_sha256: str | None = None
    """For an adapter: the digest of that base's weight file."""

    @property
    def model_id(self) -> str:
        """MLflow's id, ``m-…``."""
        return self.uri.removeprefix(MODEL_URI)


def upload(
    run: Execution, folder: Path, logged: LoggedModel, tags: Mapping[str, object], *, model_type: str
) -> LoggedModel:
    """Upload a checked package; READY comes last, and a failure takes everything back."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    client = run.tracking.client
    model = client.create_logged_model(
        run.tracking.experiment_id,
        name=f"{run.tracking.model_name}-{logged.role}",
        source_run_id=run.run_id,
        tags={**facts_of(logged), **tags_of(tags)},
        model_type=model_type,
    )
    try:
        description = Model.load(str(folder))
        description.model_id = description.model_uuid = model.model_id
        description.run_id = run.run_id
        description.artifact_path = model.artifact_location
        description.save(str(folder / "MLmodel"))
        for cache in folder.rglob("__pycache__"):
            shutil.rmtree(cache)
        client.log_model_artifacts(model.model_id, str(folder))
        client.log_outputs(run.run_id, [LoggedModelOutput(model.model_id, step=0)])
        client.finalize_logged_model(model.model_id, "READY")
    except BaseException:
        remove_model(run.tracking, model.model_id)
        raise
    return logged.model_copy(update={"uri": MODEL_URI + model.model_id})


def facts_of(logged: LoggedModel) -> dict[str, str]:
    """Say what a logged model is, as tags."""
    return tags_of(logged.model_dump(exclude={"uri", "run_id"}))


def tags_of(facts: Mapping[str, object]) -> dict[str, str]:
    """Turn facts into tags: our prefix, JSON for what is nested."""

    def text(value: object) -> str:
        if isinstance(value, str):
            return value
        return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)

    return {PREFIX + name: text(value) for name, value in facts.items() if value is not None}
