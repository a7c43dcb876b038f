"""What is registered, and who is champion: list, show, promote, roll back, delete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from tunewright.registry.ledger import Entry, Ledger
from tunewright.registry.references import CHAMPION, Version, find_version, registered_model, versions_of
from tunewright.registry.tracking import PREFIX, Tracking, explained
from tunewright.support.digests import digest_json
from tunewright.support.errors import InputError, TunewrightError

DELETED_TAG = PREFIX + "deleted"


def list_versions(tracking: Tracking, name: str = "") -> list[dict[str, Any]]:
    """Describe the versions of a registered model, newest first (see ``show``).

    Args:
        tracking: Where.
        name: Registered name; empty takes the project's.
    """
    return [_described(version) for version in reversed(versions_of(tracking, name or tracking.model_name))]


def show(tracking: Tracking, reference: str = "") -> dict[str, Any]:
    """Describe one version.

    Returns:
        ``name``, ``version``, ``aliases``, ``run_id``, ``commit``, ``dirty``, ``data_digest``, ``certificate``,
        ``metrics`` and what else was recorded: ``uri``, ``role``, ``kind``, ``digest``, ``size_bytes``,
        ``base_uri``, ``created``, ``recipe_digest``, ``verdict``.

    Raises:
        InputError: When the reference names nothing.
    """
    return _described(find_version(tracking, reference))


def promote(
    tracking: Tracking, reference: str, *, verdict: str | None = None, reason: str = "", who: str = ""
) -> Version:
    """Make a version the champion; the one before it is remembered.

    The alias moves in one request. The ledger announces the move before it and confirms it after, so that
    a kill between the two is settled by the next command.

    Args:
        tracking: Where.
        reference: The version.
        verdict: Digest of the gate's verdict.
        reason: Why, for the ledger.
        who: Who promotes; empty takes the user's name.

    Raises:
        InputError: When there is no such version.
        TunewrightError: When its logged model isn't READY.
    """
    target = find_version(tracking, reference)
    with _alias_lock(tracking, target.name), explained(tracking.uri):
        status = str(tracking.client.get_logged_model(target.uri.removeprefix("models:/")).status)
        if not status.endswith("READY"):
            raise TunewrightError(f"its logged model is {status}", place=target.reference, mend="train again")
        current = _champion(tracking, target.name)
        if current != target.version:
            intent = Ledger(tracking.ledger).add(
                "promote",
                model=target.name,
                phase="intent",
                version=target.version,
                from_version=current,
                to_version=target.version,
                verdict=verdict,
                reason=reason,
                who=who,
            )
            _move(tracking, intent)
    return find_version(tracking, target.reference)


def rollback(tracking: Tracking, name: str = "", *, reason: str = "", who: str = "") -> Version:
    """Give the champion's alias back to the champion before, as the ledger remembers it.

    Args:
        tracking: Where.
        name: Registered name; empty takes the project's.
        reason: Why, for the ledger.
        who: Who rolls back; empty takes the user's name.

    Raises:
        TunewrightError: When there is no earlier champion that still exists.
    """
    model = name or tracking.model_name
    with _alias_lock(tracking, model), explained(tracking.uri):
        current = _champion(tracking, model)
        target = _previous(tracking, model, current)
        if target is None:
            raise TunewrightError(
                "has no earlier champion to go back to",
                place=model,
                mend=f"choose one: `tunewright models promote {model}/VERSION`",
            )
        intent = Ledger(tracking.ledger).add(
            "rollback",
            model=model,
            phase="intent",
            version=target,
            from_version=current,
            to_version=target,
            reason=reason,
            who=who,
        )
        _move(tracking, intent)
    return find_version(tracking, f"{model}/{target}")


def delete(
    tracking: Tracking, reference: str, *, force: bool = False, reason: str = "", who: str = ""
) -> Version:
    """Delete a version; its weights stay until ``purge``.

    The champion is never deleted, nor a base that adapters stand on. A version with another alias, and the
    one that ``rollback`` would go back to, go only with ``force``.

    Args:
        tracking: Where.
        reference: The version.
        force: Delete it though it has an alias or is the way back.
        reason: Why, for the ledger.
        who: Who deletes; empty takes the user's name.

    Raises:
        InputError: When there is no such version, or it is guarded.
    """
    name = find_version(tracking, reference).name
    with _alias_lock(tracking, name), explained(tracking.uri):
        target = find_version(tracking, reference)
        _guard(tracking, target, force=force)
        ledger = Ledger(tracking.ledger)
        intent = ledger.add(
            "delete", model=name, phase="intent", version=target.version, reason=reason, who=who
        )
        if not [item for item in versions_of(tracking, name) if item.uri == target.uri and item != target]:
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            tracking.client.set_logged_model_tags(target.uri.removeprefix("models:/"), {DELETED_TAG: now})
        tracking.client.delete_model_version(name, str(target.version))
        ledger.finish(intent, "done")
    return target


def history(tracking: Tracking, name: str = "") -> list[Entry]:
    """Read what happened to a model, oldest first; an action that a kill interrupted is settled first."""
    model = name or tracking.model_name
    if Ledger(tracking.ledger).pending(model):
        with _alias_lock(tracking, model):
            pass
    return Ledger(tracking.ledger).entries(model)


@contextmanager
def _alias_lock(tracking: Tracking, name: str) -> Iterator[None]:
    """Hold the model's lock, and settle what an earlier holder announced and didn't confirm."""
    with tracking.locked(f"alias-{digest_json(name)[:12]}", what=f"the aliases of {name}"):
        ledger = Ledger(tracking.ledger)
        if pending := ledger.pending(name):
            with explained(tracking.uri):
                champion = _champion(tracking, name)
                versions = {item.version for item in versions_of(tracking, name)}
            for entry in pending:
                gone = entry.action == "delete" and entry.version not in versions
                moved = entry.action != "delete" and entry.to_version == champion
                ledger.finish(entry, "done" if gone or moved else "abandoned")
        yield


def _move(tracking: Tracking, intent: Entry) -> None:
    """Move the alias as announced, and confirm it."""
    tracking.client.set_registered_model_alias(intent.model, CHAMPION, str(intent.to_version))
    Ledger(tracking.ledger).finish(intent, "done")


def _champion(tracking: Tracking, name: str) -> int | None:
    """Return the champion's number."""
    number = registered_model(tracking, name).aliases.get(CHAMPION)
    return None if number is None else int(number)


def _previous(tracking: Tracking, name: str, current: int | None) -> int | None:
    """Return the champion before the present one that still exists."""
    stack = Ledger(tracking.ledger).champions(name)
    if current in stack:
        while stack[-1] != current:
            stack.pop()
    existing = {version.version for version in versions_of(tracking, name)}
    return next((number for number in reversed(stack) if number != current and number in existing), None)


def _guard(tracking: Tracking, target: Version, *, force: bool) -> None:
    """Refuse to delete what something else needs."""
    if CHAMPION in target.aliases:
        raise InputError(
            "is the champion and can't be deleted",
            place=target.reference,
            mend="promote another version or run `tunewright models rollback` first",
        )
    others = versions_of(tracking, target.name)
    twins = [item for item in others if item.uri == target.uri and item.version != target.version]
    needing = [item.reference for item in others if item.base_uri == target.uri]
    if needing and not twins:
        raise InputError(
            f"is the base of the adapters {', '.join(needing)}",
            place=target.reference,
            mend="delete those first",
        )
    if force:
        return
    if target.aliases:
        raise InputError(
            f"has the alias '{target.aliases[0]}'",
            place=target.reference,
            mend="add --force to delete it anyway",
        )
    champion = _champion(tracking, target.name)
    if champion is not None and _previous(tracking, target.name, champion) == target.version:
        raise InputError(
            "is the version that a rollback would go back to",
            place=target.reference,
            mend="add --force to delete it anyway",
        )


def _described(version: Version) -> dict[str, Any]:
    """Turn a version into plain facts."""
    facts: dict[str, Any] = dict(version.facts)
    created = datetime.fromtimestamp(version.created_ms / 1000, timezone.utc)
    return {
        **facts,
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "uri": version.uri,
        "run_id": version.run_id,
        "created": created.isoformat(timespec="seconds"),
        "commit": facts.get("commit") or None,
        "dirty": facts.get("dirty") == "true",
        "data_digest": facts.get("data_digest"),
        "certificate": facts.get("certificate"),
        "metrics": json.loads(facts.get("metrics", "{}")),
        "size_bytes": int(facts.get("size_bytes", 0)),
    }
