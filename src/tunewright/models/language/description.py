"""What a saved language model is, beside its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from tunewright.config.language import Method  # noqa: TC001 -- pydantic reads the annotations
from tunewright.models.chat.masking import Loss  # noqa: TC001
from tunewright.models.language.quantised import Loading  # noqa: TC001

if TYPE_CHECKING:
    from tunewright.models.catalogue import Base


class Identity(BaseModel):
    """What a model was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    digest: str
    """Of its configuration, tokenizer and weight files (``models.checkpoints``)."""
    revision: str | None = None
    location: str = ""
    """A hub id, or the folder where it lay."""

    @classmethod
    def of(cls, base: Base) -> Identity:
        """Return the identity of a base that was resolved."""
        return cls(name=base.name, digest=base.digest, revision=base.revision, location=base.location)


class Description(BaseModel):
    """What ``language_model.json`` holds: all that the weights alone don't say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["full", "adapter"]
    task: Literal["write", "score"] = "write"
    """Whether it answers prompts or scores answers."""
    method: Method = "full"
    max_length: int
    loss_on: Loss | None = None
    """What carried loss in training; ``None``: what suits the row."""
    load_in: Loading = "full"
    """How an adapter's base is held."""
    stop_tokens: tuple[str, ...] = ()
    base: Identity | None = None
