"""Wrong uses: each gives one clear line and the right exit code, and leaves what existed as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import pytest

from tunewright.support.digests import digest_file

HEADER = "text,label\n"
MESSAGES = (resources.files("tunewright") / "demo" / "messages.csv").read_text(encoding="utf-8")
GOOD_ROWS = "\n".join(MESSAGES.splitlines()[1::4]) + "\n"


@dataclass(frozen=True)
class Wrong:
    """One wrong use: what is typed, what is prepared, and what the line must say."""

    name: str
    words: tuple[str, ...]
    says: tuple[str, ...]
    code: int = 2
    prepare: Callable[[Path], object] | None = None
    environment: dict[str, str] = field(default_factory=dict)


def write(name: str, content: str | bytes) -> Callable[[Path], object]:
    def prepare(project: Path) -> object:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return prepare


def truncated_parquet(project: Path) -> None:
    import pandas as pd

    path = project / "cut.parquet"
    pd.DataFrame({"text": ["a b c"] * 50, "label": ["x", "y"] * 25}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-40])


def mixed_folder(project: Path) -> None:
    folder = project / "mixed"
    folder.mkdir()
    (folder / "a.csv").write_text(HEADER + GOOD_ROWS)
    (folder / "b.csv").write_text("title,price,weight\nx,1,2\ny,2,3\n")


def damaged_base(project: Path) -> None:
    weights = project / "base" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def base_without_config(project: Path) -> None:
    (project / "base" / "config.json").unlink()


GOOD = write("good.csv", HEADER + GOOD_ROWS)
RUN = ("run", "data.source=good.csv", "model.name=base")

USAGE = [
    Wrong("misspelt command", ("rnu",), ("rnu", "--help")),
    Wrong("misspelt option", ("run", "--forse"), ("--forse",)),
    Wrong("init without a name", ("init",), ("folder",)),
    Wrong(
        "init over a file", ("init", "file.txt"), ("file.txt", "is a file"), prepare=write("file.txt", "x")
    ),
    Wrong("init of a project that exists", ("init", "."), ("project already",)),
    Wrong("init with a name without letters", ("init", "___"), ("___", "letter")),
    Wrong(
        "init with source and demo",
        ("init", "x", "--demo", "--source", "y"),
        ("--source, --demo and --template",),
    ),
    Wrong("misspelt key", ("run", "training.learnin_rate=1"), ("learnin_rate", "training.learning_rate")),
    Wrong("misspelt group option", ("run", "training=lroa"), ("lroa", "did you mean 'lora'")),
    Wrong("value of the wrong type", ("run", "training.epochs=many"), ("training.epochs", "'many'")),
    Wrong("value out of bounds", ("run", "data.test_share=2"), ("data.test_share", "less than 1")),
    Wrong("value that is not a choice", ("run", "training.device=tpu"), ("training.device", "'cuda'")),
    Wrong("word without an equals sign", ("run", "fast"), ("'fast'", "KEY=VALUE")),
    Wrong("unknown step", ("run", "--from", "trian"), ("'trian'", "did you mean 'train'")),
    Wrong("from with only", ("run", "--from", "train", "--only", "split"), ("--only", "--from")),
    Wrong("step without its inputs", (*RUN, "--only", "train"), ("missing", "train"), prepare=GOOD),
    Wrong("unknown step by name", ("step", "nonsense"), ("nonsense",), prepare=write("params.json", "{}")),
    Wrong("step before any run", ("step", "ingest"), ("params.json", "tunewright run")),
    Wrong("predict without a text", ("predict",), ("no text",)),
    Wrong("predict before anything is registered", ("predict", "hello"), ("shop",)),
    Wrong("data show before any run", ("data", "show"), ("manifest.json", "tunewright run")),
    Wrong("data inspect of nothing", ("data", "inspect", "nowhere.csv"), ("nowhere.csv",)),
    Wrong("models show of an unknown name", ("models", "show", "nobody"), ("nobody",)),
    Wrong("models rollback with nothing to go back to", ("models", "rollback"), ("shop",)),
    Wrong("broken configuration", ("run",), ("config.yaml",), prepare=write("configs/config.yaml", "a: [")),
    Wrong(
        "unknown section in the configuration",
        ("run",),
        ("trainig", "did you mean 'training'"),
        prepare=lambda project: (
            (project / "configs" / "config.yaml").open("a").write("\ntrainig:\n  epochs: 1\n")
        ),
    ),
]

DATA = [
    Wrong("no source", ("run",), ("data.source", "is not set")),
    Wrong(
        "password in the source",
        ("run", "data.source=s3://me:secret@bucket/x.csv"),
        ("data.source", "password"),
    ),
    Wrong("missing file", ("run", "data.source=nowhere.csv"), ("nowhere.csv",)),
    Wrong(
        "empty file", ("run", "data.source=empty.csv"), ("empty.csv", "empty"), prepare=write("empty.csv", "")
    ),
    Wrong("header alone", ("run", "data.source=h.csv"), ("h.csv",), prepare=write("h.csv", HEADER)),
    Wrong(
        "one class only",
        ("run", "data.source=one.csv"),
        ("label",),
        prepare=write("one.csv", HEADER + "".join(f"some text {n} of many,ham\n" for n in range(40))),
    ),
    Wrong(
        "absent label column", (*RUN, "data.label_column=nope"), ("data.label_column", "nope"), prepare=GOOD
    ),
    Wrong("absent text column", (*RUN, "data.text_column=nope"), ("data.text_column", "nope"), prepare=GOOD),
    Wrong("unknown encoding", (*RUN, "data.encoding=utf-99"), ("data.encoding", "utf-99"), prepare=GOOD),
    Wrong(
        "binary rubbish",
        ("run", "data.source=x.csv"),
        ("x.csv",),
        prepare=write("x.csv", bytes(range(256)) * 40),
    ),
    Wrong(
        "truncated parquet", ("run", "data.source=cut.parquet"), ("cut.parquet",), prepare=truncated_parquet
    ),
    Wrong(
        "broken JSON", ("run", "data.source=x.json"), ("x.json",), prepare=write("x.json", '[{"text": "a", ')
    ),
    Wrong(
        "JSON without rows", ("run", "data.source=x.json"), ("x.json",), prepare=write("x.json", '{"a": 1}')
    ),
    Wrong(
        "broken JSONL", ("run", "data.source=x.jsonl"), ("x.jsonl",), prepare=write("x.jsonl", "{\n{\n{\n")
    ),
    Wrong(
        "empty folder",
        ("run", "data.source=nothing"),
        ("nothing",),
        prepare=lambda project: (project / "nothing").mkdir(),
    ),
    Wrong("folder of unlike files", ("run", "data.source=mixed"), ("b.csv",), prepare=mixed_folder),
    Wrong("hub out of reach", ("run", "data.source=somebody/some_data"), ("somebody/some_data",)),
    Wrong(
        "too many bad rows",
        ("run", "data.source=bad.csv"),
        ("quarantine", "max_quarantined_share"),
        prepare=write("bad.csv", HEADER + GOOD_ROWS + ",order_status\n" * 60),
    ),
    Wrong(
        "a label with too few rows",
        ("run", "data.source=few.csv"),
        ("rare",),
        prepare=write("few.csv", HEADER + GOOD_ROWS + "a text that stands alone,rare\n"),
    ),
    Wrong(
        "labels outside the set",
        (*RUN, "data.validation.labels=[order_status,lost]"),
        ("unknown_label", "quarantine"),
        prepare=GOOD,
    ),
    Wrong("split by an absent column", (*RUN, "data.split_by=customer"), ("customer",), prepare=GOOD),
]

MODELS = [
    Wrong("a base folder that isn't there", (*RUN, "model.name=./nowhere"), ("nowhere",), prepare=GOOD),
    Wrong(
        "a base that the hub would have to give",
        (*RUN, "model.name=some/base"),
        ("some/base",),
        code=1,
        prepare=GOOD,
    ),
    Wrong("a misspelt base", (*RUN, "model.name=minilmm"), ("minilmm", "minilm"), prepare=GOOD),
    Wrong(
        "damaged weights",
        RUN,
        ("model.safetensors",),
        prepare=lambda project: (GOOD(project), damaged_base(project)),
    ),
    Wrong(
        "a base without config",
        RUN,
        ("config.json",),
        prepare=lambda project: (GOOD(project), base_without_config(project)),
    ),
    Wrong(
        "a GPU that isn't there", (*RUN, "training.device=cuda"), ("training.device", "cuda"), prepare=GOOD
    ),
    Wrong(
        "a tracking server that doesn't answer",
        RUN,
        ("127.0.0.1:9",),
        code=1,
        prepare=GOOD,
        environment={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
    ),
]


@pytest.fixture
def project(tmp_path, cli, tiny_base, monkeypatch) -> Path:
    """A fresh project with a base model of its own that tests may damage."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "shop"
    assert cli("init", "shop", cwd=tmp_path).code == 0
    shutil.copytree(tiny_base, folder / "base")
    return folder


def snapshot(project: Path) -> dict[str, str]:
    """Digest what is the user's or already made: everything but what a run writes before it reads."""
    return {
        str(path.relative_to(project)): digest_file(path)
        for path in project.rglob("*")
        if path.is_file()
        and not path.relative_to(project).parts[0].startswith((".git", ".dvc", ".tunewright"))
    }


@pytest.mark.parametrize("wrong", USAGE + DATA + MODELS, ids=lambda wrong: wrong.name.replace(" ", "-"))
def test_wrong_use(wrong, project, cli, monkeypatch):
    for name, value in wrong.environment.items():
        monkeypatch.setenv(name, value)
    if wrong.prepare:
        wrong.prepare(project)
    before = snapshot(project)
    said = cli(*wrong.words, cwd=project)
    assert said.code == wrong.code, said.err
    assert all(part in said.complaint for part in wrong.says), said.complaint
    after = snapshot(project)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed <= {"params.json"}


def test_there_are_at_least_forty_wrong_uses():
    names = [wrong.name for wrong in USAGE + DATA + MODELS]
    assert len(names) == len(set(names))
    assert len(names) >= 40


def test_outside_a_project_the_line_says_how_to_make_one(tmp_path, cli):
    said = cli("run", cwd=tmp_path)
    assert said.code == 2
    assert "tunewright init" in said.complaint


def test_debug_lets_the_traceback_through(tmp_path, monkeypatch):
    from tunewright.cli.app import main
    from tunewright.support.errors import InputError

    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        main(["run", "--debug"])


def test_a_json_answer_is_one_line(project, cli):
    said = cli("config", "show", "--json", cwd=project)
    assert said.code == 0
    assert json.loads(said.out)["project"] == "shop"
