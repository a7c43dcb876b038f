"""How much a random split leaks, against the splits of tunewright.

    python benchmarks/split_leak.py path/to/SMSSpamCollection

Prints, as the mean of 20 seeds, the share of test rows (all, and of the smallest label) that have a
near-duplicate in train when the rows are split 80/20 at random, once with the exact copies and once without.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from tunewright.data.duplicates import near_duplicates
from tunewright.data.normal_form import key_form, words
from tunewright.data.rules import first_of

SEEDS = 20
TEST_SHARE = 0.2
THRESHOLD = 0.8
SHINGLE = 3


def clusters(texts: list[str]) -> list[int]:
    """Return the near-duplicate cluster of each text."""
    forms = sorted({words(text): text for text in reversed(texts)}.values())
    keys = {key: index for index, key in enumerate(sorted({key_form(text) for text in forms}))}
    same = first_of(np.array([keys[key_form(text)] for text in forms]))
    found = near_duplicates(
        lambda wanted: ((int(index), forms[int(index)]) for index in wanted),
        np.arange(len(forms)),
        same=same,
        threshold=THRESHOLD,
        size=SHINGLE,
    )
    by_words = {words(text): int(cluster) for text, cluster in zip(forms, found, strict=True)}
    return [by_words[words(text)] for text in texts]


def leak(groups: list[int], labels: list[str]) -> dict[str, float]:
    """Return the share of test rows, by label and over all, whose cluster also stands in train."""
    seen: dict[str, list[bool]] = defaultdict(list)
    for seed in range(SEEDS):
        order = list(range(len(groups)))
        random.Random(seed).shuffle(order)
        cut = int(TEST_SHARE * len(order))
        train = {groups[index] for index in order[cut:]}
        for index in order[:cut]:
            for name in ("all", labels[index]):
                seen[name].append(groups[index] in train)
    return {name: sum(hits) / len(hits) for name, hits in seen.items()}


def main() -> None:
    """Read the rows and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="lines of label TAB text")
    lines = parser.parse_args().source.read_text(encoding="utf-8").splitlines()
    rows = [tuple(line.split("\t", 1)) for line in lines if line]
    for name, chosen in (("as read", rows), ("without exact copies", list(dict.fromkeys(rows)))):
        labels, texts = [label for label, _ in chosen], [text for _, text in chosen]
        groups = clusters(texts)
        rarest = min(Counter(labels).items(), key=lambda item: item[1])[0]
        figures = leak(groups, labels)
        print(
            f"{name}: {len(chosen):,} rows, {len(chosen) - len(set(groups)):,} removable; with a near-duplicate"
            f" in train: {figures['all']:.1%} of test rows, {figures[rarest]:.1%} of '{rarest}'"
        )


if __name__ == "__main__":
    main()
