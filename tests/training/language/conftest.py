"""Real rows cut short, a chat template, and recipes for real models small enough to train here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tunewright.config.schema import Recipe
from tunewright.data.chat.rows import ChatRow, Message
from tunewright.models.catalogue import resolve
from tunewright.support.digests import digest_json
from tunewright.training.language.methods import train
from tunewright.training.language.sft import ChatData, LanguageCandidate

LONGEST = 40
"""Characters of a message: the vocabulary has 512 tokens, so this is about 25 of them."""
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'assistant' %}Answer:{% generation %} {{ message.content }}{{ eos_token }}"
    "{% endgeneration %}{% else %}{{ message.role }}: {{ message.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Answer:{% endif %}"
)


class Told:
    """A recorder that remembers figures and tables."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, int], float] = {}
        self.tables: dict[int, list[dict[str, str]]] = {}

    def metrics(self, values, step):
        self.points |= {(name, step): value for name, value in values.items()}

    def table(self, name, rows, step):
        assert name == "samples"
        self.tables.setdefault(step, [dict(row) for row in rows])


@pytest.fixture
def recorder() -> Told:
    return Told()


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """A chat template that marks what the assistant says; its prompt doesn't end in a space."""
    path = tmp_path_factory.mktemp("template") / "chat.jinja"
    path.write_text(TEMPLATE, encoding="utf-8")
    return path


def said(message) -> Message:
    """Return a message of either demo file, cut short."""
    role = message.get("role") or {"human": "user", "gpt": "assistant"}.get(message["from"], message["from"])
    return Message(role=role, content=(message.get("content") or message["value"])[:LONGEST].strip())


def split(rows: Sequence[ChatRow], validation: int) -> ChatData:
    """Return rows as frozen splits."""
    return ChatData(
        train=tuple(rows[validation:]),
        validation=tuple(rows[:validation]),
        digest=digest_json([row.model_dump(mode="json") for row in rows]),
    )


@pytest.fixture(scope="session")
def preferences(shared) -> ChatData:
    """16 real preferences to learn from and 8 to judge by."""
    found = json.loads((shared / "data" / "chat_formats" / "dpo_en_demo.json").read_text(encoding="utf-8"))
    rows = [
        ChatRow(
            kind="preference",
            row=number,
            messages=tuple(map(said, item["conversations"][-1:])),
            chosen=(said(item["chosen"]),),
            rejected=(said(item["rejected"]),),
        )
        for number, item in enumerate(found, 1)
        if said(item["chosen"]).content != said(item["rejected"]).content
    ]
    return split(rows[:24], 8)


@pytest.fixture(scope="session")
def ratings(shared) -> ChatData:
    """16 real ratings to learn from and 8 to judge by, as many good as bad."""
    found = json.loads((shared / "data" / "chat_formats" / "kto_en_demo.json").read_text(encoding="utf-8"))
    rows = [
        ChatRow(
            kind="rated",
            row=number,
            messages=(said(item["messages"][0]),),
            chosen=(said(item["messages"][1]),),
            good=item["label"],
        )
        for number, item in enumerate(found, 1)
    ]
    good, bad = [row for row in rows if row.good][:12], [row for row in rows if not row.good][:12]
    return split([row for pair in zip(good, bad, strict=True) for row in pair], 8)


@pytest.fixture(scope="session")
def conversations(preferences) -> ChatData:
    """The chosen answers as conversations."""

    def talk(row: ChatRow) -> ChatRow:
        return ChatRow(kind="conversation", row=row.row, messages=(*row.messages, *row.chosen))

    return ChatData(
        tuple(map(talk, preferences.train)), tuple(map(talk, preferences.validation)), "conversations"
    )


@pytest.fixture(scope="session")
def make_recipe(shared) -> Callable[..., Recipe]:
    """Return a function that makes a recipe for a tiny model; keywords go to its training section."""

    def make(
        objective: str,
        *,
        model: str = "stories260K-hf",
        evaluation: object = None,
        load_in: str = "full",
        **training,
    ) -> Recipe:
        settings = {
            "objective": objective, "epochs": 2, "batch_size": 8, "learning_rate": 2e-3, "threads": 1,
            "precision": "fp32", "device": "cpu", "logging_steps": 1, "sample_prompts": 0, "warmup_share": 0.0,
        }  # fmt: skip
        return Recipe.model_validate(
            {
                "seed": 7,
                "model": {"name": str(shared / "models" / model), "max_length": 128, "load_in": load_in},
                "training": settings | training,
                "evaluation": {"generation": evaluation or {}},
            }
        )

    return make


@pytest.fixture
def fine_tune(tmp_path, template, recorder) -> Callable[..., LanguageCandidate]:
    """Return a function that trains in this test's workspace."""

    def call(data: ChatData, recipe: Recipe, *, workspace: str = "work", told: Told | None = None):
        base = resolve(recipe.model, base_dir=tmp_path)
        return train(
            data, base, recipe, workspace=tmp_path / workspace, recorder=told or recorder, template=template
        )

    return call
