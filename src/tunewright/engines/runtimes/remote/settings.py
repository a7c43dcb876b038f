"""Where a server is, what it is asked for, and how it is started."""

from __future__ import annotations

import os
import shlex
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tunewright.support.errors import InputError

PREFIX = "TUNEWRIGHT_REMOTE_"


class RemoteSettings(BaseModel):
    """A server of OpenAI's completions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    """Its address up to and with ``/v1``."""
    model: str = ""
    """The name that it serves the model under; the first that it lists by default."""
    command: tuple[str, ...] = ()
    """Starts it, ``{folder}`` standing for the model's folder; run without a shell. Empty: somebody else starts it."""
    health: str = "/health"
    """Path that answers 200 when it is ready."""
    key_variable: str = "TUNEWRIGHT_REMOTE_KEY"
    """Environment variable that holds its key."""
    start_seconds: float = Field(default=600.0, gt=0)
    """How long it may take to become ready: large models load slowly."""
    timeout_seconds: float = Field(default=120.0, gt=0)
    """How long it may be silent before or within an answer."""

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("is no http or https address")
        return value.rstrip("/")

    @property
    def root(self) -> str:
        """Scheme and host, where the health check lies."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def place(self) -> str:
        """Its address as errors name it: without a password that it may hold."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @classmethod
    def from_environment(cls) -> RemoteSettings | None:
        """Read ``TUNEWRIGHT_REMOTE_URL``, ``_MODEL`` and ``_COMMAND``; None where no address is set.

        Raises:
            InputError: When the address isn't one.
        """
        url = os.environ.get(f"{PREFIX}URL", "")
        if not url:
            return None
        try:
            return cls(
                url=url,
                model=os.environ.get(f"{PREFIX}MODEL", ""),
                command=tuple(shlex.split(os.environ.get(f"{PREFIX}COMMAND", ""))),
            )
        except ValueError as error:
            raise InputError(
                "is no http or https address", place=f"{PREFIX}URL", mend="end it in /v1"
            ) from error
