"""Rows of a format as a file: JSON Lines, a JSON array, or Parquet. What stands under the name is always whole."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from tunewright.support.errors import InputError, nearest
from tunewright.support.files import writing

if TYPE_CHECKING:
    import pyarrow as pa

Cell = Literal["text", "flag", "json", "messages", "said", "pairs"]
COLUMNS: Mapping[str, Mapping[str, Cell]] = {
    "messages": {"messages": "messages", "tools": "json"},
    "alpaca": {
        "instruction": "text",
        "input": "text",
        "output": "text",
        "system": "text",
        "history": "pairs",
    },
    "sharegpt": {"conversations": "said", "tools": "text"},
    "prompt-completion": {"prompt": "text", "completion": "text"},
    "text": {"text": "text"},
    "preference": {"prompt": "messages", "chosen": "messages", "rejected": "messages", "tools": "json"},
    "kto": {"prompt": "messages", "completion": "messages", "label": "flag", "tools": "json"},
}
"""Target to its columns in Parquet; one that no row fills is left out."""
SUFFIXES = (".jsonl", ".json", ".parquet")
BATCH_ROWS = 2_000


class Writer:
    """Writes rows one by one into a file of JSON Lines, and remembers which fields they have."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.rows = 0
        self.fields: set[str] = set()
        """Names of the fields of rows, of their turns and of the calls in them."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Write one row."""
        self._stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        self.rows += 1
        self.fields.update(row)
        turns = (
            turn
            for value in row.values()
            if isinstance(value, list)
            for turn in value
            if isinstance(turn, dict)
        )
        for turn in turns:
            self.fields.update(turn)
            for call in turn.get("tool_calls", ()):
                self.fields.update(call)


def check_suffix(path: Path) -> None:
    """Refuse a name that doesn't say which kind of file is meant.

    Raises:
        InputError: When its ending is none of .jsonl, .json and .parquet.
    """
    if path.suffix.lower() not in SUFFIXES:
        mend = nearest(path.suffix.lower(), list(SUFFIXES)) or f"end it in {', '.join(SUFFIXES)}"
        raise InputError(
            f"the ending '{path.suffix}' is no format that can be written", place=str(path), mend=mend
        )


@contextmanager
def storing(path: Path, target: str) -> Iterator[Writer]:
    """Give a writer; on success its rows stand in ``path``, in the form that the ending asks for.

    Args:
        path: The file; it is replaced as a whole.
        target: The format of the rows, which tells the columns of Parquet.
    """
    suffix = path.suffix.lower()
    with writing(path) as temporary:
        if suffix == ".jsonl":
            with temporary.open("w", encoding="utf-8", newline="\n") as stream:
                yield Writer(stream)
            return
        # Which columns Parquet needs is known after the last row, and an array must not stand in memory whole.
        spool = temporary.with_name(f"{temporary.name}.jsonl")
        try:
            with spool.open("w", encoding="utf-8", newline="\n") as stream:
                writer = Writer(stream)
                yield writer
            with spool.open(encoding="utf-8", newline="\n") as lines:
                if suffix == ".json":
                    _write_array(temporary, lines)
                else:
                    _write_parquet(temporary, lines, COLUMNS[target], writer.fields)
        finally:
            spool.unlink(missing_ok=True)


def _write_array(path: Path, lines: Iterator[str]) -> None:
    """Write a JSON array with a row a line."""
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write("[")
        for number, line in enumerate(lines):
            stream.write((",\n" if number else "\n") + line.rstrip("\n"))
        stream.write("\n]\n")


def _write_parquet(path: Path, lines: Iterator[str], columns: Mapping[str, Cell], fields: set[str]) -> None:
    """Write Parquet; arguments and descriptions of tools, whose fields differ from row to row, as JSON text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {name: kind for name, kind in columns.items() if name in fields}
    schema = pa.schema([(name, _type(kind, fields)) for name, kind in kinds.items()])
    with pq.ParquetWriter(path, schema, compression="zstd") as table:
        while batch := [json.loads(line) for line in itertools.islice(lines, BATCH_ROWS)]:
            cells = {name: [_cell(row.get(name), kind) for row in batch] for name, kind in kinds.items()}
            table.write_table(pa.table(cells, schema=schema))


def _cell(value: Any, kind: Cell) -> Any:  # noqa: ANN401 - a cell of any type
    """Return a value as its column holds it."""
    if value is None:
        return None
    if kind == "json":
        return json.dumps(value, ensure_ascii=False)
    if kind == "messages":
        return [{**turn, "tool_calls": _calls(turn)} for turn in value]
    return value


def _calls(turn: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the calls of a turn with their arguments as JSON text, as OpenAI writes them."""
    if "tool_calls" not in turn:
        return None
    return [
        {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}}
        for call in turn["tool_calls"]
    ]


def _type(kind: Cell, fields: set[str]) -> pa.DataType:
    """Return the type of a column; fields that no turn has are no part of it."""
    import pyarrow as pa

    text = pa.string()
    if kind == "flag":
        return pa.bool_()
    if kind == "pairs":
        return pa.list_(pa.list_(text))
    if kind == "said":
        return pa.list_(pa.struct([("from", text), ("value", text)]))
    if kind != "messages":
        return text
    function = pa.struct([("name", text), ("arguments", text)])
    call = pa.struct([*([("id", text)] if "id" in fields else []), ("type", text), ("function", function)])
    parts = {
        "tool_calls": pa.list_(call),
        "name": text,
        "tool_call_id": text,
        "weight": pa.int64(),
    }
    optional = [(name, type_) for name, type_ in parts.items() if name in fields]
    return pa.list_(pa.struct([("role", text), ("content", text), *optional]))
