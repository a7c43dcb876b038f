"""A notebook's parameters: read from words, checked against its parameters cell, set in a cell after it.

The convention is papermill's (https://papermill.readthedocs.io): the cell tagged ``parameters`` holds the defaults, and
a cell tagged ``injected-parameters`` right after it sets those that were given; the rest keep their defaults.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from nbformat import NotebookNode

PARAMETERS = "parameters"
INJECTED = "injected-parameters"
FLOAT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
"""YAML 1.2's floats that PyYAML, which follows 1.1, takes for text: 1e-3."""


class _Values(yaml.SafeLoader):
    """YAML whose 1e-3 is a number and whose 2026-11-01 is text, as in JSON."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own form
        first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Values.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789"))


def read_words(words: Sequence[str]) -> dict[str, object]:
    """Read ``name=value`` words; a value is YAML, or text that begins with ``@``, as a model's alias does.

    Raises:
        InputError: When a word has no ``=``, its value isn't YAML, or a name is given twice.
    """
    found: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InputError("is not a parameter", place=f"'{word}'", mend="write it as name=value")
        if name in found:
            raise InputError("is given twice", place=f"parameter '{name}'", mend="give it once")
        try:
            found[name] = value if value.startswith("@") else yaml.load(value, Loader=_Values)  # noqa: S506 - a SafeLoader
        except yaml.YAMLError as error:
            raise InputError(
                f"is not YAML ({getattr(error, 'problem', None) or error})",
                place=f"parameter '{name}'",
                mend=f"quote it for YAML and for the shell: '{name}=\"some text\"'",
            ) from error
    return found


def inject(notebook: NotebookNode, parameters: Mapping[str, object], *, place: str) -> None:
    """Set parameters in a cell after the one that holds the defaults, in place of an earlier such cell.

    Args:
        notebook: Changed in place; nothing is done without parameters.
        parameters: By name; values that Python can write as literals.
        place: The notebook's name, for messages.

    Raises:
        InputError: When the notebook has no parameters cell, the cell doesn't set such a name, or a value can't be
            written into a cell.
    """
    from nbformat.v4 import new_code_cell

    if not parameters:
        return
    notebook.cells = [cell for cell in notebook.cells if not is_tagged(cell, INJECTED)]
    position = next((at for at, cell in enumerate(notebook.cells) if is_tagged(cell, PARAMETERS)), None)
    if position is None:
        raise InputError(
            f"has no cell tagged '{PARAMETERS}'",
            place=place,
            mend="tag the cell that sets the defaults, or give no parameter",
        )
    known = list(_names_set(notebook.cells[position].source, place))
    for name in parameters:
        if name not in known:
            mend = nearest(name, known) or (f"known: {', '.join(known)}" if known else "it sets none")
            raise InputError("is not set in the parameters cell", place=f"{place}: '{name}'", mend=mend)
    lines = [f"{name} = {_literal(name, value)}" for name, value in parameters.items()]
    cell = new_code_cell("\n".join(lines), id=INJECTED, metadata={"tags": [INJECTED]})
    notebook.cells.insert(position + 1, cell)


def is_tagged(cell: Any, tag: str) -> bool:  # noqa: ANN401 - a notebook's node
    """Tell whether a cell has a tag."""
    return tag in cell.metadata.get("tags", ())


def _names_set(source: str, place: str) -> Iterator[str]:
    """Give the names that a cell assigns; lines for IPython, such as ``%matplotlib inline``, may stand among them."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        tree = ast.parse(TransformerManager().transform_cell(source))
    except SyntaxError as error:
        raise InputError(
            f"the parameters cell is not Python ({error.msg}, line {error.lineno})", place=place
        ) from error
    for statement in tree.body:
        for target in getattr(statement, "targets", [getattr(statement, "target", None)]):
            if isinstance(statement, ast.Assign | ast.AnnAssign):
                yield from (each.id for each in ast.walk(target) if isinstance(each, ast.Name))


def _literal(name: str, value: object) -> str:
    """Write a value as Python does, if it comes back the same from there and from the notebook's JSON."""
    text = repr(value)
    try:
        kept = json.loads(json.dumps(value, ensure_ascii=False).encode())
        is_same = ast.literal_eval(text) == kept == value
    except (TypeError, ValueError, SyntaxError, RecursionError):
        is_same = False
    if not is_same:
        raise InputError(
            f"{text} can't be written into a notebook",
            place=f"parameter '{name}'",
            mend="give a number, text, true, false, null, or a list or mapping (with text for keys) of those",
        )
    return text
