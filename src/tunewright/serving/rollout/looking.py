"""Who looks at the registry, in a process of its own: ``python -m tunewright.serving.rollout.looking``.

MLflow is imported here and nowhere near the server. The first line on standard input is a ``Request`` as JSON; each
further line asks for one look, which is answered by one line. It ends when its input does.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tunewright.engines.registering import ENGINE_TAG
from tunewright.serving.opening import REFERENCE, Request
from tunewright.support.environment import prepare_environment, quieten_libraries
from tunewright.support.errors import TunewrightError
from tunewright.support.paths import ProjectPaths

if TYPE_CHECKING:
    from tunewright.registry.tracking import Tracking

SQLITE = "sqlite:///"
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
"""A look that fails is told and repeated by the server: MLflow needn't."""


class Sighting(BaseModel):
    """What an alias stands for, or why that can't be said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    version: str = ""
    form: str = ""
    """Engine and precision of the copy to serve."""
    fault: str = ""


def main() -> None:
    """Answer looks until the input ends."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    os.environ.update(PATIENCE)
    prepare_environment()
    quieten_libraries()
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what libraries print is no answer
        request = Request.model_validate_json(sys.stdin.readline())
        look = Look(request)
        while sys.stdin.readline():
            answers.write(look.once().model_dump_json() + "\n")
            answers.flush()


class Look:
    """Looks at one reference.

    Args:
        request: What is watched, and where.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._tracking: Tracking | None = None
        self._file: tuple[int, int] | None = None

    def once(self) -> Sighting:
        """Look once; every failure is a part of the answer."""
        from tunewright.registry.references import find_version

        try:
            version = find_version(self._open(), self._request.reference)
        except TunewrightError as error:
            return Sighting(fault=str(error))
        except Exception as error:  # noqa: BLE001 -- whatever a store raises, the server must hear of it
            return Sighting(fault=f"the registry failed ({type(error).__name__})")
        form = version.facts.get(ENGINE_TAG, str(REFERENCE))
        return Sighting(name=version.name, version=str(version.version), form=form)

    def _open(self) -> Tracking:
        """Return the opened store; a file that is gone is never made again, one that was replaced is opened anew."""
        from tunewright.registry.presence import store_uri
        from tunewright.registry.tracking import connect

        paths = ProjectPaths(self._request.root)
        uri = store_uri(self._request.recipe, paths)
        if uri.startswith(SQLITE):
            file = Path(uri.removeprefix(SQLITE))
            if not file.is_file():
                self._tracking = None
                raise TunewrightError("the registry's file is gone", place=str(file))
            facts = file.stat()
            if self._file not in (None, (facts.st_dev, facts.st_ino)):
                os._exit(0)  # MLflow keeps the old file open: the server starts another process
            self._file = (facts.st_dev, facts.st_ino)
        if self._tracking is None:
            self._tracking = connect(self._request.recipe, paths)
        return self._tracking


if __name__ == "__main__":
    main()
