"""Turn another tool's configuration into a recipe, with a finding for each of its keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tunewright.config.compose import compose, known_keys, validate
from tunewright.config.importing.keys import Key, keys_of
from tunewright.config.importing.outcome import Assumption, Finding, Imported
from tunewright.config.importing.reading import read_mapping
from tunewright.config.importing.rules import Aside, Given, Rule, Sets, Table, Tool, UnfitError
from tunewright.support.errors import InputError, nearest

OBJECTIVE = "training.objective"
STAND_IN = "smollm2-135m"
"""The model group that a recipe starts from; the file's own model replaces its name."""
ONE_SOURCE = (
    "a recipe reads one source and the first is taken: write the others into one file with it"
    " (`tunewright data convert`)"
)
PATHS = ("data.source", "model.name", "model.template")
"""Keys that may hold a path on this machine."""
SHOWN = 60
"""Characters of a value that an error shows."""


def tools() -> dict[str, Tool]:
    """Return every tool whose configuration can be read, by the word for it on the command line."""
    from tunewright.config.importing.axolotl import AXOLOTL
    from tunewright.config.importing.llamafactory import LLAMA_FACTORY
    from tunewright.config.importing.trl import TRL

    return {"axolotl": AXOLOTL, "llamafactory": LLAMA_FACTORY, "trl": TRL}


def import_config(
    tool: str, file: Path, *, objective: str | None = None, root: Path | None = None
) -> Imported:
    """Make a recipe from another tool's configuration.

    Args:
        tool: ``axolotl``, ``llamafactory`` or ``trl``.
        file: Its YAML or JSON file.
        objective: What is trained, where the file can't say it (TRL).
        root: The project that the recipe is for: paths that only the file's reader would find become absolute.

    Raises:
        InputError: When the file can't be read, a value can't be converted, two keys contradict each other, or it
            doesn't say what is trained.
    """
    known = tools()
    if tool not in known:
        raise InputError("unknown tool", place=tool, mend=nearest(tool, list(known)) or "; ".join(known))
    asked, place = known[tool], str(file)
    values = read_mapping(file)
    named = objective or asked.objective(values, file) or ""
    given = Given(file, values, named, {})
    findings = [_finding(key, asked.table, given) for key in keys_of(values, asked.table, place=place)]
    settings = _agreed(findings, place)
    trained = settings.get(OBJECTIVE) or named or "sft"
    if objective and trained != objective:
        raise InputError(f"trains by {trained}, not {objective}", place=place, mend="leave out --objective")
    assumptions = _assumptions(asked, values, settings, trained)
    settings |= {each.target: each.value for each in assumptions} | {OBJECTIVE: trained}
    settings |= {
        key: _found_from(root or Path.cwd(), settings[key], file) for key in PATHS if settings.get(key)
    }
    groups = _groups(trained)
    base = _composed(trained)
    validate(nested({**base, **settings}), origin=place)
    order = known_keys()
    return Imported(
        tool=asked.name,
        file=file,
        groups=groups,
        values={key: settings[key] for key in order if key in settings and settings[key] != base[key]},
        findings=tuple(_settled(each, settings, base) for each in findings),
        assumptions=tuple(each for each in assumptions if each.value != base[each.target]),
        notes=asked.notes if "model.name" in settings else (*asked.notes, _NO_MODEL),
    )


_NO_MODEL = f"the file names no model: {STAND_IN} stands in; set model.name"


def _groups(objective: str) -> dict[str, str]:
    """Return the option of each group that a recipe for an objective starts from."""
    return {"data": "chat", "model": STAND_IN, "training": objective}


@cache
def _composed(objective: str) -> Mapping[str, Any]:
    """Return what those groups say, by dotted key."""
    words = [f"{name}={option}" for name, option in _groups(objective).items()]
    return MappingProxyType(_flat(compose(words).model_dump(mode="json")))


def _finding(key: Key, table: Table, given: Given) -> Finding:
    """Judge one key by its rule."""
    rule = key.rule
    if rule is None:
        return _unruled(key, table)
    if rule.outcome == "taken":
        return _converted(key, rule, given)
    if rule.outcome == "unsupported" and (key.value in (None, False, "", [], {}) or key.value in rule.same):
        return Finding(key.path, "default", note="off, as with tunewright")
    return Finding(key.path, rule.outcome, note=rule.note)


def _converted(key: Key, rule: Rule, given: Given) -> Finding:
    """Convert a value, or say why it gives nothing."""
    aside = _set_aside(key, rule)
    if aside is not None:
        return Finding(key.path, aside.outcome, note=aside.note)
    try:
        if key.inherited or rule.convert is None:
            raise UnfitError("a value, with no keys or items below it")
        answer = rule.convert(key.value, replace(given, beside=key.beside))
    except UnfitError as error:
        shown = repr(key.value)
        shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"
        fact = f"{key.path} = {shown}: expected {error.expected}"
        raise InputError(fact, place=str(given.file), mend=error.mend) from None
    if isinstance(answer, Aside):
        return Finding(key.path, answer.outcome, note=answer.note)
    if isinstance(answer, Sets):
        return Finding(key.path, "taken", answer.values, answer.note or rule.note)
    return Finding(key.path, "taken", {rule.target: answer}, rule.note)


def _set_aside(key: Key, rule: Rule) -> Aside | None:
    """Set aside what is empty, lies below a key that is taken, or is one source too many."""
    if key.value is None:
        return Aside("default", "empty: the default stands")
    if key.inherited and rule.below:
        return Aside("not_needed", rule.below)
    return None if key.first else Aside("unsupported", ONE_SOURCE)


def _unruled(key: Key, table: Table) -> Finding:
    """Judge a key that no table has: an empty one that could hold some, or an unknown one."""
    if any(name.startswith((f"{key.name}.", f"{key.name}[]")) for name in table):
        return Finding(key.path, "default", note="empty")
    return Finding(key.path, "unknown", note=nearest(key.name, list(table)))


def _agreed(findings: Iterable[Finding], place: str) -> dict[str, Any]:
    """Collect what the keys give the recipe; two that contradict each other are refused."""
    settings: dict[str, Any] = {}
    givers: dict[str, str] = {}
    for each in findings:
        for target, value in each.sets.items():
            if target in settings and settings[target] != value:
                raise InputError(
                    f"{givers[target]} asks for {target}={settings[target]}, {each.key} for {value}",
                    place=place,
                    mend="remove one of the two keys",
                )
            settings[target] = value
            givers[target] = each.key
    return settings


def _assumptions(
    tool: Tool, values: Mapping[str, Any], settings: Mapping[str, Any], objective: str
) -> list[Assumption]:
    """Say what the other tool does where the file is silent."""
    made = []
    for each in tool.defaults:
        value = None if each.target in settings else each.of(values, objective)
        if value is not None:
            made.append(Assumption(each.keys[0], each.target, value, each.note))
    return made


def _settled(finding: Finding, settings: Mapping[str, Any], base: Mapping[str, Any]) -> Finding:
    """Tell a key that changes the recipe from one that says what the groups say."""
    sets = {key: settings[key] for key in finding.sets}
    is_same = all(base[key] == value for key, value in sets.items()) and OBJECTIVE not in sets
    if finding.outcome == "taken" and is_same:
        return Finding(finding.key, "default", sets, finding.note)
    return Finding(finding.key, finding.outcome, sets, finding.note)


def _found_from(root: Path, name: str, file: Path) -> str:
    """Let a path that is found from here, or from the file, be found from the project."""
    path = Path(name).expanduser()
    if "://" in name or path.is_absolute() or (root / path).exists():
        return name
    for found in (path, file.parent / path):
        if found.exists():
            return str(found.resolve())
    return name


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return values by dotted key."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            made |= _flat(value, f"{prefix}{name}.")
        else:
            made[prefix + name] = value
    return made


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of dotted keys as the mapping of mappings that YAML shows."""
    made: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        inner = made
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[name] = value
    return made
