"""The parts of the recipe that only language models read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunewright.config.section import Section

Method = Literal["full", "lora", "qlora", "dora"]
Objective = Literal["classification", "sft", "pretrain", "dpo", "orpo", "kto", "reward", "grpo"]


class NewModel(Section):
    """A language model of Llama's architecture that starts from nothing, with a tokenizer trained on the rows."""

    vocabulary: int = Field(2048, ge=300, description="Tokens of its byte-level BPE vocabulary, at most.")
    hidden_size: int = Field(192, ge=8, description="Width.")
    layers: int = Field(4, ge=1, description="Layers.")
    heads: int = Field(6, ge=1, description="Attention heads.")
    key_value_heads: int | None = Field(
        None, ge=1, description="Heads that share keys and values (arXiv:2305.13245); null: all their own."
    )
    intermediate_size: int | None = Field(
        None, ge=8, description="Width of the feed-forward layers; null: 8/3 of hidden_size."
    )
    context: int = Field(512, ge=16, description="Tokens that it is made to read.")


class Preference(Section):
    """How a model learns from preferences."""

    beta: float = Field(0.1, gt=0, description="How strongly it is held to the reference model.")
    loss: Literal["sigmoid", "ipo", "hinge"] = Field("sigmoid", description="DPO's loss (arXiv:2305.18290).")
    desirable_weight: float = Field(1.0, gt=0, description="KTO: weight of good answers.")
    undesirable_weight: float = Field(1.0, gt=0, description="KTO: weight of bad answers.")


class Reinforcement(Section):
    """GRPO: learning from rewards that a program can verify (arXiv:2402.03300)."""

    rewards: tuple[Literal["exact_match", "valid_json", "format", "length"], ...] = Field(
        ("exact_match",), min_length=1, description="What an answer is rewarded for; they are added up."
    )
    generations: int = Field(4, ge=2, description="Answers a prompt, compared with each other.")
    max_new_tokens: int = Field(128, ge=1, description="Tokens an answer, at most.")
    temperature: float = Field(1.0, gt=0, description="Of sampling.")
    beta: float = Field(0.0, ge=0, description="How strongly it is held to the reference model; 0: not.")


class Judge(Section):
    """A language model behind an OpenAI-style endpoint that says which of two answers is better; off by default."""

    url: str | None = Field(None, description="Address up to /v1; null asks nobody.")
    model: str = Field("", description="Name of the model to ask there.")
    key_variable: str = Field("OPENAI_API_KEY", description="Environment variable that holds the key.")
    rows: int = Field(100, ge=1, description="Rows that are judged, at most.")
    timeout_s: float = Field(60.0, gt=0, description="Seconds to wait for an answer.")


GenerationMetric = Literal[
    "exact_match", "token_f1", "chrf", "bleu", "rouge_l", "valid", "preferred", "perplexity", "win_rate"
]


class GenerationConfig(Section):
    """How a language model's answers are made and measured."""

    max_new_tokens: int = Field(256, ge=1, description="Tokens an answer, at most.")
    rows: int | None = Field(None, ge=1, description="Test rows that are answered; null: all.")
    batch_size: int = Field(16, ge=1, description="Rows that are answered at once.")
    primary_metric: GenerationMetric = Field(
        "token_f1", description="The figure that heads the report and that the gate looks at."
    )
    answer_format: Literal["any", "json", "regex"] = Field(
        "any", description="What a valid answer is; exact match compares JSON by its values."
    )
    json_schema: str | None = Field(None, description="File with the JSON schema of a valid answer.")
    pattern: str | None = Field(None, description="Regular expression that a valid answer matches whole.")
    general_text: str | None = Field(
        None,
        description="File with held-out general text: its perplexity before and after tells what was forgotten.",
    )
    max_forgetting: float | None = Field(
        None, gt=1, description="Perplexity on it after training over that before, at most; null: only told."
    )
    harness_tasks: tuple[str, ...] = Field(
        (), description="Tasks of lm-evaluation-harness to run, where it is installed."
    )
    judge: Judge = Judge()
