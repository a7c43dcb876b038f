"""Any OpenAI-compatible server: vLLM, SGLang … in its own environment, started and watched by us when told."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.engines.runtimes.remote.settings import RemoteSettings
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.engines.interface import Generator, Scorer, Source, Task

PRECISION = "server"
"""What the server holds the weights in is the server's affair; the certificate judges what comes of it."""


class RemoteEngine:
    """A server that reads the copy itself, or one that was started elsewhere on the same model.

    Args:
        settings: Where it is; what the environment says by default.
    """

    name = "remote"
    packages = ("requests",)
    extra = ""

    def __init__(self, settings: RemoteSettings | None = None) -> None:
        self._settings = settings

    def precisions(self, task: Task) -> tuple[str, ...]:
        """Give one where a server is named."""
        named = self._settings or RemoteSettings.from_environment()
        return (PRECISION,) if task == "generation" and named else ()

    def stored_as(self, precision: str) -> str:
        """The server reads the model's own files."""
        return precision

    def refusal(self, source: Source, precision: str) -> str:  # noqa: ARG002 -- the server decides
        """Refuse nothing but classifiers: what a server gets wrong, the certificate refuses."""
        return (
            "servers of this kind answer with text; use openvino" if source.task == "classification" else ""
        )

    def convert(
        self,
        source: Source,
        precision: str,  # noqa: ARG002 -- the server decides
        folder: Path,
        calibration: Sequence[Sequence[int]],  # noqa: ARG002 -- the server decides
    ) -> None:
        """Copy the model as it is, for the server to read."""
        shutil.copytree(source.folder, folder, dirs_exist_ok=True)

    def open_scorer(self, folder: Path, precision: str, threads: int) -> Scorer:  # noqa: ARG002
        """Refuse: there is no classification behind such a server."""
        raise InputError("answers with text, not with labels", place="engine remote", mend="use openvino")

    def open_generator(self, folder: Path, precision: str, threads: int, slots: int) -> Generator:  # noqa: ARG002
        """Connect to the server, which is started on the copy's folder where a command is given.

        Raises:
            InputError: When no server is named.
            TunewrightError: When it doesn't come up.
        """
        from tunewright.engines.copies import language_facts
        from tunewright.engines.runtimes.remote.generator import RemoteGenerator

        settings = self._settings or RemoteSettings.from_environment()
        if settings is None:
            raise InputError(
                "knows of no server",
                place="engine remote",
                mend="set TUNEWRIGHT_REMOTE_URL, and TUNEWRIGHT_REMOTE_COMMAND to have it started",
            )
        return RemoteGenerator(settings, folder, language_facts(folder), slots)
