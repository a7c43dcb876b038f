"""The recipe: every knob of a run, typed, bounded and described once.

The same names are used in YAML, on the command line, in Python and in MLflow's parameters. The descriptions
below are what ``tunewright config schema`` gives to editors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tunewright.config.data import DataConfig
from tunewright.config.language import (
    GenerationConfig,
    Method,
    NewModel,
    Objective,
    Preference,
    Reinforcement,
)
from tunewright.config.monitoring import MonitoringConfig
from tunewright.config.section import OpenShare, Section, Share
from tunewright.config.serving import ServingConfig


class ModelConfig(Section):
    """The base model."""

    name: str = Field(
        "minilm", description="A name of the catalogue, a hub id, a folder, or new: one made from model.new."
    )
    revision: str | None = Field(None, description="Revision of a hub id.")
    max_length: int | None = Field(
        None, ge=8, description="Tokens a text; null takes 256 or what the model can."
    )
    trust_remote_code: bool = Field(
        False, description="Run code that comes with the model. Only if you read it."
    )
    max_unknown_share: Share = Field(0.02, description="A larger share of unknown tokens stops the run.")
    template: str | None = Field(
        None, description="File with the chat template to use instead of the tokenizer's own."
    )
    load_in: Literal["full", "8bit", "4bit"] = Field(
        "full", description="How a language model's frozen weights are held; method qlora takes 4bit."
    )
    new: NewModel = NewModel()


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

    objective: Objective = Field(
        "classification",
        description="What is learned: labels of texts, or, by a language model, answers (sft), text (pretrain),"
        " preferences (dpo, orpo, kto, reward), or what a program rewards (grpo).",
    )
    method: Method = Field(
        "full",
        description="Train every weight, or adapters: plain, on a 4-bit base (arXiv:2305.14314), or with the"
        " weights' magnitudes apart (arXiv:2402.09353). Classifiers take full and lora.",
    )
    loss_on: Literal["auto", "assistant", "completion", "all"] = Field(
        "auto", description="Tokens that carry a language model's loss; auto takes what suits the rows."
    )
    max_lost_share: Share = Field(
        0.05, description="Share of the tokens with loss that model.max_length may cut off."
    )
    packing: Literal["auto", "off", "on"] = Field(
        "auto", description="Several rows in one sequence, apart from each other; auto: on a GPU."
    )
    neftune_alpha: float | None = Field(
        None, gt=0, description="Noise on the embeddings while training (arXiv:2310.05914); null: none."
    )
    gradient_checkpointing: Literal["auto", "off", "on"] = Field(
        "auto", description="Compute activations twice instead of keeping them; auto: where memory is short."
    )
    sample_prompts: int = Field(
        3, ge=0, description="Validation prompts that a language model answers after each epoch."
    )
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
    checkpoint_store: str | None = Field(
        None,
        description="fsspec URL (s3://, gs://, file://) that keeps a copy of each checkpoint; null: none.",
    )
    devices: int = Field(1, ge=1, description="Processes that train together, one a device.")
    strategy: Literal["auto", "ddp", "fsdp2", "zero1", "zero2", "zero3"] = Field(
        "auto", description="How several devices share a language model; auto: ddp."
    )
    lora: Lora = Lora()
    preference: Preference = Preference()
    grpo: Reinforcement = Reinforcement()


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
    generation: GenerationConfig = GenerationConfig()


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
    serving: ServingConfig = ServingConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    notebooks: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$")], NotebookStep] = Field(
        {}, description="Notebooks that run as steps, by name."
    )

    @model_validator(mode="after")
    def _methods_suit(self) -> Recipe:
        """Refuse adapters that a classifier can't take."""
        if not self.trains_language_model and self.training.method in {"qlora", "dora"}:
            raise ValueError(
                f"training.method={self.training.method} is for language models: take full or lora, or set"
                " training.objective"
            )
        return self

    @property
    def trains_language_model(self) -> bool:
        """Whether it is about a causal language model; else about a classifier."""
        return self.training.objective != "classification"

    @property
    def model_name(self) -> str:
        """The registered model's name."""
        return self.registry.model_name or self.project

    @property
    def experiment(self) -> str:
        """The MLflow experiment's name."""
        return self.registry.experiment or self.project
