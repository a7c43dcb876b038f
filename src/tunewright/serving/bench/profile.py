"""What is asked of a server, and how: a small YAML file, packaged or your own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from tunewright.config.section import Section
from tunewright.support.errors import InputError, nearest

TEXT, MODEL = "{text}", "{model}"
MOST_TEXTS = 20_000
LONGEST_S = 3600.0
"""Seconds a run may last, and an answer may take."""
FASTEST = 200_000.0
"""Requests a second: more than any server of models answers, so a slip of the finger."""
MOST_REQUESTS = 5_000_000
"""Requests that a run may schedule: each takes some 60 bytes of this machine's memory, and a server's work."""
Rate = float | Literal["max"]


class Profile(Section):
    """One kind of load."""

    path: str = Field(pattern=r"^/\S*$", description="Path of the route, below the server's address.")
    body: Any = Field(description='JSON to post; "{text}" in it becomes a text, "{model}" the model\'s name.')
    headers: dict[str, str] = Field({}, description="Further headers; keys don't belong here.")
    model: str | None = Field(
        None, description="What {model} becomes; without it, entries that say {model} are left out."
    )
    texts: Path | None = Field(None, description="File with a text a line; the bundled messages by default.")
    streams: bool = Field(False, description="The answer is a stream of server-sent events, a token each.")
    counts_tokens: bool = Field(False, description="Read usage.completion_tokens of each answer.")
    arrivals: Literal["poisson", "constant"] = Field("poisson", description="How requests of a rate arrive.")
    rate: Rate = Field(10.0, description="Requests a second; max: each connection asks again at once.")
    duration_s: float = Field(20.0, gt=0, le=LONGEST_S, description="Seconds that are measured.")
    warm_up_s: float = Field(2.0, ge=0, le=LONGEST_S, description="Seconds before, not measured.")
    timeout_s: float = Field(30.0, gt=0, le=LONGEST_S, description="An answer that takes longer is an error.")
    connections: int = Field(64, ge=1, le=20_000, description="Connections at most, over all processes.")
    processes: int = Field(1, ge=1, le=64, description="Client processes, one core each.")
    p99_ms: float | None = Field(None, gt=0, description="Bound on the 99th percentile of latency.")
    seed: int = Field(0, ge=0, description="Seed of the arrivals and of the order of texts.")

    @field_validator("rate")
    @classmethod
    def _is_bounded(cls, rate: Rate) -> Rate:
        if rate != "max" and not 0 < rate <= FASTEST:
            raise ValueError(f"must be max, or above 0 and at most {FASTEST:.0f}")
        return rate

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            is_printable = (name + value).isascii() and (name + value).isprintable()
            if not name or not is_printable:
                raise ValueError(f"'{name}' is no header")
        return headers

    @model_validator(mode="after")
    def _ends(self) -> Profile:
        if self.rate != "max" and self.rate * self.total_s > MOST_REQUESTS:
            raise ValueError(f"rate and duration make more than {MOST_REQUESTS:,} requests")
        return self

    @property
    def total_s(self) -> float:
        """Seconds in which requests arrive, warm-up included."""
        return self.warm_up_s + self.duration_s


def names() -> list[str]:
    """Return the names of the packaged profiles."""
    found = (resources.files(__package__) / "profiles").iterdir()
    return sorted(each.name.removesuffix(".yaml") for each in found if each.name.endswith(".yaml"))


def load_profile(name: str, **changes: object) -> Profile:
    """Read a profile.

    Args:
        name: A packaged one, or a YAML file.
        changes: Settings that replace the file's; None leaves what it says.

    Raises:
        InputError: When there is no such profile, or something in it can't be used.
    """
    path, packaged = Path(name), resources.files(__package__) / "profiles" / f"{name}.yaml"
    if name in names():
        text = packaged.read_text(encoding="utf-8")
    elif path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        mend = nearest(name, names()) or f"known: {', '.join(names())}; or give a YAML file"
        raise InputError("is no profile", place=f"'{name}'", mend=mend)
    try:
        values = yaml.safe_load(text)
        if not isinstance(values, dict):
            raise InputError("is no mapping of settings", place=name)
        return Profile(**{**values, **{key: value for key, value in changes.items() if value is not None}})
    except yaml.YAMLError as error:
        raise InputError(f"is not valid YAML ({error})", place=name) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "the whole"
        hint = nearest(key, list(Profile.model_fields)) if first["type"] == "extra_forbidden" else ""
        raise InputError(first["msg"], place=f"{name}: {key}", mend=hint) from None


def read_texts(profile: Profile) -> list[str]:
    """Return the texts that a profile asks with.

    Raises:
        InputError: When its file can't be read, or holds none.
    """
    if profile.texts is None:
        import csv

        bundled = (resources.files("tunewright") / "demo" / "messages.csv").read_text(encoding="utf-8")
        return [row["text"] for row in csv.DictReader(bundled.splitlines())]
    try:
        lines = profile.texts.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't be read as UTF-8 ({error})", place=str(profile.texts)) from error
    texts = [line for line in lines if line.strip()][:MOST_TEXTS]
    if not texts:
        raise InputError("holds no text", place=str(profile.texts))
    return texts


def encode_requests(url: str, profile: Profile, texts: Sequence[str], key: str | None = None) -> list[bytes]:
    """Write each text's whole HTTP request beforehand, so that asking costs the client next to nothing.

    Args:
        url: The server's address.
        profile: What to ask.
        texts: With what.
        key: API key for the header ``Authorization``.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/") + profile.path
    headers = {"Host": parts.netloc.rpartition("@")[2], "Content-Type": "application/json", **profile.headers}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    asked = profile.body if profile.model is not None else _without_model(profile.body)
    requests = []
    for text in texts:
        body = json.dumps(_filled(asked, {TEXT: text, MODEL: profile.model})).encode()
        requests.append(f"POST {path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return requests


def _without_model(template: Any) -> Any:  # noqa: ANN401
    """Return the template without the entries that name a model: a server takes the one that it has."""
    if isinstance(template, dict):
        return {name: _without_model(value) for name, value in template.items() if value != MODEL}
    if isinstance(template, list):
        return [_without_model(value) for value in template if value != MODEL]
    return template


def _filled(template: Any, words: Mapping[str, str | None]) -> Any:  # noqa: ANN401
    """Return the template with its placeholders filled; a text is never itself taken for a template."""
    if isinstance(template, dict):
        return {name: _filled(value, words) for name, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, words) for value in template]
    return words.get(template, template) if isinstance(template, str) else template
