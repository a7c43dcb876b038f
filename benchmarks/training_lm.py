"""How fast does a language model learn, with our defaults, with TRL's, and with the recipe that tutorials teach?

All three fine-tune the same small model on the same prompts and answers for the same number of optimiser steps of the
same size, each in a process of its own on one thread, turn by turn. What counts is the processor time of the training
loop alone (imports, loading and tokenising left out) for each useful token: one that comes from a row, not from
padding. Afterwards the loss on held-out rows is measured by one function for all.

    python benchmarks/training_lm.py             # a quick look: some rows, one round
    python benchmarks/training_lm.py --full      # the figures in docs/performance.md
    python benchmarks/training_lm.py --ladder    # also what each lever gives, one added to the other
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("TUNEWRIGHT_SHARED", ROOT.parent / "shared"))
BATCH, LENGTH, RATE, HELD_OUT = 8, 512, 5e-4, 24
LONGEST_PROMPT = 600
"""Characters: the answer must begin before the limit."""
OURS, TRL, TUTORIAL = "tunewright", "TRL's defaults", "tutorial"
RUNGS: dict[str, dict[str, Any]] = {
    "rows padded to 512, fp32": {"padding": "max_length", "batching": "random", "precision": "fp32"},
    "+ padded to the batch": {"batching": "random", "precision": "fp32"},
    "+ batches of similar length": {"precision": "fp32"},
}
"""Settings of each rung with our loss on supervised positions alone; the next rung are our defaults."""


@dataclass(frozen=True, slots=True)
class Task:
    """One training."""

    arm: str
    model: str
    rows: str
    steps: int
    threads: int
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one training took and reached."""

    arm: str
    cpu_seconds: float
    useful_tokens: int
    steps: int
    loss: float
    """Mean loss of a completion's token on held-out rows, in nats."""

    @property
    def rate(self) -> float:
        """Useful tokens a second of processor time."""
        return self.useful_tokens / self.cpu_seconds


def write_rows(path: Path, count: int) -> None:
    """Write prompts and completions of the bundled Alpaca rows and of self-instruct."""
    tasks = (SHARED / "data/self_instruct/seed_tasks.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [
        {
            "prompt": f"{each['instruction']}\n{each['instances'][0]['input']}\n",
            "completion": each["instances"][0]["output"],
        }
        for each in map(json.loads, tasks)
    ]
    alpaca = json.loads((SHARED / "data/chat_formats/alpaca_en_demo.json").read_text(encoding="utf-8"))
    rows += [
        {"prompt": f"{each['instruction']}\n{each['input']}\n", "completion": each["output"]}
        for each in alpaca
        if each["output"]
    ]
    short = [each for each in rows if len(each["prompt"]) <= LONGEST_PROMPT and each["completion"].strip()]
    path.write_text("\n".join(map(json.dumps, short[: count + HELD_OUT])), encoding="utf-8")


def make_model(folder: Path, rows: Path) -> None:
    """Make a model of 4 layers of 256 with an 8,000-token vocabulary, from nothing."""
    from tunewright.config.language import NewModel
    from tunewright.models.language.fresh import fresh_model, fresh_tokenizer, save_fresh

    texts = [each["prompt"] + each["completion"] for each in read(rows)]
    tokenizer = fresh_tokenizer(texts, vocabulary=8000, context=LENGTH)
    new = NewModel(vocabulary=8000, hidden_size=256, layers=4, heads=4, context=LENGTH)
    save_fresh(folder, tokenizer, fresh_model(tokenizer, new, seed=0))


def read(path: Path) -> list[dict[str, str]]:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ours(task: Task) -> Outcome:
    """Train with tunewright."""
    from tunewright.config.compose import compose
    from tunewright.data.chat.rows import ChatRow
    from tunewright.models.catalogue import resolve
    from tunewright.training.language.sft import ChatData, train

    given = {
        "objective": "sft",
        "method": "full",
        "batch_size": BATCH,
        "learning_rate": RATE,
        "threads": task.threads,
        "device": "cpu",
        "sample_prompts": 0,
        **task.settings,
    }
    rows = [ChatRow(kind="completion", row=at, **each) for at, each in enumerate(read(Path(task.rows)), 1)]
    data = ChatData(tuple(rows[:-HELD_OUT]), tuple(rows[-HELD_OUT:]), "rows")
    epochs = task.steps / -(-len(data.train) // BATCH)
    words = [f"training.{name}={value}" for name, value in given.items()]
    recipe = compose(
        [
            "data=chat",
            f"model.name={task.model}",
            f"model.max_length={LENGTH}",
            f"training.epochs={epochs}",
            *words,
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        found = train(
            data, resolve(recipe.model, base_dir=ROOT), recipe, workspace=Path(folder), recorder=_Silent()
        )
        kept = Path(folder) / "model"
        found.model.model.save_pretrained(kept)
        loss = held_out_loss(task, kept)
    figures = found.figures
    return Outcome(task.arm, figures.cpu_seconds, figures.useful_tokens, figures.steps, loss)


def with_trl(task: Task) -> Outcome:
    """Train with TRL: as it comes, or as tutorials do, every row padded to the longest that may be."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(task.threads)
    tokenizer = AutoTokenizer.from_pretrained(task.model)
    rows = read(Path(task.rows))[:-HELD_OUT]
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        max_steps=task.steps,
        per_device_train_batch_size=BATCH,
        learning_rate=RATE,
        max_length=LENGTH,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        **task.settings,
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(task.model, dtype=torch.float32),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    seen = _Counting(trainer.data_collator)
    trainer.data_collator = seen
    began = time.process_time()
    trainer.train()
    seconds = time.process_time() - began
    with tempfile.TemporaryDirectory() as folder:
        trainer.model.save_pretrained(folder)
        loss = held_out_loss(task, Path(folder))
    return Outcome(task.arm, seconds, seen.useful, trainer.state.global_step, loss)


class _Silent:
    """A recorder that forgets."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Take figures."""

    def table(self, name: str, rows: Sequence[Mapping[str, str]], step: int) -> None:
        """Take a table."""


class _Counting:
    """A collator that counts the tokens that come from rows."""

    def __init__(self, inner: Callable[[list[dict[str, list[int]]]], object]) -> None:
        self.inner, self.useful = inner, 0

    def __call__(self, rows: list[dict[str, list[int]]]) -> object:
        """Collate, and count."""
        batch = self.inner(rows)
        self.useful += sum(len(row["input_ids"]) for row in rows)
        return batch


def held_out_loss(task: Task, folder: Path) -> float:
    """Score the completions of the held-out rows with any trained model."""
    from tunewright.data.chat.rows import ChatRow
    from tunewright.models.chat.tokenizer import open_chat_tokenizer
    from tunewright.models.language.loading import load_causal
    from tunewright.models.language.model import LanguageModel

    chat = open_chat_tokenizer(Path(task.model))
    model = LanguageModel(chat, load_causal(folder), max_length=LENGTH)
    rows = [ChatRow(kind="completion", **each) for each in read(Path(task.rows))[-HELD_OUT:]]
    found = model.losses(rows)
    return sum(loss for loss, _ in found) / sum(tokens for _, tokens in found)


def measured(task: Task) -> Outcome:
    """Run a training in a process of its own."""
    command = [sys.executable, __file__, "--task", json.dumps(asdict(task))]
    environment = os.environ | {"OMP_NUM_THREADS": str(task.threads), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        sys.exit(f"{task.arm} failed:\n{done.stderr[-2000:]}")
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def arms(*, ladder: bool) -> list[tuple[str, dict[str, Any]]]:
    """Return what is trained, with its settings."""
    baselines: list[tuple[str, dict[str, Any]]] = [
        (TUTORIAL, {"gradient_checkpointing": False, "pad_to_multiple_of": LENGTH}),
        (TRL, {}),
    ]
    rungs = list(RUNGS.items()) if ladder else []
    return [*baselines, *rungs, (OURS, {})]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="more steps, three rounds")
    parser.add_argument("--ladder", action="store_true", help="what each lever gives")
    parser.add_argument("--steps", type=int, help="optimiser steps; 15, or 60 with --full")
    parser.add_argument("--rounds", type=int, help="trainings of each recipe; 1, or 3 with --full")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        task = Task(**json.loads(given.task))
        run = with_trl if task.arm in {TUTORIAL, TRL} else ours
        print(json.dumps(asdict(run(task))))
        return
    steps, rounds = (60, 3) if given.full else (15, 1)
    steps, rounds = given.steps or steps, given.rounds or rounds
    found: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory() as name:
        rows, model = Path(name) / "rows.jsonl", Path(name) / "model"
        write_rows(rows, steps * BATCH)
        make_model(model, rows)
        for _ in range(rounds):
            for arm, settings in arms(ladder=given.ladder):
                task = Task(arm, str(model), str(rows), steps, given.threads, settings)
                found.setdefault(arm, []).append(measured(task))
    base = statistics.median(each.rate for each in found[TUTORIAL])
    print(f"{steps} steps of {BATCH} rows, {given.threads} thread(s), median of {rounds}")
    print(
        "| recipe | useful tokens a CPU s | times the tutorial's | loss on held-out rows |\n|---|---|---|---|"
    )
    for arm, outcomes in found.items():
        rate = statistics.median(each.rate for each in outcomes)
        loss = statistics.median(each.loss for each in outcomes)
        print(f"| {arm} | {rate:,.0f} | {rate / base:.1f} | {loss:.3f} |")


if __name__ == "__main__":
    main()
