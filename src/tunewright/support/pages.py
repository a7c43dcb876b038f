"""Pages that a person opens in a browser: made from a template beside the code, every value escaped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template


def open_template(package: str, name: str, **filters: Callable[..., Any]) -> Template:
    """Open a template; a name that it uses and isn't given is an error.

    Every template can ``{% include "head.html" %}``: charset, a policy that lets nothing be loaded, and our style.

    Args:
        package: The dotted name of the package that it lies in.
        name: Its file.
        filters: What it may call, by name.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("tunewright.support", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(name)
