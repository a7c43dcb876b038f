"""How near does the memory forecast come to what a training takes at its peak?

Each recipe is forecast in a process of its own and trained in another one, with validation after each epoch and
checkpoints in between; then both are done in one process, one after the other, as ``tunewright run`` does. Models and
rows are small enough for a machine without a GPU: what is compared are bytes, not seconds.

    python benchmarks/forecast.py            # a quick look: three recipes
    python benchmarks/forecast.py --full     # the table in docs/performance.md
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tunewright.config.schema import Recipe
    from tunewright.data.chat.rows import ChatRow
    from tunewright.data.dataset import Dataset
    from tunewright.training.candidate import TrainingFigures
    from tunewright.training.forecast import Forecast
    from tunewright.training.language.sft import ChatData

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("TUNEWRIGHT_SHARED", ROOT.parent / "shared"))
SMS = SHARED / "data" / "sms_spam" / "SMSSpamCollection"
HELD_OUT, EPOCHS, CONTEXT = 24, 2, 512
LONGEST_PROMPT = 600
"""Characters: the answer must begin before the limit."""
SIZES = {"4 × 256": (4, 256, 4, 8000), "8 × 512": (8, 512, 8, 4000)}
"""Layers, width, heads and vocabulary of the models made here."""
MIB = 2**20
COLUMNS = [
    *("recipe", "weights", "adapter", "gradients", "optimizer", "best weights", "activations", "kernels"),
    *("forecast", "measured", "measured / forecast", "the same in one process"),
]


@dataclass(frozen=True, slots=True)
class Case:
    """One recipe."""

    name: str
    model: str
    """A key of ``SIZES``, a folder of the shared models, or a base by name."""
    length: int
    batch: int
    steps: int
    """Batches of an epoch; there are two epochs."""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_classifier(self) -> bool:
        """Whether labels are learned."""
        return self.objective == "classification"

    @property
    def objective(self) -> str:
        """What is learned."""
        return str(self.settings.get("objective", "sft"))


CASES = (
    Case("sft, full", "stories260K-hf", 512, 8, 12),
    Case("sft, lora", "tinystories-656k-fixed-tokenizer", 512, 16, 8, {"method": "lora"}),
    Case("sft, full", "4 × 256", 512, 8, 14),
    Case("sft, dora", "tinystories-656k-fixed-tokenizer", 256, 16, 8, {"method": "dora"}),
    Case("sft, full, 4 batches a step", "4 × 256", 256, 8, 16, {"gradient_accumulation_steps": 4}),
    Case("sft, full, fp32", "8 × 512", 256, 16, 8, {"precision": "fp32"}),
    Case("sft, full, checkpointing", "8 × 512", 512, 8, 6, {"gradient_checkpointing": "on"}),
    Case("sft, qlora", "8 × 512", 256, 8, 8, {"method": "qlora"}),
    Case("pretrain, full", "4 × 256", 512, 32, 6, {"objective": "pretrain"}),
    Case("dpo, full", "4 × 256", 512, 8, 8, {"objective": "dpo"}),
    Case("classifier, full", "minilm", 256, 32, 20, {"objective": "classification"}),
    Case("classifier, lora", "minilm", 256, 32, 20, {"objective": "classification", "method": "lora"}),
)
QUICK = (0, 2, 10)


class Silent:
    """A recorder that forgets."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Take figures."""

    def table(self, name: str, rows: Sequence[Mapping[str, str]], step: int) -> None:
        """Take a table."""


def recipe_of(case: Case, folder: Path) -> Recipe:
    """Return the recipe of a case; models made here lie in ``folder``."""
    from tunewright.config.compose import compose

    given = {
        "objective": "sft",
        "batch_size": case.batch,
        "epochs": EPOCHS,
        "checkpoint_steps": max(1, case.steps // 3),
        "threads": 1,
        "device": "cpu",
        **case.settings,
    }
    shared = SHARED / "models" / case.model
    name = folder / case.model.replace(" ", "") if case.model in SIZES else shared
    words = [f"training.{key}={value}" for key, value in given.items()]
    data = [] if case.is_classifier else ["data=chat"]
    return compose(
        [
            *data,
            f"model.name={name if name.is_dir() else case.model}",
            f"model.max_length={case.length}",
            *words,
        ]
    )


def read(path: Path) -> Any:  # noqa: ANN401
    """Read JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def completions() -> list[dict[str, str]]:
    """Return prompts and completions of the Alpaca rows and of self-instruct."""
    tasks = (SHARED / "data/self_instruct/seed_tasks.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [
        {
            "prompt": f"{each['instruction']}\n{each['instances'][0]['input']}\n",
            "completion": each["instances"][0]["output"],
        }
        for each in map(json.loads, tasks)
    ]
    rows += [
        {"prompt": f"{each['instruction']}\n{each['input']}\n", "completion": each["output"]}
        for each in read(SHARED / "data/chat_formats/alpaca_en_demo.json")
    ]
    return [row for row in rows if len(row["prompt"]) <= LONGEST_PROMPT and row["completion"].strip()]


def chat_rows(case: Case) -> list[ChatRow]:
    """Return the rows of a language model's case."""
    from tunewright.data.chat.rows import ChatRow, Message

    if case.objective == "pretrain":
        return [ChatRow(kind="text", text=row["prompt"] + row["completion"]) for row in completions()]
    if case.objective == "sft":
        return [ChatRow(kind="completion", **row) for row in completions()]

    def turn(role: Literal["user", "assistant"], said: dict[str, str]) -> tuple[Message]:
        return (Message(role=role, content=said["value"][:LONGEST_PROMPT].strip()),)

    return [
        ChatRow(
            kind="preference",
            messages=turn("user", row["conversations"][-1]),
            chosen=turn("assistant", row["chosen"]),
            rejected=turn("assistant", row["rejected"]),
        )
        for row in read(SHARED / "data/chat_formats/dpo_en_demo.json")
    ]


def chat_data(case: Case) -> ChatData:
    """Return enough rows for the steps of a case, and some to validate with."""
    from tunewright.training.language.sft import ChatData

    rows = chat_rows(case)[: HELD_OUT + case.steps * case.batch]
    return ChatData(tuple(rows[HELD_OUT:]), tuple(rows[:HELD_OUT]), case.name)


def messages(case: Case, folder: Path) -> Dataset:
    """Split labelled messages with the data steps themselves."""
    from tunewright.config.schema import Recipe
    from tunewright.data.cleaning import clean
    from tunewright.data.dataset import Dataset
    from tunewright.data.ingest import ingest
    from tunewright.data.splitting import split
    from tunewright.data.validation import validate

    root = folder / "messages"
    if not root.exists():
        settings = {"source": str(SMS), "max_rows": int(1.5 * case.steps * case.batch), "split_by": "text"}
        config = Recipe.model_validate({"data": settings}).data
        ingest(config, base_dir=SMS.parent, out=root / "rows")
        clean(root / "rows", config.cleaning, out=root / "clean")
        validate(root / "clean", config.validation, out=root / "valid", quarantine=root / "quarantine.jsonl")
        split(root / "valid", config, seed=0, out=root / "data")
    return Dataset.load(root / "data")


def make_models(folder: Path) -> None:
    """Make the models of ``SIZES`` from nothing."""
    from tunewright.config.language import NewModel
    from tunewright.models.language.fresh import fresh_model, fresh_tokenizer, save_fresh

    texts = [row["prompt"] + row["completion"] for row in completions()]
    for name, (layers, width, heads, vocabulary) in SIZES.items():
        tokenizer = fresh_tokenizer(texts, vocabulary=vocabulary, context=CONTEXT)
        new = NewModel(vocabulary=vocabulary, hidden_size=width, layers=layers, heads=heads, context=CONTEXT)
        save_fresh(folder / name.replace(" ", ""), tokenizer, fresh_model(tokenizer, new, seed=0))


def foreseen(case: Case, folder: Path) -> Forecast:
    """Forecast a training in this process."""
    from tunewright.models.catalogue import resolve
    from tunewright.training.forecast import forecast, forecast_of
    from tunewright.training.language.methods import prepare

    recipe = recipe_of(case, folder)
    base = resolve(recipe.model, base_dir=ROOT)
    if case.is_classifier:
        return forecast(messages(case, folder), base, recipe)
    return forecast_of(lambda: prepare(chat_data(case), base, recipe), folder)


def trained(case: Case, folder: Path) -> TrainingFigures:
    """Train in this process."""
    from tunewright.models.catalogue import resolve
    from tunewright.training.classification import train as train_classifier
    from tunewright.training.language.methods import train

    recipe = recipe_of(case, folder)
    base = resolve(recipe.model, base_dir=ROOT)
    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name)
        if case.is_classifier:
            data = messages(case, folder)
            return train_classifier(data, base, recipe, workspace=workspace, recorder=Silent()).figures
        return train(chat_data(case), base, recipe, workspace=workspace, recorder=Silent()).figures


def child(number: int, folder: Path, what: str) -> dict[str, Any]:
    """Do ``forecast``, ``train`` or ``both`` in a process of its own; return what was found."""
    command = [sys.executable, __file__, "--number", str(number), "--folder", str(folder), "--what", what]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def work(options: argparse.Namespace) -> None:
    """Be such a process."""
    from tunewright.support.environment import prepare_environment, quieten_libraries

    prepare_environment()
    quieten_libraries()
    case = CASES[options.number]
    found: dict[str, Any] = {}
    if options.what in {"forecast", "both"}:
        expected = foreseen(case, options.folder)
        found |= {"forecast": expected.memory_bytes, "parts": expected.model_dump()["memory"]}
    if options.what in {"train", "both"}:
        figures = trained(case, options.folder)
        found |= {"peak": figures.peak_memory_bytes, "cpu": figures.cpu_seconds / figures.steps}
    print(json.dumps(found))


def row(number: int, folder: Path) -> list[str]:
    """Measure a case; return its row of the table."""
    case = CASES[number]
    apart = child(number, folder, "forecast") | child(number, folder, "train")
    together = child(number, folder, "both")
    sizes = [*apart["parts"].values(), apart["forecast"], apart["peak"]]
    ratios = [each["peak"] / each["forecast"] for each in (apart, together)]
    name = f"{case.name}; {case.model}; {case.batch} × {case.length}"
    written = [f"{ratio:.2f}" for ratio in ratios]
    print(name, *written, f"{apart['cpu']:.3f} CPU s a step", file=sys.stderr, flush=True)
    return [name, *(f"{size / MIB:,.0f}" for size in sizes), *written]


def main() -> None:
    """Measure and print a table in Markdown."""
    options = _options()
    if options.number is not None:
        work(options)
        return
    chosen = range(len(CASES)) if options.full else QUICK
    with tempfile.TemporaryDirectory() as name:
        make_models(Path(name))
        rows = [row(number, Path(name)) for number in chosen]
    for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows):
        print(f"| {' | '.join(cells)} |")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="all recipes: the table in docs/performance.md")
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--what", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
