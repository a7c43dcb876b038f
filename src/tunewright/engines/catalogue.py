"""Which engines there are: those of the entry point group ``tunewright.engines``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from functools import cache
from typing import TYPE_CHECKING

from tunewright.engines.interface import Form
from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from tunewright.engines.interface import Engine, Task

GROUP = "tunewright.engines"
REFERENCE = "transformers"
"""The engine whose answers are the measure of all others."""


@cache
def engines() -> dict[str, Engine]:
    """Return every engine by name; one from a stranger's package stands beside ours.

    Raises:
        InputError: When two packages give the same name, or one can't be loaded.
    """
    found: dict[str, Engine] = {}
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda each: each.name):
        origin = point.dist.name if point.dist else point.value
        if point.name in found:
            raise InputError(
                f"a second engine of this name comes from {origin}",
                place=f"engine {point.name}",
                mend="uninstall one of the two packages",
            )
        try:
            found[point.name] = point.load()()
        except (ImportError, AttributeError, TypeError) as error:
            raise InputError(
                f"can't be loaded ({error})",
                place=f"engine {point.name}",
                mend=f"update or uninstall {origin}",
            ) from error
    return found


def engine(name: str) -> Engine:
    """Return the engine of a name.

    Raises:
        InputError: When there is none; it names the nearest.
    """
    known = engines()
    if name not in known:
        raise InputError(
            "no such engine",
            place=name,
            mend=nearest(name, list(known)) or f"there are {', '.join(known)}",
        )
    return known[name]


def is_installed(one: Engine) -> bool:
    """Tell whether the packages that an engine needs are there."""
    return all(_version(package) is not None for package in one.packages)


def require_installed(one: Engine) -> None:
    """Refuse an engine whose packages are absent.

    Raises:
        InputError: With what to install.
    """
    missing = [package for package in one.packages if _version(package) is None]
    if missing:
        mend = f"pip install 'tunewright[{one.extra}]'" if one.extra else f"pip install {' '.join(missing)}"
        raise InputError(f"needs {', '.join(missing)}", place=f"engine {one.name}", mend=mend)


def package_versions(one: Engine) -> dict[str, str]:
    """Return the installed version of each package that an engine needs."""
    return {package: _version(package) or "" for package in one.packages}


def forms(task: Task) -> list[Form]:
    """List every engine and precision for a task whose packages are installed, the reference first."""
    offered = [
        Form(name, precision)
        for name, one in engines().items()
        if is_installed(one)
        for precision in one.precisions(task)
    ]
    return sorted(offered, key=lambda form: (form.engine != REFERENCE, form.engine))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
