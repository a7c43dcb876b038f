"""Where the tracking server keeps its records and artefacts, checked before the server starts."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.config.dotenv import ARTIFACTS, STORE, read_secrets
from tunewright.registry.server_settings import ServerFiles, scrub
from tunewright.support.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

CONNECT_SECONDS = 5
"""How long a database may take to answer."""

ARTIFACT_MODULES = {"s3": "boto3", "gs": "google.cloud.storage", "wasbs": "azure.storage.blob"}
"""Module that MLflow's artefact store of a scheme imports."""


def settle_store(files: ServerFiles, given: str | None) -> URL:
    """Return the backend store: the option, else the environment, else ``.env``, else SQLite in the project.

    Raises:
        InputError: When it is neither SQLite nor PostgreSQL, can't be reached, or shows a password in an option.
        MissingExtraError: When the PostgreSQL driver isn't installed.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    kept = given or os.environ.get(STORE) or read_secrets(files.dotenv).get(STORE)
    place = "--store" if given else STORE
    try:
        url = make_url(kept or f"sqlite:///{files.store}")
    except ArgumentError:
        raise InputError(
            "is not a database URI", place=place, mend="write postgresql+psycopg2://USER@HOST/DATABASE"
        ) from None
    if given and (url.password or "password" in url.query):
        raise InputError(
            "a password in an option shows in the list of processes",
            place=place,
            mend=f"put the whole URI into .env as {STORE}",
        )
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg2")  # SQLAlchemy 2.1 reads postgresql:// as psycopg 3
        if find_spec("psycopg2") is None:
            raise MissingExtraError("a PostgreSQL store", "postgres")
        _check_database(url, connect_timeout=CONNECT_SECONDS)
    elif url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise InputError(
            f"'{url.get_backend_name()}' is not a store for the server",
            place=place,
            mend="use a sqlite:///FILE or a postgresql+psycopg2://USER@HOST/DATABASE",
        )
    elif Path(url.database).exists():
        _check_database(url)
    elif not Path(url.database).parent.is_dir():
        raise InputError("its folder doesn't exist", place=url.database, mend="make the folder first")
    return url


def settle_artifacts(files: ServerFiles, given: str | None) -> str:
    """Return where artefacts go: the option, else the environment, else ``.env``, else a folder in the project.

    Raises:
        InputError: When the scheme isn't known.
        MissingExtraError: When the library for an object store isn't installed.
    """
    kept = given or os.environ.get(ARTIFACTS) or read_secrets(files.dotenv).get(ARTIFACTS)
    if not kept:
        return str(files.artifacts)
    scheme, mark, _ = kept.partition("://")
    if not mark:
        return str((files.paths.root / kept).resolve())
    if scheme not in ARTIFACT_MODULES:
        raise InputError(
            f"'{scheme}://' is not a place for artefacts",
            place="--artifacts" if given else ARTIFACTS,
            mend=f"use a folder, or {', '.join(f'{name}://' for name in ARTIFACT_MODULES)}",
        )
    if find_spec(ARTIFACT_MODULES[scheme].partition(".")[0]) is None:
        raise MissingExtraError(f"an artefact store on {scheme}://", "cloud")
    return kept


def redacted(store: URL) -> str:
    """Return a store's URI without its password, wherever it stands."""
    query = {name: "***" if name == "password" else value for name, value in store.query.items()}
    return store.set(query=query).render_as_string(hide_password=True)


def passwords_of(store: URL) -> tuple[str | None, ...]:
    """Return the passwords that a store's URI holds."""
    query = store.query.get("password")
    return (store.password, *((query,) if isinstance(query, str) else query or ()))


def _check_database(url: URL, **connect: int) -> None:
    """Open the database once: MLflow itself would try for over a minute before it gives up."""
    import sqlalchemy as sa

    engine = sa.create_engine(url, connect_args=connect)
    try:
        with engine.connect() as connection:
            sa.inspect(connection).get_table_names()
    except sa.exc.SQLAlchemyError as error:
        lines = str(getattr(error, "orig", None) or error).strip().splitlines()
        reason = scrub(lines[0] if lines else "no reason given", passwords_of(url))
        raise InputError(
            f"the database can't be opened ({reason})",
            place=redacted(url),
            mend="check host, database, user and password"
            if url.host
            else "check that it is the right file and that you can write it",
        ) from None
    finally:
        engine.dispose()
