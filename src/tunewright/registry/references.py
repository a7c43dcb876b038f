"""Names of models: ``NAME``, ``NAME@alias``, ``NAME/3``, ``models:/…``, and what they stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from tunewright.registry.tracking import PREFIX, Tracking, explained
from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION = "champion"
MODEL_URI = "models:/"
MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
NOT_FOUND = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a registered model."""

    name: str
    version: int
    uri: str
    """Its logged model, ``models:/m-…``."""
    run_id: str
    created_ms: int
    """Milliseconds since 1970, UTC."""
    aliases: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """Tags of ours, without their prefix."""

    @property
    def reference(self) -> str:
        """``NAME/3``."""
        return f"{self.name}/{self.version}"

    @property
    def base_uri(self) -> str | None:
        """The logged model that an adapter stands on."""
        return self.facts.get("base_uri")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a reference stands for."""

    uri: str
    """``models:/m-…``."""
    version: Version | None
    """None where the reference named a logged model itself."""


def resolve(tracking: Tracking, reference: str = "") -> Resolved:
    """Find what a reference stands for.

    Args:
        tracking: Where.
        reference: ``NAME`` (its champion, else its newest version), ``NAME@alias``, ``NAME/3``,
            ``@alias`` or ``3`` of the project's model, ``models:/…`` with any of these or a logged model's
            id; empty takes the project's champion.

    Raises:
        InputError: When there is no such model, alias or version; it names the nearest.
    """
    short = reference.strip().removeprefix(MODEL_URI)
    if MODEL_ID.fullmatch(short):
        return Resolved(_logged_model(tracking, short), None)
    version = find_version(tracking, short)
    return Resolved(version.uri, version)


def find_version(tracking: Tracking, reference: str = "") -> Version:
    """Find the version that a reference names (see ``resolve``).

    Raises:
        InputError: When there is none.
    """
    name, alias, number = _parsed(tracking, reference.strip().removeprefix(MODEL_URI))
    with explained(tracking.uri):
        model = registered_model(tracking, name)
        if number is not None:
            return _by_number(tracking, name, number)
        if alias is None and reference and CHAMPION not in model.aliases:
            return _newest(tracking, name)
        wanted = alias or CHAMPION
        if wanted not in model.aliases:
            raise InputError(
                f"has no alias '{wanted}'",
                place=name,
                mend=nearest(wanted, list(model.aliases))
                or f"run `tunewright models promote {name}/VERSION`",
            )
        return _by_number(tracking, name, int(model.aliases[wanted]))


def versions_of(tracking: Tracking, name: str) -> list[Version]:
    """List the versions of a registered model, oldest first; empty when there is no such model."""
    from mlflow.exceptions import MlflowException

    quoted = name.replace("'", "")
    with explained(tracking.uri):
        try:
            aliases = tracking.client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code in NOT_FOUND:
                return []
            raise
        found: list[ModelVersion] = []
        token: str | None = None
        while True:
            page = tracking.client.search_model_versions(f"name = '{quoted}'", page_token=token)
            found += page
            token = page.token
            if not token:
                break
    return sorted((version_of(item, aliases) for item in found), key=lambda item: item.version)


def registered_model(tracking: Tracking, name: str) -> RegisteredModel:
    """Fetch a registered model with its aliases.

    Raises:
        InputError: When there is none; it names the nearest.
    """
    from mlflow.exceptions import MlflowException

    try:
        return tracking.client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in NOT_FOUND:
            raise
        known = [item.name for item in tracking.client.search_registered_models()]
        raise InputError(
            "no such registered model",
            place=name,
            mend=nearest(name, known)
            or (f"known: {', '.join(sorted(known)[:10])}" if known else "run `tunewright run`"),
        ) from error


def version_of(found: ModelVersion, aliases: Mapping[str, Any] | None = None) -> Version:
    """Describe MLflow's version as ours.

    Args:
        found: As MLflow gives it; over REST it lacks ``model_id``, so ``source`` tells the logged model.
        aliases: Alias to version number, where ``found`` came from a search and lacks its own.
    """
    number = int(found.version)
    own = found.aliases or [name for name, at in (aliases or {}).items() if int(at) == number]
    return Version(
        name=found.name,
        version=number,
        uri=MODEL_URI + (found.model_id or model_id_of(found.source or "")),
        run_id=found.run_id or "",
        created_ms=int(found.creation_timestamp),
        aliases=tuple(sorted(own)),
        facts={
            name.removeprefix(PREFIX): value for name, value in found.tags.items() if name.startswith(PREFIX)
        },
    )


def model_id_of(source: str) -> str:
    """Take MLflow's model id out of a ``models:/m-…`` address or an artefact location.

    Raises:
        InputError: When there is none in it.
    """
    found = MODEL_ID.findall(source)
    if not found:
        raise InputError("names no logged model", place=source, mend="register models with `tunewright run`")
    return str(found[-1])


def _parsed(tracking: Tracking, short: str) -> tuple[str, str | None, int | None]:
    """Split a reference into name, alias and number."""
    if not short:
        return tracking.model_name, None, None
    if short.isdecimal():
        return tracking.model_name, None, int(short)
    if "@" in short:
        name, _, alias = short.rpartition("@")
        if alias:
            return name or tracking.model_name, alias, None
    elif "/" in short:
        name, _, number = short.rpartition("/")
        if number.isdecimal():
            return name or tracking.model_name, None, int(number)
    else:
        return short, None, None
    raise InputError("is no model reference", place=short, mend="write NAME, NAME@alias or NAME/3")


def _logged_model(tracking: Tracking, model_id: str) -> str:
    """Check that a logged model exists, and give its address."""
    from mlflow.exceptions import MlflowException

    with explained(tracking.uri):
        try:
            tracking.client.get_logged_model(model_id)
        except MlflowException as error:
            if error.error_code not in NOT_FOUND:
                raise
            raise InputError(
                "no such logged model", place=MODEL_URI + model_id, mend="run `tunewright models list`"
            ) from error
    return MODEL_URI + model_id


def _by_number(tracking: Tracking, name: str, number: int) -> Version:
    """Fetch one version."""
    from mlflow.exceptions import MlflowException

    try:
        return version_of(tracking.client.get_model_version(name, str(number)))
    except MlflowException as error:
        if error.error_code not in NOT_FOUND:
            raise
        _refuse_number(tracking, name, number)


def _refuse_number(tracking: Tracking, name: str, number: int) -> NoReturn:
    """Name the versions that there are."""
    known = [item.version for item in versions_of(tracking, name)]
    near = sorted(sorted(known, key=lambda item: abs(item - number))[:5])
    raise InputError(
        f"has no version {number}",
        place=name,
        mend=f"versions: {', '.join(map(str, near))}" if near else "run `tunewright run` to make one",
    )


def _newest(tracking: Tracking, name: str) -> Version:
    """Fetch the newest version of a model without a champion."""
    known = versions_of(tracking, name)
    if not known:
        _refuse_number(tracking, name, 1)
    return known[-1]
