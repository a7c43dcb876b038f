"""Every command and every block of the documentation does what the page says."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
import yaml
from command_forms import fault
from doc_pages import PAGES, ROOT, SHELL, Block, Command, blocks, commands, name_of, spans
from walking import Said, Walk, follow, missing_lines, promoted

from tunewright.config.compose import known_keys, validate
from tunewright.pipeline.steps import STEPS
from tunewright.serving.bench.profile import Profile

LANGUAGES = {*SHELL, "prose", "python", "yaml", "toml", "text", "nginx"}
STORIES = ("README.md", "docs/tutorial.md")
"""Pages that are followed from the first command to the last, in a project of their own."""
LABELLING = ("docs/batch-inference.md", "docs/labelling.md")
"""Pages that are followed in a copy of the read-me's project, the second after the first."""
LOOKED_AT = [page for page in PAGES if name_of(page) not in (*STORIES, *LABELLING)]
REFERENCE = "docs/cli.md"
OPTION_FILE = re.compile(r"`configs/(\w+)/(\w+)\.yaml`")
SERVED = ("docs/serving.md", "docs/serving-language-models.md", "docs/rollout.md")
"""Pages whose Python speaks to a server: tests/serving follows them."""
STAND_INS = {"docs/training.md": ("Recipe()", "recipe_of_the_project")}
"""What a page's Python says and a test can't afford: there, a base that trains for minutes."""


def options_in(page: Path) -> dict[tuple[str, str], str]:
    """Return the configuration files that a page shows, by group and name."""
    found, named = {}, []
    for block in blocks(page):
        if block.language == "prose":
            named = OPTION_FILE.findall(block.text)
        elif block.language == "yaml" and named:
            found[named[-1]] = block.text
    return found


def names_for(page: str, project: Path) -> dict[str, object]:
    """Return what a page's Python takes for granted."""
    from tunewright.pipeline.project import Project

    opened = Project.open(project)
    recipe, dataset = opened.last_recipe(), opened.dataset()
    if page == "docs/training.md":

        class Recorder:
            def metrics(self, values, step):
                assert step >= 0
                assert values

        return {"recipe_of_the_project": recipe, "recorder": Recorder()}
    if page == "docs/evaluation.md":
        from tunewright.evaluation.predictions import Predictions
        from tunewright.registry.models import load
        from tunewright.registry.tracking import connect

        others = [
            Predictions.load(file) for file in sorted((project / "reports" / "baselines").glob("*.parquet"))
        ]
        classifier = load(connect(recipe, opened.paths), "spam/2")
        folder = project.parent / "page"
        folder.mkdir(exist_ok=True)
        return {
            "recipe": recipe, "dataset": dataset, "classifier": classifier, "others": others, "folder": folder,
        }  # fmt: skip
    if page == "docs/preference-tuning.md":
        return names_of_a_scorer(project)
    return {}


def names_of_a_scorer(project: Path) -> dict[str, object]:
    """Save a small reward model where the page opens it, and return rows and preferences."""
    from tunewright.config.language import NewModel
    from tunewright.data.chat.rows import ChatRow, Message
    from tunewright.models.chat.tokenizer import open_chat_tokenizer
    from tunewright.models.language.fresh import fresh_model, fresh_tokenizer, save_fresh
    from tunewright.models.language.reward import RewardModel, load_scorer

    plain = project.parent / "plain"
    new = NewModel(vocabulary=300, hidden_size=16, layers=1, heads=2)
    tokenizer = fresh_tokenizer(["A question and an answer."], vocabulary=300, context=64)
    save_fresh(plain, tokenizer, fresh_model(tokenizer, new, seed=1))
    chat = open_chat_tokenizer(plain)
    RewardModel(chat, load_scorer(plain, chat, seed=1), max_length=64, method="full").save(project / "scorer")
    asked, good, bad = (
        Message(role="user", content="Hi?"),
        *(Message(role="assistant", content=each) for each in "yn"),
    )
    return {
        "rows": [ChatRow(kind="conversation", messages=(asked, good))],
        "preferences": [ChatRow(kind="preference", messages=(asked,), chosen=(good,), rejected=(bad,))],
    }


@pytest.mark.slow
def test_the_readme_can_be_followed_as_it_is_written(readme):
    assert readme.complaints == []


@pytest.mark.slow
def test_the_tutorial_can_be_followed_as_it_is_written(tmp_path, tiny_base, messages, quiet_environment):
    (tmp_path / "messages.csv").write_text(messages, encoding="utf-8")
    before = {("predict",): promoted("shop/2"), ("models", "rollback"): promoted("shop/2", "shop/3")}
    assert follow(ROOT / "docs" / "tutorial.md", Walk(tiny_base, tmp_path, before)) == []


@pytest.mark.slow
def test_the_labelling_pages_can_be_followed_as_they_are_written(readme, tiny_base, messages, tmp_path):
    project = tmp_path / "spam"
    shutil.copytree(readme.project, project)
    (project / "incoming.csv").write_text(messages, encoding="utf-8")

    def annotate(walk: Walk) -> None:
        head, *rows = csv.reader((walk.folder / "ada.csv").read_text(encoding="utf-8-sig").splitlines())
        for name, labels in (("ada", ["ham", "spam"]), ("ben", ["ham", "ham"])):
            with (walk.folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
                csv.writer(stream).writerows(
                    [head, *([*row[:4], labels[at % 2], ""] for at, row in enumerate(rows))]
                )

    walk = Walk(tiny_base, project, {("labels", "import"): annotate})
    for page in LABELLING:
        assert follow(ROOT / page, walk) == []
    batch = (project / "data" / "labelled" / "today.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(batch) == 10, "two annotators who disagree on every other row"


@pytest.mark.slow
@pytest.mark.parametrize("page", LOOKED_AT, ids=name_of)
def test_a_pages_commands_exist_and_those_that_only_look_run(page, readme, tiny_base):
    walk, said, complaints = Walk(tiny_base, readme.project), Said(0), []
    options = options_in(page)
    for (group, name), text in options.items():
        (readme.project / "configs" / group).mkdir(exist_ok=True)
        (readme.project / "configs" / group / f"{name}.yaml").write_text(text, encoding="utf-8")
    for block in (each for each in blocks(page) if each.text.strip()):
        if block.language == "text" and (said.out or said.err):
            complaints += [f"{block.place}: not printed: {line}" for line in missing_lines(block.text, said)]
        elif said.code:  # only a complaint that the page goes on to show is meant
            complaints.append(f"{block.place}: before it, exit {said.code}: {said.err}")
        said = Said(0)
        if block.language in SHELL:
            *others, (_, said) = [(command, look(walk, command)) for command in commands(block)]
            complaints += [
                f"{command}: exit {each.code}: {each.err}" for command, each in others if each.code
            ]
        elif block.language == "python" and name_of(page) not in SERVED:
            code = block.text.replace(*STAND_INS.get(name_of(page), ("", "")))
            walk.run_python(code, names_for(name_of(page), readme.project))
    for group, name in options:
        (readme.project / "configs" / group / f"{name}.yaml").unlink()
    assert complaints == []
    assert said.code == 0, said.err


def look(walk: Walk, command: Command) -> Said:
    """Look at a command's answer; those of the reference repeat other pages, and their form is enough."""
    if not command.place.startswith(REFERENCE):
        return walk.look(command)
    found = fault(command.words)
    return Said(1, err=found) if found else Said(0)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_in_a_sentence_exists(page, tmp_path):
    configs = tmp_path / "configs"
    (configs / "model").mkdir(parents=True)
    for (group, name), text in options_in(page).items():
        (configs / group).mkdir(exist_ok=True)
        (configs / group / f"{name}.yaml").write_text(text, encoding="utf-8")
    packaged = ROOT / "src" / "tunewright" / "config" / "groups" / "config.yaml"
    (configs / "config.yaml").write_text(packaged.read_text(encoding="utf-8"), encoding="utf-8")
    for place, span in spans(page):
        first, *words = span.split()
        if first in ("tunewright", "make", "dvc") and words and "…" not in span:
            found = fault((first, *[word.strip("'\"") for word in words]), configs)
            assert not found, f"{place}: {found}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_key_in_a_sentence_exists(page):
    sections = tuple(
        f"{name}."
        for name in ("data", "model", "training", "evaluation", "registry", "serving", "monitoring")
    )
    for place, span in spans(page):
        key = span.partition("=")[0]
        if key.startswith(sections) and re.fullmatch(r"[a-z_0-9.]+", key) and not is_file_name(key):
            assert key in known_keys(), f"{place}: no key {key}"


def is_file_name(key: str) -> bool:
    return key.endswith((".py", ".json", ".html", ".jsonl", ".csv", ".yaml"))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_its_language_and_every_configuration_is_valid(page):
    options = options_in(page)
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block.place}: a block in '{block.language}'"
        if block.language == "toml":
            assert pytest.importorskip("tomllib").loads(block.text)
        elif block.language == "yaml" and name_of(page) == "docs/load-testing.md":
            Profile(**yaml.safe_load(block.text))
        elif block.language == "yaml" and block.text not in options.values():
            validate(yaml.safe_load(block.text))


def test_the_tutorials_screens_show_the_steps_that_there_are():
    shown: list[Block] = [
        block for block in blocks(ROOT / "docs" / "tutorial.md") if block.language == "text"
    ]
    lines = [line for block in shown for line in block.text.splitlines() if line.startswith("[")]
    assert lines == [
        f"[{number}/{len(STEPS)}] {step.name}: {step.summary}" for number, step in enumerate(STEPS, start=1)
    ]


def test_a_command_that_nobody_knows_is_refused():
    for words in (
        ("tunewright", "run", "--frm", "train"),
        ("tunewright", "modles"),
        ("curl", "x"),
        ("make", "tset"),
    ):
        assert fault(words), words
