"""How a model is served: address, batches, limits."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tunewright.config.section import OpenShare, Section


def _word(value: Any) -> Any:  # noqa: ANN401
    """Return YAML's ``off``, which it reads as false, as the word."""
    return "off" if value is False else value


class ServingConfig(Section):
    """How requests are taken in, batched and limited."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 lets other machines in.")
    port: int = Field(8000, ge=0, le=65535, description="Port; 0 takes any that is free.")
    tls_certificate: str | None = Field(
        None, description="File with the certificate and those of its issuers, PEM; with it HTTPS is spoken."
    )
    tls_key: str | None = Field(None, description="File with the certificate's key, PEM, without a password.")
    keys: Annotated[Literal["auto", "required", "off"], BeforeValidator(_word)] = Field(
        "auto",
        description="Ask for API keys; auto: when the project has any, or other machines can reach the server.",
    )
    threads: int | None = Field(
        None, ge=1, description="Processor threads of the engine; null takes the cores that are free."
    )
    token_budget: int = Field(1024, ge=1, description="Padded tokens of a batch, at most.")
    max_rows: int = Field(64, ge=1, description="Texts of a batch, at most.")
    max_wait_ms: float = Field(
        2.0, ge=0, description="Time after its arrival that a text may wait for others, at most."
    )
    slots: int = Field(16, ge=1, description="Answers that a language model writes at once.")
    max_new_tokens: int = Field(
        1024, ge=1, description="Tokens of an answer, at most; also where a request names no number."
    )
    max_choices: int = Field(16, ge=1, description="Answers that a request may ask for, at most.")
    queue_tokens: int = Field(
        65_536, ge=1, description="Tokens that may wait; beyond it requests get status 429."
    )
    queue_s: float = Field(
        1.0,
        gt=0,
        description="Time that waiting texts may take the engine, by its speed of late; beyond it they get status 429.",
    )
    timeout_s: float = Field(
        30.0, gt=0, description="Time for an answer, unless x-request-timeout says less; then status 504."
    )
    batch_timeout_s: float = Field(
        60.0, gt=0, description="A worker that is silent about a batch for so long is started again."
    )
    log_format: Annotated[Literal["json", "plain", "off"], BeforeValidator(_word)] = Field(
        "off", description="One line a request on standard error, without texts."
    )
    otlp_endpoint: str | None = Field(
        None, description="Collector of traces; null takes OTEL_EXPORTER_OTLP_ENDPOINT, or none."
    )
    drain_s: float = Field(30.0, gt=0, description="Time for what is in work when the server is told to end.")
    drain_notice_s: float = Field(
        1.0, ge=0, description="Time after that signal in which new requests are still told to go elsewhere."
    )
    watch_s: float = Field(
        10.0, gt=0, description="Time between two looks at what the served alias stands for."
    )
    rollout: Literal["all", "canary", "shadow"] = Field(
        "all",
        description="How a new version gets traffic: all at once, a growing share, or none while it is compared.",
    )
    rollout_steps: tuple[OpenShare, ...] = Field(
        (0.05, 0.25, 0.5),
        min_length=1,
        description="Shares of a canary, growing; after the last one it has all.",
    )
    rollout_step_s: float = Field(
        10.0,
        gt=0,
        description="Time of each step, at least; of all at once, the time in which it may go back.",
    )
    rollout_requests: int = Field(
        200, ge=1, description="Requests that a canary must have had in each step, at least."
    )
    rollout_by: Literal["request", "caller"] = Field(
        "request",
        description="What a share is of: requests by chance, or callers, each of whom keeps a version.",
    )
    rollout_error_share: OpenShare = Field(
        0.01, description="Share of its requests that a new version may fail at where the old one answers."
    )
    rollout_latency_ratio: float = Field(
        1.5,
        gt=1,
        description="An answer, of a language model a token, slower than so many times the old version's p95 is slow.",
    )
    max_body_bytes: int = Field(1_048_576, ge=1, description="Bytes of a request, at most.")
    max_texts: int = Field(256, ge=1, description="Texts of a request, at most.")
    max_characters: int = Field(20_000, ge=1, description="Characters of a text, at most.")

    @model_validator(mode="after")
    def _steps_grow(self) -> ServingConfig:
        if any(one >= other for one, other in pairwise(self.rollout_steps)):
            raise ValueError("rollout_steps must grow, such as [0.05, 0.25, 0.5]")
        return self
