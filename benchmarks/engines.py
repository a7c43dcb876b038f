"""How many texts a second of processor time does an encoder of DistilBERT's size answer, on each engine and precision?

One model, the same messages in their real lengths, one run: Transformers' pipeline asked one by one, batches padded to
128 as tutorials teach, and each of our engines, every one in a process of its own on one thread. Beside it stands the
roof: what the processor can multiply in int8, measured in the same run.

    python benchmarks/engines.py                 # a quick look: some texts, a short training
    python benchmarks/engines.py --full          # more texts and rounds: the figures in the docs

The model has DistilBERT's architecture and random weights, trained for a few steps on the messages.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from roofline import peak
from sms_model import (
    INNER_FACTOR,
    LABELS,
    LAYERS,
    MAX_LENGTH,
    WIDTH,
    asked,
    convert_to,
    load_or_train,
    tokenizer_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PIPELINE, PADDED = "pipeline, one by one", "transformers, batches of 32 padded to 128"
TUTORIAL_BATCH = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way to ask, in one round."""

    arm: str
    texts_per_cpu_second: float
    texts_per_second: float
    labels: list[int]


def main() -> None:
    """Run the arms in turn and print a table in Markdown."""
    options = _options()
    if options.arm:
        print(json.dumps(asdict(_answer(options.arm, options.folder, options.texts))))
        return
    if options.peak:
        print(json.dumps(peak("int8", threads=1).operations_per_s))
        return
    if options.full:
        options.texts, options.rounds = 800, 3
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        copies = _prepare(folder)
        arms = [PIPELINE, PADDED, *copies]
        rounds = [[_child(arm, folder, options.texts) for arm in arms] for _ in range(options.rounds)]
        roof = json.loads(_run("--peak"))
    _report(arms, rounds, roof, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=200, help="messages that each arm answers")
    parser.add_argument("--rounds", type=int, default=1, help="rounds over all arms; the median counts")
    parser.add_argument("--full", action="store_true", help="800 messages, three rounds")
    parser.add_argument("--keep", type=Path, help="keep model and copies here, and take them from here")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _prepare(folder: Path) -> list[str]:
    """Train the model and convert it for every engine that is installed; return the names of the copies."""
    from tunewright.engines.catalogue import forms

    classifier = load_or_train(folder / "model")
    copies = convert_to(classifier, list(map(str, forms("classification"))), folder)
    places = {form: str(copy) for form, copy in copies.items()}
    (folder / "copies.json").write_text(json.dumps(places))
    return list(places)


def _child(arm: str, folder: Path, texts: int) -> Outcome:
    """Let one arm answer in a process of its own, on one thread."""
    return Outcome(**json.loads(_run("--arm", arm, "--folder", str(folder), "--texts", str(texts))))


def _run(*words: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.splitlines()[-1]


def _answer(arm: str, folder: Path, count: int) -> Outcome:
    """Answer once to warm up, then measured."""
    ask = _asker(arm, folder)
    texts = asked(count)
    ask(texts[:TUTORIAL_BATCH])
    spent, began = time.process_time(), time.perf_counter()
    labels = ask(texts)
    return Outcome(arm, count / (time.process_time() - spent), count / (time.perf_counter() - began), labels)


def _asker(arm: str, folder: Path) -> Callable[[list[str]], list[int]]:
    """Return the function that answers texts in the way of an arm."""
    if arm not in (PIPELINE, PADDED):
        from tunewright.engines.copies import open_classifier

        copy = Path(json.loads((folder / "copies.json").read_text())[arm])
        model = open_classifier(copy, threads=1)
        return lambda texts: model.logits(texts).argmax(axis=1).tolist()
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    torch.set_num_threads(1)
    plain = AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    if arm == PIPELINE:
        classify = pipeline("text-classification", model=plain, tokenizer=tokenizer)
        return lambda texts: [
            LABELS.index(classify(text, truncation=True, max_length=MAX_LENGTH)[0]["label"]) for text in texts
        ]

    def padded(texts: list[str]) -> list[int]:
        found: list[int] = []
        for start in range(0, len(texts), TUTORIAL_BATCH):
            inputs = tokenizer(
                texts[start : start + TUTORIAL_BATCH],
                padding="max_length",
                truncation=True,
                max_length=MAX_LENGTH,
                return_tensors="pt",
            )
            inputs.pop("token_type_ids", None)
            with torch.no_grad():
                found += plain(**inputs).logits.argmax(dim=1).tolist()
        return found

    return padded


def _operations(count: int) -> float:
    """Return the multiplications and additions that a text takes on average: linear layers and attention."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder())
    lengths = [
        len(ids) for ids in tokenizer(asked(count), truncation=True, max_length=MAX_LENGTH)["input_ids"]
    ]
    linear = LAYERS * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER_FACTOR * WIDTH)
    return statistics.fmean(
        2 * (length * linear + LAYERS * 2 * length * length * WIDTH) for length in lengths
    )


def _report(arms: list[str], rounds: list[list[Outcome]], roof: float, options: argparse.Namespace) -> None:
    """Print what came out."""
    from tunewright.support.machine import describe_machine

    median = {
        arm: statistics.median(one[at].texts_per_cpu_second for one in rounds) for at, arm in enumerate(arms)
    }
    wall = {arm: statistics.median(one[at].texts_per_second for one in rounds) for at, arm in enumerate(arms)}
    labels = {arm: rounds[0][at].labels for at, arm in enumerate(arms)}
    operations = _operations(options.texts)
    print(f"\n{describe_machine()}; {options.texts} messages, {options.rounds} rounds, one thread\n")
    print("| | texts / CPU s | texts / s | x pipeline | x padded | same labels | of the int8 roof |")
    print("|---|---|---|---|---|---|---|")
    for arm in sorted(arms, key=lambda each: median[each]):
        same = statistics.fmean(a == b for a, b in zip(labels[arm], labels[PIPELINE], strict=True))
        print(
            f"| {arm} | {median[arm]:.1f} | {wall[arm]:.1f} | {median[arm] / median[PIPELINE]:.1f} |"
            f" {median[arm] / median[PADDED]:.1f} | {same:.2%} | {median[arm] * operations / roof:.0%} |"
        )
    print(
        f"\nint8 peak of a core: {roof / 1e9:,.0f} billion operations a second; a message takes"
        f" {operations / 1e9:.2f} billion: {roof / operations:,.0f} messages a second is the roof."
    )


if __name__ == "__main__":
    main()
