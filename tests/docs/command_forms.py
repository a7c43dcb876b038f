"""Check a command without running it: does the program know the sub-command, the options, the overrides?

One function a program; a program that isn't in ``FORMS`` has no business in the documentation.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from importlib.metadata import metadata
from pathlib import Path

from doc_pages import ROOT

from tunewright.support.errors import TunewrightError

PLACEHOLDER = re.compile(r"[A-Z_]+=?[A-Z_]*")


def tunewright(words: list[str], configs: Path | None = None) -> None:
    """Walk to the sub-command, look up each option, and compose what looks like an override."""
    from typer.main import get_command

    from tunewright.cli.app import app
    from tunewright.config.compose import PACKAGED, compose
    from tunewright.pipeline.sweep_words import read_space

    command, path = get_command(app), "tunewright"
    while words and words[0] in getattr(command, "commands", {}):
        path += f" {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    assert words == [] or not hasattr(command, "commands") or words[0].startswith("-"), (
        f"`{path}` has no command '{words[0]}'"
    )
    takes_overrides = any(each.name == "overrides" for each in command.params)
    overrides = _plain_words(words, _options(command), path)
    if takes_overrides:
        told = [word for word in overrides if "=" in word and not PLACEHOLDER.fullmatch(word)]
        if path == "tunewright sweep" and told:
            read_space(told, configs or PACKAGED).check(configs or PACKAGED)
        else:
            compose(told, configs=configs)


def _options(command) -> dict[str, bool]:
    """Return each option of a command, and whether a value follows it."""
    known = {name: not each.is_flag for each in command.params for name in each.opts if name.startswith("-")}
    return {**known, "--help": False, "-h": False, "--debug": False}


def _plain_words(words: list[str], options: dict[str, bool], path: str) -> list[str]:
    plain, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            plain.append(word)
            continue
        name, equals, _ = word.partition("=")
        assert name in options, f"`{path}` has no option {name}"
        if options[name] and not equals:
            assert rest, f"{name} wants a value"
            rest.pop(0)
    return plain


def dvc(words: list[str]) -> None:
    from dvc.cli.parser import get_main_parser

    get_main_parser().parse_args(words)


def mlflow(words: list[str]) -> None:
    from mlflow.cli import cli

    command = cli
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    command.make_context("mlflow", list(words))


def dagster(words: list[str]) -> None:
    """Walk to the sub-command and parse its options; job and configuration must exist."""
    from dagster._cli import cli

    from tunewright.pipeline.dagster import definitions

    examples = ROOT / "src" / "tunewright" / "templates"
    words = [str(examples / word) if word.startswith("jobs/") else word for word in words]
    command = cli
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    job = command.make_context("dagster", list(words)).params.get("job_name")
    known = {each.name for each in definitions().get_repository_def().get_all_jobs()}
    assert job is None or job in known, f"no job {job}"


def make(words: list[str]) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        name, equals, _ = word.partition("=")
        assert (f"$({name})" in text) if equals else re.search(rf"^{name}:", text, re.MULTILINE), word


def python(words: list[str]) -> None:
    """Accept a script of ours with options that it has, or pytest."""
    if words[:2] == ["-m", "pytest"]:
        pytest(words[2:])
        return
    script, *rest = words
    assert (ROOT / script).is_file(), f"no script {script}"
    if script.startswith("tools/"):
        assert not rest
        return
    own = rest[: rest.index("--")] if "--" in rest else rest
    known = help_of(script)
    for option in (word for word in own if word.startswith("-")):
        assert re.search(rf"{option}\b", known), f"{script} has no option {option}"
    if "--" in rest:
        from tunewright.config.compose import compose

        compose(rest[rest.index("--") + 1 :])


@cache
def help_of(script: str) -> str:
    done = subprocess.run(
        [sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pytest(words: list[str]) -> None:
    for word in words:
        assert word in ("-q", "-m", "-k", "-x") or " " in word or (ROOT / word.split("::")[0]).exists(), word


def pip(words: list[str]) -> None:
    assert words[0] == "install"
    extras = metadata("tunewright").get_all("Provides-Extra")
    for word in words[1:]:
        found = re.fullmatch(r"tunewright(?:\[([a-z,]+)\])?", word)
        assert found, f"what is {word}?"
        assert set((found[1] or "offline").split(",")) <= set(extras), f"no such extra: {word}"


def git(words: list[str]) -> None:
    assert words == ["clone", "https://github.com/tunewright/tunewright"], words


def curl(words: list[str]) -> None:
    """Accept a request to our own server, at a path that it has."""
    from tunewright.serving.app import all_endpoints

    known = {each.path for each in all_endpoints()} | {"/openapi.json"}
    (address,) = [word for word in words if word.startswith("http://127.0.0.1:")]
    assert "/" + address.split("/", 3)[3] in known, f"the server has no path {address}"


def one_word(words: list[str]) -> None:
    """Accept `cd FOLDER` and `cat FILE`: names that the reader chooses."""
    assert len(words) == 1, words


def pre_commit(words: list[str]) -> None:
    assert words == ["install"]
    assert (ROOT / ".pre-commit-config.yaml").is_file()


FORMS = {
    "tunewright": tunewright,
    "dvc": dvc,
    "mlflow": mlflow,
    "dagster": dagster,
    "make": make,
    "python": python,
    "pytest": pytest,
    "pip": pip,
    "git": git,
    "curl": curl,
    "cd": one_word,
    "cat": one_word,
    "pre-commit": pre_commit,
}


def fault(words: tuple[str, ...], configs: Path | None = None) -> str:
    """Say what a command names that doesn't exist; nothing when it is well formed."""
    from click import UsageError
    from dvc.cli import DvcParserError

    program = Path(words[0]).name
    if program not in FORMS:
        return f"`{program}` is in no category: say in command_forms.py how it is checked"
    try:
        if program == "tunewright":
            tunewright(list(words[1:]), configs)
        else:
            FORMS[program](list(words[1:]))
    except (AssertionError, ValueError, TunewrightError, UsageError, DvcParserError) as error:
        return f"`{' '.join(words)}`: {error}"
    return ""
