"""A selection as a file for people to label: CSV for a spreadsheet, JSON Lines, or tasks for Label Studio.

Label Studio's formats are those of its documentation: tasks with predictions
(https://labelstud.io/guide/predictions), and a labelling configuration in XML (https://labelstud.io/tags/choices).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args
from xml.etree import ElementTree

from tunewright.data.spreadsheets import escaped
from tunewright.support.errors import InputError

if TYPE_CHECKING:
    from tunewright.data.selection import SelectedRow

Format = Literal["csv", "jsonl", "label-studio"]
FORMATS: tuple[Format, ...] = get_args(Format)
FORMAT_OF_SUFFIX: Mapping[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".json": "label-studio"}
COLUMNS = ("id", "text", "suggested", "confidence", "label", "annotator")
"""``label`` and ``annotator`` are empty: people fill them in."""
ROW_ID = "row_id"
"""Field of a Label Studio task with our id; ``id`` is Label Studio's own."""
CONTROL, DATA = "label", "text"
"""Names of the choices and of the text in the labelling configuration; predictions refer to them."""
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write."""


def as_csv(rows: Sequence[SelectedRow]) -> str:
    """Write CSV with every field quoted, starting with a byte order mark so that Excel reads it as UTF-8."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        cells = (row.id, row.text, row.suggested, f"{row.confidence:.4f}", "", "")
        writer.writerow([escaped(cell) for cell in cells])
    return "\ufeff" + out.getvalue()


def as_json_lines(rows: Sequence[SelectedRow]) -> str:
    """Write one object a row."""
    return "".join(
        json.dumps(
            {
                "id": row.id,
                "text": row.text,
                "suggested": row.suggested,
                "confidence": round(row.confidence, 4),
                "label": None,
                "annotator": None,
            },
            ensure_ascii=False,
        )
        + "\n"
        for row in rows
    )


def as_label_studio(rows: Sequence[SelectedRow]) -> str:
    """Write tasks with the model's answers as predictions, which Label Studio shows as a first choice."""
    tasks = [
        {
            "data": {ROW_ID: row.id, DATA: row.text, "source": row.source, "row": row.row},
            "predictions": [
                {
                    "model_version": f"{row.model}/{row.version}",
                    "score": round(row.confidence, 4),
                    "result": [
                        {
                            "from_name": CONTROL,
                            "to_name": DATA,
                            "type": "choices",
                            "value": {"choices": [row.suggested]},
                        }
                    ],
                }
            ],
        }
        for row in rows
    ]
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"


WRITERS: Mapping[Format, Callable[[Sequence[SelectedRow]], str]] = {
    "csv": as_csv,
    "jsonl": as_json_lines,
    "label-studio": as_label_studio,
}
"""Format to writer."""


def labelling_config(labels: Sequence[str]) -> str:
    """Return the labelling configuration that the tasks need: the text, and one choice among the labels.

    Raises:
        InputError: When a label can't be written in XML.
    """
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Text", name=DATA, value=f"${DATA}")
    choices = ElementTree.SubElement(
        view, "Choices", name=CONTROL, toName=DATA, choice="single", required="true", showInLine="true"
    )
    for label in labels:
        if NOT_XML.search(label):
            raise InputError(
                f"the label {label!r} holds a character that XML can't",
                mend="rename the label, or export with --to jsonl",
            )
        ElementTree.SubElement(choices, "Choice", value=label)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"
