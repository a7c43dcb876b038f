"""The connection to MLflow: a local store made once under a lock, or a server checked up front."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.registry.presence import MEND_STORE, TRACKING_URI, store_uri
from tunewright.support.environment import prepare_environment
from tunewright.support.errors import InputError, TunewrightError
from tunewright.support.locks import locked

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from tunewright.config.schema import Recipe
    from tunewright.support.paths import ProjectPaths

PREFIX = "tunewright."
"""Every tag of ours starts with this."""

CHECK_TIMEOUT_S = 10
HTTP_UNAUTHORIZED, HTTP_FORBIDDEN, HTTP_NOT_FOUND, HTTP_SERVER_ERROR = 401, 403, 404, 500
CREDENTIALS = re.compile(r"(?<=://)[^/@\s'\"]+@")
DRIVER_ERROR = re.compile(r"\((sqlite3|psycopg2|pymysql|MySQLdb|pyodbc)[\w.]*\)")
"""Begins the line in which SQLAlchemy quotes the database, after words of its own."""
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True, slots=True)
class Tracking:
    """Where this project's runs and models are recorded."""

    uri: str
    experiment_name: str
    experiment_id: str
    model_name: str
    is_local: bool
    """The store is a database that this process opens itself; False for a server."""
    root: Path
    """The project's folder."""
    state: Path
    """The project's local state: locks and, for a local store, database and artefacts."""
    ledger: Path

    @property
    def client(self) -> MlflowClient:
        """The MLflow client of this store, one a process."""
        return _client(self.uri)

    @property
    def place(self) -> str:
        """The store's address without credentials, for messages."""
        return without_credentials(self.uri)

    @contextmanager
    def locked(self, name: str, *, what: str) -> Iterator[None]:
        """Hold one of the project's locks, shared by all processes on this machine."""
        with locked(self.state / "locks" / f"{name}.lock", what=what):
            yield


def connect(recipe: Recipe, paths: ProjectPaths) -> Tracking:
    """Open the tracking store and make the project's experiment when it doesn't exist.

    The address is ``registry.tracking_uri``, else ``MLFLOW_TRACKING_URI``, else SQLite in the project's
    ``.tunewright``. It becomes MLflow's address for this process, which its model loaders rely on.

    Raises:
        InputError: When the server refuses the credentials.
        TunewrightError: When the server can't be reached.
        TunewrightError: When the store can't be opened.
    """
    prepare_environment()
    uri = store_uri(recipe, paths)
    is_local = not uri.startswith(("http://", "https://"))
    if is_local and not uri.split(":", 1)[0].startswith(DATABASES):
        raise InputError(
            "is neither a server nor a database",
            place=f"registry.tracking_uri={without_credentials(uri)}",
            mend="give http(s)://HOST:PORT, or leave it empty for a local store",
        )
    if not is_local:
        _check_server(uri, recipe.experiment)
    with explained(uri):
        _point_mlflow_at(uri)
        experiment_id = (_open_local if is_local else _open_server)(uri, recipe.experiment, paths.state)
    return Tracking(
        uri=uri,
        experiment_name=recipe.experiment,
        experiment_id=experiment_id,
        model_name=recipe.model_name,
        is_local=is_local,
        root=paths.root,
        state=paths.state,
        ledger=paths.ledger,
    )


def without_credentials(text: str) -> str:
    """Take ``user:password@`` out of every address in a text."""
    return CREDENTIALS.sub("", text)


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn an error of MLflow, its store or its transport into one clear line without secrets.

    Raises:
        InputError: When the server refuses the user.
        TunewrightError: For any other failure of the store.
    """
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    place = without_credentials(uri)
    try:
        yield
    except MlflowException as error:
        code: int = error.get_http_status_code()  # type: ignore[no-untyped-call]
        if code in (HTTP_UNAUTHORIZED, HTTP_FORBIDDEN):
            raise _refusal(code, place) from error
        line = _first_line(error)
        raise TunewrightError(f"MLflow failed ({line})", place=place, mend=_mend(line)) from error
    except (requests.RequestException, SQLAlchemyError) as error:
        line = _first_line(error)
        raise TunewrightError(f"the tracking store failed ({line})", place=place, mend=_mend(line)) from error
    except OSError as error:
        reason = error.strerror or _first_line(error)
        raise TunewrightError(
            f"can't be written ({reason})",
            place=str(error.filename or place),
            mend="check the free space and the permissions there",
        ) from error


def _point_mlflow_at(uri: str) -> None:
    """Set MLflow's address for this process, but not its variable, which would redirect the next project opened."""
    import mlflow

    before = os.environ.get(TRACKING_URI)
    mlflow.set_tracking_uri(uri)
    if before is None:
        os.environ.pop(TRACKING_URI, None)
    else:
        os.environ[TRACKING_URI] = before


@cache
def _client(uri: str) -> MlflowClient:
    """Make one client for an address; the registry is the same store."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _open_local(uri: str, experiment: str, state: Path) -> str:
    """Create the database (first use isn't safe for several processes at once) and the experiment."""
    # Imported before the lock is taken: seconds of CPU that processes may spend side by side.
    import_module("mlflow.store.tracking.sqlalchemy_store")

    state.mkdir(parents=True, exist_ok=True)
    with locked(state / "locks" / "mlflow.lock", what="the tracking store"):
        return _experiment(uri, experiment, (state / "artifacts").as_uri())


def _open_server(uri: str, experiment: str, _state: Path) -> str:
    """Find or make the experiment; the server chooses where artefacts lie."""
    return _experiment(uri, experiment, None)


def _experiment(uri: str, name: str, artifact_location: str | None) -> str:
    """Return the id of the experiment, made when it doesn't exist."""
    from mlflow.exceptions import MlflowException

    client = _client(uri)
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage == "deleted":
        raise InputError(
            "the experiment was deleted",
            place=name,
            mend=f"restore it in MLflow, or choose another: registry.experiment={name}-2",
        )
    return str(found.experiment_id)


def _check_server(uri: str, experiment: str) -> None:
    """Ask the server one small question, without retries, so that a fault shows at once."""
    response = _ask(uri, experiment)
    place = without_credentials(uri)
    code: int = response.status_code
    if code in (HTTP_UNAUTHORIZED, HTTP_FORBIDDEN):
        raise _refusal(code, place)
    answered_by_mlflow = "application/json" in response.headers.get("Content-Type", "")
    if code >= HTTP_SERVER_ERROR:
        raise TunewrightError(
            f"the tracking server answers with status {code}", place=place, mend="look at its log"
        )
    if not answered_by_mlflow:
        raise InputError(
            f"is not an MLflow server (status {code})",
            place=place,
            mend="check registry.tracking_uri or MLFLOW_TRACKING_URI",
        )


def _ask(uri: str, experiment: str) -> Any:  # noqa: ANN401
    """Send the request through MLflow's own transport, which knows every kind of credential."""
    import requests
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        return http_request(  # type: ignore[no-untyped-call]
            get_default_host_creds(uri),  # type: ignore[no-untyped-call]
            "/api/2.0/mlflow/experiments/get-by-name",
            "GET",
            params={"experiment_name": experiment},
            max_retries=0,
            timeout=CHECK_TIMEOUT_S,
            raise_on_status=False,
        )
    except (MlflowException, requests.RequestException, UnicodeError, ValueError) as error:
        raise TunewrightError(
            "the tracking server can't be reached",
            place=without_credentials(uri),
            mend="start it (`tunewright server up`) or mend registry.tracking_uri / MLFLOW_TRACKING_URI",
        ) from error


def _refusal(code: int, place: str) -> InputError:
    """Say why the server let nobody in."""
    if code == HTTP_FORBIDDEN:
        return InputError(
            "the tracking server denies this user access",
            place=place,
            mend="ask for permission on the experiment and the registered model",
        )
    if os.environ.get("MLFLOW_TRACKING_USERNAME") or os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return InputError(
            "the tracking server refuses the credentials",
            place=place,
            mend="check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    return InputError(
        "the tracking server wants credentials",
        place=place,
        mend="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    )


def _mend(line: str) -> str:
    """Say what to do about a database that failed."""
    if "disk is full" in line:
        return "free some space and run the same command again"
    if "readonly" in line or "unable to open" in line:
        return "check the permissions there"
    return MEND_STORE if "malformed" in line or "not a database" in line else ""


def _first_line(error: BaseException) -> str:
    """Return the line of an error's text that names the cause, bounded and without credentials."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    driver = next((line for line in lines if DRIVER_ERROR.match(line)), lines[0])
    return without_credentials(driver)[:300]
