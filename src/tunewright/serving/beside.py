"""Models that are served beside the first one, in its worker or in others: what each is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright.serving.adapters import find_adapters
from tunewright.serving.opening import find_copy
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.serving.opening import Found
    from tunewright.support.paths import ProjectPaths


@dataclass(frozen=True, slots=True)
class Wanted:
    """A copy, and the words that it was asked for with."""

    reference: str
    found: Found
    option: str = "--beside"
    """By which it was asked for."""


def find_all(
    reference: str,
    recipe: Recipe,
    paths: ProjectPaths | None,
    *,
    adapters: Sequence[str] = (),
    beside: Sequence[str] = (),
) -> tuple[Found, ...]:
    """Find the copy that answers where a request names none, and all others that are to be served.

    Args:
        reference: Folder of a copy, or a registered model; with adapters, one of them.
        recipe: Says where models are registered.
        paths: The project, where there is one.
        adapters: Registered models that share the worker of the first.
        beside: Folders of copies, or registered models, each with a worker of its own.

    Returns:
        The first, the adapters, the others.

    Raises:
        InputError: When one names nothing that can be served, or two mean the same.
        TunewrightError: When a model can't be converted.
    """
    if adapters:
        first, *sharing = find_adapters([reference, *adapters], recipe, paths)
    else:
        first, sharing = find_copy(reference, recipe, paths), []
    wanted = [Wanted(word, each, "--adapter") for word, each in zip(adapters, sharing, strict=True)]
    wanted += [Wanted(each, find_copy(each, recipe, paths)) for each in beside]
    return first, *named(wanted, first=first)


def named(wanted: Sequence[Wanted], *, first: Found) -> tuple[Found, ...]:
    """Call each copy what nothing else is called: the reference as it was asked for, or else NAME/VERSION.

    A copy that is named by its folder has the folder's name.

    Raises:
        InputError: When two mean the same.
    """
    taken, called = {first.name}, []
    for each in wanted:
        found = each.found
        is_folder = found.certificate is None
        words = (found.name if is_folder else each.reference, f"{found.name}/{found.version}")
        name = next((word for word in words if word and word not in taken), None)
        if name is None:
            raise InputError("is open already", place=f"{each.option} {each.reference}", mend="name it once")
        taken.add(name)
        called.append(found.model_copy(update={"called": name}))
    return tuple(called)
