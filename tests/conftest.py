"""Shared fixtures: real data and models beside the checkout, and what to do where they are absent."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("TUNEWRIGHT_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def require(condition: bool, reason: str) -> None:
    """Skip with a reason where something is absent; fail instead under TUNEWRIGHT_REQUIRE_ALL=1."""
    if condition:
        return
    if os.environ.get("TUNEWRIGHT_REQUIRE_ALL") == "1":
        pytest.fail(f"required here: {reason}")
    pytest.skip(reason)


LONGEST = (
    "test_stack.py", "test_sweep.py", "test_language_run.py", "test_commands.py", "test_kill_anywhere.py",
    "test_kills_and_damage.py", "test_hot_swap.py", "test_shared_worker.py", "test_writing_swap.py",
    "test_sms_served.py", "test_benchmarks_beside_others.py", "test_wrong_uses.py", "test_project_templates.py",
    "test_data_versions.py", "test_run.py", "test_bench_serve.py", "test_moved_project.py",
    "test_preferences.py", "test_copies.py", "test_lifecycle.py", "test_loop.py", "test_trace.py",
    "test_optimize.py", "test_real_sources.py", "test_notebook_kernel.py", "test_models.py", "test_dagster.py",
    "test_readers_damage.py", "test_executions.py",
    "test_training.py", "test_killed.py", "test_resume.py", "test_sft.py", "test_sweep_words.py",
    "test_opening.py", "test_notebooks.py", "test_classifier.py", "test_launching.py",
    "test_server_live.py", "test_architectures.py", "test_notebook_steps.py",
    "test_forecast.py", "test_language_judging.py", "test_memory_forecast.py",
    "test_processes_agree.py", "test_validation_from_ingest.py", "test_grpo.py", "test_language_models.py",
    "test_language_engines.py", "test_study.py", "test_versions.py", "test_tokenizer_checks.py",
)  # fmt: skip
"""Files that take minutes: they come first, so that two workers, each with whole files, end together."""

SOAK = (
    "test_sweep.py", "test_stack.py", "test_hot_swap.py", "test_language_run.py",
    "test_kills_and_damage.py", "test_kill_anywhere.py", "test_benchmarks_beside_others.py",
    "test_shared_worker.py", "test_writing_swap.py", "test_project_templates.py", "test_data_versions.py",
    "test_loop.py", "test_resume.py", "test_preferences.py", "test_moved_project.py", "test_launching.py",
    "test_processes_agree.py", "test_killed.py", "test_labelling_loop.py", "test_real_sources.py",
    "test_notebooks.py", "test_notebook_kernel.py", "test_sms_served.py",
)  # fmt: skip
"""Files that kill, fill and repeat, or go a whole way of which quicker ones show the parts; the longest first. They
hold more than half of all time, so that ``TUNEWRIGHT_SOAK=turn`` takes a quarter, another one for each commit."""
TURNS = 4


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first, and leave out those whose turn it isn't; the order within a file stays."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))
    if os.environ.get("TUNEWRIGHT_SOAK", "all") != "turn":
        return
    count = ["git", "rev-list", "--count", "HEAD"]
    commits = subprocess.run(count, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    others = {name for place, name in enumerate(SOAK) if (place + int(commits.stdout)) % TURNS}
    config.hook.pytest_deselected(items=[item for item in items if item.path.name in others])
    items[:] = [item for item in items if item.path.name not in others]


@pytest.fixture(scope="session", autouse=True)
def author():
    """Commits have an author on every machine; tests of a repository without one take it away."""
    with pytest.MonkeyPatch.context() as patch:
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Ada")
            patch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")
        yield


@pytest.fixture(scope="module", autouse=True)
def environment():
    """A project that a file opens in this process leaves no address or password to the next file."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(name="require", scope="session")
def require_fixture():
    """``require`` for tests, which can't import it from here."""
    return require


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data sets and small real models."""
    require(SHARED.is_dir(), f"no shared data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def sms(shared: Path) -> Path:
    """The SMS Spam Collection: 5,574 lines, label TAB text, no header."""
    return shared / "data" / "sms_spam" / "SMSSpamCollection"


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that says what went wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, f"expected one error line:\n{self.err}"
        assert "Traceback" not in self.err
        return lines[0]

    @property
    def facts(self):
        """The JSON line that the output ends with."""
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture
def cli(capsys, monkeypatch):
    """Run the command line in this process: ``cli("run", "--json", cwd=project)``."""
    from tunewright.cli.app import main

    def call(*words: str, cwd: Path | None = None) -> Said:
        if cwd:
            monkeypatch.chdir(cwd)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return Said(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    """A folder with a real but tiny BERT, random weights, and a tokenizer learned from the bundled messages."""
    from importlib import resources

    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast, set_seed

    folder = tmp_path_factory.mktemp("base") / "tiny-bert"
    text = (resources.files("tunewright") / "demo" / "messages.csv").read_text(encoding="utf-8")
    learned = BertWordPieceTokenizer(lowercase=True)
    learned.train_from_iterator(text.splitlines(), vocab_size=2000, min_frequency=1, show_progress=False)
    tokenizer = BertTokenizerFast(tokenizer_object=learned._tokenizer, model_max_length=128)
    set_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def messages() -> str:
    """The bundled customer messages, as CSV text."""
    from importlib import resources

    return (resources.files("tunewright") / "demo" / "messages.csv").read_text(encoding="utf-8")


@pytest.fixture
def small_disk(tmp_path, require):
    """A real file system of half a megabyte."""
    require(sys.platform == "linux" and os.geteuid() == 0, "mounting a small disk needs root on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    require(made.returncode == 0, f"no tmpfs can be mounted here: {made.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def fill_up():
    """Write a file until the disk is full."""

    def fill(ballast: Path) -> None:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as stream:
            while stream.write(bytes(4096)):
                pass

    return fill
