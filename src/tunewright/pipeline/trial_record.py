"""What is known of a trial: its task, what came of it, and its line in the record of the sweep."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tunewright.config.schema import ModelConfig, Recipe  # noqa: TC001 - pydantic needs them at run time
from tunewright.registry.logged import LoggedModel  # noqa: TC001

State = Literal["complete", "pruned", "failed", "running"]
Value = str | int | float | bool | None


class Facts(BaseModel):
    """Frozen facts that are written as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrialTask(Facts):
    """All that a trial's own process needs, beside the project."""

    number: int
    sweep_run_id: str
    """The execution of the sweep, under which the trial's run stands."""
    overrides: tuple[str, ...]
    """What sets it apart from the other trials."""
    recipe: Recipe
    data_digest: str
    base: LoggedModel
    """The untouched base with its fitted head, as the pipeline's step logged it."""
    base_model: ModelConfig
    """The section from which that base was made; a trial with another one fits a head of its own."""


class TrialResult(Facts):
    """What came of a trial."""

    value: float
    """The metric of the weights that were kept, on the validation rows."""
    scores: tuple[float, ...]
    """The metric after each epoch."""
    identity: str
    """Of the training: the name of its checkpoints."""
    kind: Literal["full", "lora"]
    start_digest: str
    """Of the weights that the training began with."""
    encoder_digest: str | None
    """For an adapter: of the encoder under it after the training; the base's, as adapters don't touch it."""
    digest: str
    """Of the weights that it owns in the end: the adapter, or all."""
    steps: int
    seconds: float
    resumed_from_step: int


class TrialRecord(Facts):
    """One line in the record of a sweep."""

    number: int
    state: State
    values: dict[str, Value]
    value: float | None
    scores: tuple[float, ...]
    run_id: str | None
    error: str | None
    result: TrialResult | None
