"""A project that was moved or copied keeps its models.

MLflow writes the whole path of every artefact folder into its store. Where the local store of a project names another
place than the one it lies in now, the names are mended before anyone reads them.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tunewright.support.console import say
from tunewright.support.locks import locked

ARTIFACTS = "artifacts"
WAIT_S = 30.0
FIND = "SELECT artifact_location FROM experiments WHERE artifact_location LIKE ?"
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
"""Columns of MLflow's tables in which paths of artefacts stand."""


def follow_move(state: Path) -> None:
    """Let the local tracking store in ``state`` (a project's ``.tunewright``) name the folder it lies in now.

    Nothing is done where there is no store, it can't be read, or it names this place already. A copied project is
    treated like a moved one: from then on it reads its own copies.
    """
    database = state / "mlflow.db"
    here = (state / ARTIFACTS).as_uri()
    if not database.is_file() or not (state / ARTIFACTS).is_dir() or not _elsewhere(database, state, here):
        return
    with locked(state / "locks" / "mlflow.lock", what="the tracking store"):
        for before in _elsewhere(database, state, here):
            _rename(database, before, here)
            say(f"the project has moved: its tracking store now names {state / ARTIFACTS}")


def _elsewhere(database: Path, state: Path, here: str) -> list[str]:
    """Return the other places that the store names as its artefact folder."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=WAIT_S)) as store:
            found = store.execute(FIND, (f"file://%/{state.name}/{ARTIFACTS}",)).fetchall()
    except sqlite3.DatabaseError:
        # Without tables yet, or damaged: whoever needs the store says so.
        return []
    return sorted({location for (location,) in found} - {here})


def _rename(database: Path, before: str, here: str) -> None:
    """Replace the beginning of every path, in one transaction."""
    with closing(sqlite3.connect(database, timeout=WAIT_S)) as store, store:
        for table, column in PLACES:
            store.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?)"  # noqa: S608 - our own names
                f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (here, len(before) + 1, before, len(before) + 1, f"{before}/"),
            )
