"""What of every row decides where it may stand, and which rows must stand together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunewright.data.chat.saying import prompt_of
from tunewright.data.chat.stored import CONVERSATION, holds_conversations, row_of
from tunewright.data.normal_form import hash64, key_form
from tunewright.data.parts import read_parts
from tunewright.support.errors import InputError, nearest

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

NEAR_DUPLICATE = "near_duplicate"
TEXT = "text"
PROMPT = "prompt"
OWN_COLUMNS = ("row", "source", "text", "label", "group")
_INTERNAL = frozenset({*OWN_COLUMNS, "text_group", "digest"}) - {"source"}


class SplitRows:
    """A few numbers of every validated row, in source order."""

    def __init__(self, source: Path, split_by: str) -> None:
        import numpy as np

        rows: list[Integers] = []
        groups: list[Integers] = []
        text_groups: list[Integers] = []
        keys: list[int] = []
        labels: list[str] = []
        values: list[int] = []
        prompts: list[int] = []
        own = {CONVERSATION} if holds_conversations(source) else set()
        for table in read_parts(source):
            _check_column(split_by, [name for name in table.column_names if name not in own])
            rows.append(table.column("row").to_numpy())
            groups.append(table.column("group").to_numpy())
            text_groups.append(table.column("text_group").to_numpy())
            keys.extend(hash64(key_form(text)) for text in table.column("text").to_pylist())
            labels.extend(table.column("label").to_pylist())
            if own:
                cells = table.column(CONVERSATION).to_pylist()
                start = len(prompts)
                # A row without a prompt is asked nothing that another could be asked too: it stands for itself.
                prompts.extend(
                    hash64(f"{PROMPT} {key_form(prompt)}") if prompt else keys[start + at]
                    for at, prompt in enumerate(prompt_of(row_of(cell)) for cell in cells)
                )
            if split_by not in (NEAR_DUPLICATE, TEXT):
                values.extend(
                    keys[len(values)] if value is None else hash64(str(value))
                    for value in table.column(split_by).to_pylist()
                )
        self.row: Integers = np.concatenate(rows)
        self.group: Integers = np.concatenate(groups)
        self.text_group: Integers = np.concatenate(text_groups)
        self.key: Integers = np.array(keys, np.int64)
        """The words of the text, worked out anew: the check doesn't lean on what it checks."""
        self.value: Integers = np.array(values, np.int64)
        self.prompt: Integers | None = np.array(prompts, np.int64) if own else None
        """What comes before the first answer of a language model's row; none where rows are texts with labels."""
        self.label_names = tuple(sorted(set(labels)))
        ids = {name: position for position, name in enumerate(self.label_names)}
        self.label: Integers = np.array([ids[name] for name in labels], np.int64)

    def kept_together(self, split_by: str) -> Integers:
        """Return the code of each row's group, from 0 without gaps; the same text is always in one group.

        By near-duplicates, so are a language model's rows with the same prompt: else what is asked of it in a test
        would have been answered in training.
        """
        import numpy as np
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        ties = [{NEAR_DUPLICATE: self.group, TEXT: self.text_group}.get(split_by, self.value)]
        if split_by == NEAR_DUPLICATE and self.prompt is not None:
            ties.append(self.prompt)
        one = np.unique(self.key, return_inverse=True)[1]
        size = int(one.max()) + 1
        edges = []
        for tie in ties:
            other = np.unique(tie, return_inverse=True)[1] + size
            edges.append((one, other))
            size = int(other.max()) + 1
        starts, ends = (np.concatenate(each) for each in zip(*edges, strict=True))
        graph = coo_array((np.ones(len(starts), np.int8), (starts, ends)), shape=(size, size))
        components = connected_components(graph, directed=False)[1]
        codes: Integers = np.unique(components[one], return_inverse=True)[1].astype(np.int64)
        return codes

    def identity(self) -> Integers:
        """Return what a group's place is worked out from: the column's value, else the text."""
        return self.value if len(self.value) else self.key


def _check_column(split_by: str, columns: list[str]) -> None:
    """Refuse to split by a column that isn't there.

    Raises:
        InputError: Naming the columns.
    """
    if split_by in (NEAR_DUPLICATE, TEXT) or (split_by in columns and split_by not in _INTERNAL):
        return
    known = [NEAR_DUPLICATE, TEXT, *(name for name in columns if name not in _INTERNAL)]
    guess = nearest(split_by, known)
    raise InputError(
        f"the data has no column '{split_by}'",
        place="data.split_by",
        mend=f"{guess + ' ' if guess else ''}choose one of {', '.join(known)}",
    )
