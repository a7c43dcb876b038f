"""The recipe: every knob of a run, typed, bounded and described once.

The same names are used in YAML, on the command line, in Python and in MLflow's parameters. The descriptions
below are what ``tunewright config schema`` gives to editors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """A frozen part of the recipe that refuses keys it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cleaning(Section):
    """Cleaning steps, in the order in which they run; each is off or on."""

    cast: bool = Field(True, description="Turn numbers and booleans in the text column into text.")
    unicode_nfc: bool = Field(True, description="Unicode normal form C.")
    html_entities: bool = Field(True, description="Turn HTML entities such as &amp; into their characters.")
    control_characters: bool = Field(True, description="Drop control and zero-width characters.")
    mentions: Literal["keep", "mask", "drop"] = Field("keep", description="What to do with @name mentions.")
    urls: Literal["keep", "mask", "drop"] = Field("keep", description="What to do with web addresses.")
    whitespace: bool = Field(True, description="Collapse runs of white space and trim the ends.")


class Validation(Section):
    """What makes a row bad, and how many bad rows stop a run."""

    labels: tuple[str, ...] | None = Field(
        None, description="The allowed labels; null takes those in the data."
    )
    min_characters: int = Field(1, ge=1, description="Shorter texts go to quarantine.")
    max_characters: int = Field(100_000, ge=1, description="Longer texts go to quarantine.")
    duplicates: Literal["drop", "keep"] = Field(
        "drop", description="Exact copies of a row (same text, same label)."
    )
    conflicts: Literal["quarantine", "majority", "keep"] = Field(
        "quarantine", description="Rows with the same text and different labels."
    )
    near_duplicate_threshold: OpenShare = Field(0.8, description="Jaccard similarity of near-duplicates.")
    flag_secrets: bool = Field(True, description="Count rows that hold credentials.")
    flag_personal_data: bool = Field(True, description="Count rows that hold e-mails, phone or card numbers.")
    phone_regions: tuple[str, ...] = Field(
        ("US", "GB"), description="Countries whose national phone numbers count; +44 … always does."
    )
    quarantine_flagged: bool = Field(
        False, description="Move rows with secrets to quarantine instead of flagging."
    )
    max_quarantined_share: Share = Field(
        0.1, description="A larger share of bad rows (copies aside) stops the run."
    )
    min_rows_per_label: int = Field(
        3, ge=3, description="A label with fewer rows stops the run: one for each split."
    )


class Versioning(Section):
    """What happens to the pointers to data after each step that gives some."""

    commit: bool = Field(True, description="Commit the pointer files, and nothing else, to git.")
    push: bool = Field(True, description="Send the data to the DVC remote where one is set.")
    git_push: bool = Field(False, description="Push the branch too; never by force.")


class DataConfig(Section):
    """Where the text comes from and how it becomes frozen splits."""

    source: str | None = Field(None, description="File, folder, fsspec URL, or Hugging Face data set id.")
    format: Literal["auto", "csv", "tsv", "json", "jsonl", "parquet", "hub"] = Field(
        "auto", description="Format of the source; auto looks at the name and the first bytes."
    )
    encoding: str | None = Field(None, description="Text encoding; null detects it.")
    delimiter: str | None = Field(None, description="Column separator; null detects it.")
    quoting: Literal["auto", "none", "minimal"] = Field(
        "auto", description="Whether double quotes wrap fields."
    )
    header: Literal["auto", "yes", "no"] = Field(
        "auto", description="Whether the first line names the columns."
    )
    text_column: str | None = Field(None, description="Column with the text; null detects it.")
    label_column: str | None = Field(None, description="Column with the label; null detects it.")
    json_field: str | None = Field(
        None, description="Field of a JSON object that holds the rows (train, data …)."
    )
    hub_config: str | None = Field(None, description="Configuration name of a hub data set.")
    hub_split: str = Field("train", description="Split of a hub data set.")
    revision: str | None = Field(None, description="Revision of a hub data set.")
    max_rows: int | None = Field(None, ge=1, description="Read only the first rows; null reads all.")
    shard_rows: int = Field(100_000, ge=1, description="Rows a parquet shard.")
    split_by: str = Field(
        "near_duplicate", description="What must not stand on both sides: near_duplicate, text, or a column."
    )
    test_share: OpenShare = Field(0.2, description="Share of rows that are frozen for the comparison.")
    validation_share: OpenShare = Field(0.1, description="Share of rows that steer training.")
    cleaning: Cleaning = Cleaning()
    validation: Validation = Validation()
    versioning: Versioning = Versioning()


class ModelConfig(Section):
    """The base model."""

    name: str = Field("minilm", description="A name of the catalogue, a hub id, or a folder.")
    revision: str | None = Field(None, description="Revision of a hub id.")
    max_length: int | None = Field(
        None, ge=8, description="Tokens a text; null takes 256 or what the model can."
    )
    trust_remote_code: bool = Field(
        False, description="Run code that comes with the model. Only if you read it."
    )
    max_unknown_share: Share = Field(0.02, description="A larger share of unknown tokens stops the run.")


class Lora(Section):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685)."""

    r: int = Field(8, ge=1, description="Rank of the adapter.")
    alpha: int = Field(16, ge=1, description="Scale: the update is alpha / r times the product.")
    dropout: Share = Field(0.05, description="Dropout before the adapter.")
    target_modules: tuple[str, ...] | None = Field(
        None, description="Layers to adapt; null: all linear ones."
    )


class TrainingConfig(Section):
    """How the model is fine-tuned."""

    method: Literal["full", "lora"] = Field("full", description="Train every weight, or adapters.")
    initial_head: Literal["fitted", "random"] = Field(
        "fitted",
        description="Start from the head fitted on the frozen base (arXiv:2202.10054), or from chance.",
    )
    epochs: float | None = Field(
        None,
        gt=0,
        description="Passes over the training rows; null: 3, more where that is fewer than 120 steps.",
    )
    batch_size: int = Field(32, ge=1, description="Rows a step and device.")
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate.")
    warmup_share: Share = Field(0.1, description="Share of steps with a rising learning rate.")
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = Field(
        "linear", description="After warm-up."
    )
    weight_decay: float = Field(0.01, ge=0, description="AdamW's weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    gradient_accumulation_steps: int = Field(1, ge=1, description="Batches that make one step.")
    class_weights: Literal["auto", "balanced", "none"] = Field(
        "auto", description="auto weighs classes when the largest is at least ten times the smallest."
    )
    early_stopping_patience: int = Field(
        0, ge=0, description="Epochs without gain before stopping; 0 never stops."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto takes bf16 where a probe shows that the processor gains from it."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="auto takes a GPU when there is one."
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; null takes the cores that are free.")
    batching: Literal["length_grouped", "random"] = Field(
        "length_grouped", description="Batches of similar length, in random order."
    )
    padding: Literal["dynamic", "max_length"] = Field(
        "dynamic", description="Pad to the batch, or to max_length."
    )
    logging_steps: int = Field(10, ge=1, description="Steps between two records of the loss.")
    checkpoint_steps: int | None = Field(
        None, ge=1, description="Steps between checkpoints; null: about ten a run."
    )
    keep_checkpoints: int = Field(2, ge=1, description="Checkpoints kept while training.")
    lora: Lora = Lora()


class Gate(Section):
    """When a challenger replaces the champion."""

    alpha: OpenShare = Field(0.05, description="Chance of promoting a model that is no better.")
    power: OpenShare = Field(0.8, description="Power for the number of rows that the verdict asks for.")
    min_rows: int = Field(100, ge=1, description="Fewer test rows than this can't decide.")
    min_gain: Share = Field(0.01, description="Smallest gain in accuracy worth proving.")
    max_latency_ratio: float = Field(
        1.5, gt=0, description="Challenger's p95 latency over the champion's, at most."
    )
    max_size_ratio: float = Field(2.0, gt=0, description="Challenger's size over the champion's, at most.")
    max_calibration_loss: Share = Field(0.05, description="Rise of the expected calibration error, at most.")
    max_slice_loss: Share = Field(
        0.1, description="Fall of accuracy on any slice that is large enough, at most."
    )
    min_slice_rows: int = Field(30, ge=1, description="Smaller slices don't vote.")


class EvaluationConfig(Section):
    """What is measured, against what, and when it is enough."""

    primary_metric: Literal["f1_macro", "accuracy", "balanced_accuracy"] = Field(
        "f1_macro", description="The figure that picks the best checkpoint and heads the report."
    )
    baselines: tuple[Literal["majority", "tfidf", "base"], ...] = Field(
        ("majority", "tfidf", "base"), description="What stands beside the tuned model."
    )
    bootstrap_samples: int = Field(2000, ge=100, description="Resamples of the paired bootstrap.")
    confidence: OpenShare = Field(0.95, description="Level of the intervals.")
    calibration_bins: int = Field(15, ge=2, description="Bins of the expected calibration error.")
    latency_samples: int = Field(100, ge=10, description="Texts timed one by one.")
    slice_columns: tuple[str, ...] = Field((), description="Columns whose values make slices, beside length.")
    worst_mistakes: int = Field(20, ge=0, description="Mistakes shown in the report.")
    gate: Gate = Gate()


class RegistryConfig(Section):
    """Where runs and models are recorded."""

    tracking_uri: str | None = Field(
        None, description="MLflow server; null: MLFLOW_TRACKING_URI, else local SQLite."
    )
    model_name: str | None = Field(None, description="Registered name; null takes the project's.")
    experiment: str | None = Field(None, description="Experiment; null takes the project's name.")
    probes: int = Field(32, ge=1, description="Inputs in the behaviour certificate.")
    certificate_bound: float = Field(1e-3, gt=0, description="Largest difference of a logit on replay.")


class Orchestration(Section):
    """When Dagster runs what by itself."""

    incoming: str = Field(
        "data/incoming", description="Folder in the project where files with new texts arrive."
    )
    interval_s: int = Field(30, ge=5, description="Seconds between two looks at it.")
    retrain_at: str | None = Field(
        None, description="When to retrain, as a cron expression; null: only when labels arrive."
    )
    sample_rows: int = Field(100, ge=1, description="Rows of each file that are chosen for labelling.")
    runs_at_once: int = Field(1, ge=1, description="Runs that may be under way at the same time.")


class NotebookStep(Section):
    """A notebook that runs as a step of the pipeline."""

    path: str = Field(min_length=1, description="The notebook, below the project's folder.")
    after: str = Field("promote", description="The step whose outputs it looks at; it runs right after it.")
    parameters: dict[str, Any] = Field(
        {}, description="Values for names that its cell tagged `parameters` sets."
    )


class Recipe(Section):
    """Everything that one run depends on."""

    project: str = Field(
        "tunewright", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Name of the project."
    )
    seed: int = Field(42, ge=0, lt=2**32, description="Seed of splits, initial weights and order.")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    registry: RegistryConfig = RegistryConfig()
    orchestration: Orchestration = Orchestration()
    notebooks: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$")], NotebookStep] = Field(
        {}, description="Notebooks that run as steps, by name."
    )

    @property
    def model_name(self) -> str:
        """The registered model's name."""
        return self.registry.model_name or self.project

    @property
    def experiment(self) -> str:
        """The MLflow experiment's name."""
        return self.registry.experiment or self.project
