"""How much processor time does fine-tuning take, with our defaults and with the recipe that tutorials teach?

Both fine-tune the same base on the same rows for the same epochs, each in a process of its own on one thread, and
answer the same test rows. What counts is the processor time of the whole process up to the end of training:
imports, tokenising, loading and, for ours, validation and checkpoints too.

    python benchmarks/training.py                # a quick look: some rows, one epoch, one seed
    python benchmarks/training.py --full         # all rows, three epochs, three seeds: the figures in the docs
    python benchmarks/training.py --ladder       # also what each lever gives, one added to the other
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from tunewright.config.schema import Recipe
from tunewright.data.dataset import Dataset, Examples

if TYPE_CHECKING:
    from tunewright.models.classifier import Classifier

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("TUNEWRIGHT_SHARED", ROOT.parent / "shared"))
SMS = SHARED / "data" / "sms_spam" / "SMSSpamCollection"
DEMO = ROOT / "src" / "tunewright" / "demo" / "messages.csv"
QUICK_ROWS = 1000
TUTORIAL_LENGTH, TUTORIAL_BATCH, TUTORIAL_RATE = 128, 8, 2e-5
TUTORIAL, OURS = "tutorial", "tunewright defaults"

PLAIN: dict[str, Any] = {
    "precision": "fp32",
    "padding": "max_length",
    "batching": "random",
    "batch_size": TUTORIAL_BATCH,
    "learning_rate": TUTORIAL_RATE,
    "warmup_share": 0.0,
}
DYNAMIC = PLAIN | {"padding": "dynamic"}
GROUPED = DYNAMIC | {"batching": "length_grouped"}
LOW = GROUPED | {"precision": "auto"}
LADDER: dict[str, tuple[dict[str, Any], bool]] = {
    "our checks, validation and checkpoints around it": (PLAIN, False),
    "+ padding to the batch": (DYNAMIC, False),
    "+ batches of similar length": (GROUPED, False),
    "+ precision by probe": (LOW, False),
    "+ cheap dropout": (LOW, True),
}
"""Settings of each rung, and whether the cheap kernels are on; the next rung are our defaults."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One training."""

    arm: str
    seed: int
    cpu_seconds: float
    useful_tokens: int
    rows: int
    accuracy: float
    f1: float
    """F1 of the rarest class with two classes, else the macro mean."""

    @property
    def tokens_per_cpu_second(self) -> float:
        """Useful tokens a second of processor time."""
        return self.useful_tokens / self.cpu_seconds


def main() -> None:
    """Run the arms side by side and print a table in Markdown."""
    options = _options()
    if options.arm:
        print(json.dumps(asdict(_train(options))))
        return
    if options.full:
        options.rows, options.epochs, options.seeds = None, 3.0, 3
    arms = [TUTORIAL, *(LADDER if options.ladder else ()), OURS]
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for seed in range(options.seeds):
            root = Path(folder) / f"data-{seed}"
            _split(options.source, root, rows=options.rows, seed=seed)
            jobs += [(arm, seed, root) for arm in arms if seed == 0 or arm in (TUTORIAL, OURS)]
        with ThreadPoolExecutor(options.jobs) as pool:
            outcomes = list(pool.map(lambda job: _child(*job, epochs=options.epochs), jobs))
    _report(outcomes, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", type=Path, default=SMS if SMS.exists() else DEMO, help="labelled messages"
    )
    parser.add_argument("--rows", type=int, default=QUICK_ROWS, help="rows of the source that are used")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="all rows, three epochs, three seeds")
    parser.add_argument("--ladder", action="store_true", help="measure each lever, on the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _split(source: Path, root: Path, *, rows: int | None, seed: int) -> None:
    """Make frozen splits by unique text with the data steps themselves."""
    from tunewright.data.cleaning import clean
    from tunewright.data.ingest import ingest
    from tunewright.data.splitting import split
    from tunewright.data.validation import validate

    settings = {"source": str(source), "max_rows": rows, "split_by": "text"}
    config = Recipe.model_validate({"data": settings}).data
    ingest(config, base_dir=source.parent, out=root / "rows")
    clean(root / "rows", config.cleaning, out=root / "clean")
    validate(root / "clean", config.validation, out=root / "valid", quarantine=root / "quarantine.jsonl")
    split(root / "valid", config, seed=seed, out=root / "data")


def _child(arm: str, seed: int, root: Path, *, epochs: float) -> Outcome:
    """Train one arm in a process of its own."""
    command = [sys.executable, __file__, "--arm", arm, "--seed", str(seed), "--data", str(root / "data")]
    answer = subprocess.run(
        [*command, "--epochs", str(epochs)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    outcome = Outcome(**json.loads(answer.stdout.splitlines()[-1]))
    print(
        f"{arm}, seed {seed}: {outcome.cpu_seconds:.1f} CPU s, F1 {outcome.f1:.4f}",
        file=sys.stderr,
        flush=True,
    )
    return outcome


def _train(options: argparse.Namespace) -> Outcome:
    """Train one arm in this process and measure it."""
    from tunewright.support.environment import prepare_environment, quieten_libraries

    prepare_environment()
    quieten_libraries()
    dataset = Dataset.load(options.data)
    if options.arm == TUTORIAL:
        classifier, useful = _tutorial(dataset, options.epochs, options.seed)
    else:
        classifier, useful = _ours(dataset, options.arm, options.epochs, options.seed)
    seconds = time.process_time()
    accuracy, f1 = _judge(classifier, dataset)
    rows = len(dataset.examples("train"))
    return Outcome(options.arm, options.seed, seconds, useful, rows, accuracy, f1)


def _ours(dataset: Dataset, arm: str, epochs: float, seed: int) -> tuple[Classifier, int]:
    """Train as ``tunewright run`` does, or as a rung of the ladder tells."""
    from tunewright.models.catalogue import resolve
    from tunewright.training.classification import train

    settings, with_kernels = LADDER.get(arm, ({}, True))
    length = {"max_length": TUTORIAL_LENGTH} if settings.get("padding") == "max_length" else {}
    recipe = Recipe.model_validate(
        {"seed": seed, "model": length, "training": {"epochs": epochs, "threads": 1, **settings}}
    )
    base = resolve(recipe.model, base_dir=ROOT)
    usual = mock.patch("tunewright.training.preparation.cheaper_kernels", return_value=nullcontext())
    kernels = nullcontext() if with_kernels else usual
    with tempfile.TemporaryDirectory() as workspace, kernels:
        candidate = train(dataset, base, recipe, workspace=Path(workspace), recorder=Silent())
    return candidate.classifier, candidate.figures.useful_tokens


class Silent:
    """A recorder that forgets."""

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Take figures."""


def _tutorial(dataset: Dataset, epochs: float, seed: int) -> tuple[Classifier, int]:
    """Train as tutorials teach: the Trainer with its defaults, every text padded to one length, fp32."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    from tunewright.models.catalogue import resolve
    from tunewright.models.classifier import Classifier

    folder = resolve(Recipe().model, base_dir=ROOT).folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(dataset.label_names))
    train: Examples = dataset.examples("train")
    encoded = tokenizer(
        list(train.texts),
        padding="max_length",
        truncation=True,
        max_length=TUTORIAL_LENGTH,
        return_tensors="pt",
    )
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": label}
        for ids, mask, label in zip(
            encoded["input_ids"], encoded["attention_mask"], train.labels, strict=True
        )
    ]
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output, num_train_epochs=epochs, per_device_train_batch_size=TUTORIAL_BATCH, use_cpu=True, seed=seed,
            learning_rate=TUTORIAL_RATE, report_to="none", save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        Trainer(model=model, args=arguments, train_dataset=rows).train()
    useful = int(encoded["attention_mask"].sum() * epochs)
    return Classifier(tokenizer, model.eval(), dataset.label_names, TUTORIAL_LENGTH, {}), useful


def _judge(classifier: Classifier, dataset: Dataset) -> tuple[float, float]:
    """Return accuracy and F1 on the test rows."""
    import numpy as np
    from scipy.special import log_softmax

    from tunewright.evaluation.metrics import score

    rows = dataset.examples("test")
    found = log_softmax(classifier.logits(rows.texts), axis=1)
    metrics = score(np.array(rows.labels), found, dataset.label_names, bins=15)
    rarest = min(metrics.support, key=lambda name: metrics.support[name])
    return metrics.accuracy, metrics.f1[rarest] if len(dataset.label_names) == 2 else metrics.f1_macro


def _report(outcomes: list[Outcome], options: argparse.Namespace) -> None:
    """Print one line an arm; the gain is over the tutorial's mean."""
    arms = list(dict.fromkeys(outcome.arm for outcome in outcomes))
    by_arm = {arm: [outcome for outcome in outcomes if outcome.arm == arm] for arm in arms}
    usual = statistics.mean(outcome.cpu_seconds for outcome in by_arm[TUTORIAL])
    rows = by_arm[TUTORIAL][0].rows
    print(f"\n{options.source.name}: {rows} training rows, {options.epochs:g} epochs, one thread a process\n")
    print("| recipe | CPU s | useful tokens per CPU s | gain | accuracy | F1 | seeds |")
    print("|---|---|---|---|---|---|---|")
    for arm, found in by_arm.items():
        mean = {
            name: statistics.mean(getattr(outcome, name) for outcome in found)
            for name in ("cpu_seconds", "tokens_per_cpu_second", "accuracy", "f1")
        }
        spread = f" ± {statistics.stdev(outcome.f1 for outcome in found):.4f}" if len(found) > 1 else ""
        print(
            f"| {arm} | {mean['cpu_seconds']:.1f} | {mean['tokens_per_cpu_second']:,.0f}"
            f" | {usual / mean['cpu_seconds']:.1f} | {mean['accuracy']:.4f} | {mean['f1']:.4f}{spread} | {len(found)} |"
        )


if __name__ == "__main__":
    main()
