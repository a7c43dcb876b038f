"""A server in a project with API keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from running import Running
    from tunewright.serving.keys import KeyStore


def project_with_config(root: Path) -> Path:
    """Make the least that is a project."""
    (root / "configs").mkdir()
    names = ["data: default", "model: minilm", "training: full", "evaluation: default", "registry: local"]
    lines = "".join(f"  - {name}\n" for name in [*names, "serving: default", "_self_"])
    (root / "configs" / "config.yaml").write_text(f"defaults:\n{lines}project: mail\n")
    return root


@dataclass
class Guarded:
    """The server, and the secrets of its keys."""

    root: Path
    store: KeyStore
    secrets: dict[str, str] = field(default_factory=dict)
    running: Running = field(init=False)

    def make(self, name: str, *words: str) -> None:
        """Make a key by options of ``tunewright keys make``."""
        given = dict(zip(words[::2], words[1::2], strict=True))
        scopes = [given.pop("--scope")] if "--scope" in given else ["infer", "feedback"]
        limits = {key.strip("-").replace("-", "_"): int(value) for key, value in given.items()}
        self.secrets[name] = self.store.make(name, scopes=scopes, **limits)[1]

    def ask(self, method: str, path: str, name: str = "", *, headers=None) -> requests.Response:
        """Ask with a key, or without; no redirect is followed."""
        given = {"authorization": f"Bearer {self.secrets[name]}"} if name else {}
        return requests.request(
            method, self.running.url + path, headers=headers or given, timeout=10, allow_redirects=False
        )

    def classify(self, text: str, name: str = "") -> requests.Response:
        return self.running.classify(text, headers={"x-api-key": self.secrets[name]} if name else {})
