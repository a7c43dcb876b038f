"""Small real data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tunewright.data.dataset import Dataset, Manifest, SourceFacts


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    """Write rows as the split step would, without validation rows."""

    def make(train: list[tuple[str, str]], test: list[tuple[str, str]], **columns: list[str]) -> Dataset:
        names = tuple(sorted({label for _, label in train + test}))
        start = 1
        for split, rows in (("train", train), ("test", test)):
            folder = tmp_path / "data" / split
            folder.mkdir(parents=True)
            extra = columns if split == "test" else dict.fromkeys(columns, "")
            frame = pd.DataFrame(
                {
                    "row": range(start, start + len(rows)),
                    "source": ["a.csv" if number % 2 else "b.csv" for number in range(len(rows))],
                    "text": [text for text, _ in rows],
                    "label": [label for _, label in rows],
                    "group": range(len(rows)),
                    **extra,
                }
            )
            frame.to_parquet(folder / "part-00000.parquet")
            start += len(rows)
        counts = {name: sum(label == name for _, label in test) for name in names}
        manifest = Manifest(
            source=SourceFacts(uri="messages.csv", format="csv", text_column="text", label_column="label"),
            rows=len(train) + len(test), unique=len(train) + len(test), labels=counts, label_names=names,
            quarantined={}, splits={"train": len(train), "validation": 0, "test": len(test)},
            split_labels={"test": counts}, split_digests={}, digest="d" * 64, split_by="text", seed=1,
            leaks={}, cleaning={}, flags={}, quality={}, columns={},
        )  # fmt: skip
        (tmp_path / "data" / "manifest.json").write_text(manifest.model_dump_json())
        return Dataset.load(tmp_path / "data")

    return make
