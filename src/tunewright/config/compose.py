"""Compose a ``Recipe`` from packaged groups, the project's own configuration and overrides.

Hydra composes (https://hydra.cc/docs/advanced/compose_api), pydantic validates. Unknown keys and options are
refused with the nearest known one before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tunewright.config.schema import Recipe
from tunewright.support.errors import InputError, nearest

PACKAGED = Path(__file__).parent / "groups"


def compose(overrides: Sequence[str] = (), *, configs: Path | None = None) -> Recipe:
    """Compose and validate a recipe.

    Args:
        overrides: Words such as ``training=lora`` (a group's option) or ``training.epochs=1`` (a value).
        configs: The project's ``configs/`` folder; without it only packaged groups are used.

    Raises:
        InputError: For an unknown key, option or value, naming it and the nearest known one.
    """
    words = [_checked(word, configs) for word in overrides]
    texts = [word for word in words if _is_text(word)]
    values = _composed([word for word in words if not _is_text(word)], configs)
    for word in texts:
        _set(values, word)
    return validate(values, origin=str(configs / "config.yaml") if configs else "")


def validate(values: Mapping[str, Any], *, origin: str = "") -> Recipe:
    """Validate composed values.

    Raises:
        InputError: Naming each key that is wrong, what was expected and the nearest known key.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = [_sentence(problem) for problem in error.errors()]
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""  # noqa: PLR2004 - a line's worth
        raise InputError("; ".join(problems[:3]) + more, place=origin) from None


def groups(configs: Path | None = None) -> dict[str, list[str]]:
    """List every group and its options, packaged ones and the project's."""
    found: dict[str, set[str]] = {}
    for root in [PACKAGED, *([configs] if configs else [])]:
        for file in root.glob("*/*.yaml"):
            found.setdefault(file.parent.name, set()).add(file.stem)
    return {name: sorted(options) for name, options in sorted(found.items())}


def known_keys(section: type[BaseModel] = Recipe, prefix: str = "") -> list[str]:
    """List every dotted key of the recipe."""
    keys: list[str] = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        if (inner := _section_of(field.annotation)) is not None:
            keys += known_keys(inner, f"{prefix}{name}.")
    return keys


def field_types(key: str) -> tuple[object, ...]:
    """Return the types that a dotted key of the recipe takes, such as ``(float, NoneType)``.

    Raises:
        InputError: When there is no such key, naming the nearest.
    """
    section: type[BaseModel] = Recipe
    *sections, name = key.split(".")
    if key not in known_keys():
        raise _unknown_key(key, [])
    for each in sections:
        inner = _section_of(section.model_fields[each].annotation)
        section = inner or section
    annotation = section.model_fields[name].annotation
    return tuple(each for each in (annotation, *get_args(annotation)) if isinstance(each, type))


def _section_of(annotation: object) -> type[BaseModel] | None:
    if get_origin(annotation) is dict:
        return None
    candidates = (annotation, *get_args(annotation))
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _checked(word: str, configs: Path | None) -> str:
    """Turn one override into Hydra's words, or say what is wrong with it."""
    bare = word.lstrip("+~")
    key, equals, value = bare.partition("=")
    if not equals and not word.startswith("~"):
        raise InputError(
            "is not an override", place=f"'{word}'", mend="write KEY=VALUE, such as training.epochs=1"
        )
    options = groups(configs)
    if key in options:
        if value not in options[key]:
            hint = nearest(value, options[key]) or f"known: {', '.join(options[key])}"
            raise InputError(f"no option '{value}'", place=key, mend=hint)
        return word
    if key not in known_keys() and not _is_below_a_mapping(key):
        raise _unknown_key(key, list(options))
    return word if word.startswith("~") else f"++{key}={value}"


def _is_below_a_mapping(key: str) -> bool:
    """Tell whether a key lies below one whose names are the user's, such as ``notebooks.NAME.path``."""
    field = Recipe.model_fields.get(key.partition(".")[0])
    return field is not None and get_origin(field.annotation) is dict


def _unknown_key(key: str, options: list[str]) -> InputError:
    hint = nearest(key, [*known_keys(), *options]) or "`tunewright config show` lists the keys"
    return InputError("unknown key", place=key, mend=hint)


def _is_text(word: str) -> bool:
    """Tell whether a checked override sets a text field."""
    key, equals, _ = word.partition("=")
    return bool(equals) and key.startswith("++") and key[2:] in text_keys()


def _set(values: dict[str, Any], word: str) -> None:
    """Set a text field as it was written: paths and addresses never meet Hydra's grammar."""
    key, _, value = word.removeprefix("++").partition("=")
    *sections, name = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[name] = None if value == "null" else value


@cache
def text_keys(section: type[BaseModel] = Recipe, prefix: str = "") -> frozenset[str]:
    """List the dotted keys whose value is text: their overrides are taken as they are written."""
    keys: set[str] = set()
    for name, field in section.model_fields.items():
        if (inner := _section_of(field.annotation)) is not None:
            keys |= text_keys(inner, f"{prefix}{name}.")
        elif str in (field.annotation, *get_args(field.annotation)):
            keys.add(prefix + name)
    return frozenset(keys)


def _composed(words: Sequence[str], configs: Path | None) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    folder = configs or PACKAGED
    search = [f"hydra.searchpath=['file://{PACKAGED}']"] if configs else []
    place = str(folder / "config.yaml")
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(
            version_base="1.3", config_dir=str(folder.resolve()), job_name="tunewright"
        ):
            composed = hydra_compose("config", overrides=[*search, *words])
            plain = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        fact = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"can't be composed ({fact.strip()})", place=place) from error
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text", place=place) from error
    if not isinstance(plain, dict):
        raise InputError("must hold a mapping of sections", place=place)
    return {str(key): value for key, value in plain.items()}


def _sentence(problem: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    """Say one of pydantic's findings in a clause that names the key."""
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return " ".join(filter(None, [f"unknown key {key}", nearest(key, known_keys())]))
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{key} = {problem['input']!r}: {message}"
