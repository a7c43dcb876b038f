"""A project with versions whose answers differ, and clients that check each answer against the version it names."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import requests
from clients import Clients

if TYPE_CHECKING:
    from running import Running

SENTENCE = (
    "where is my order please change the address broken return help number today question thanks late box"
)
WORDS = SENTENCE.split()
SWAPS = int(os.environ.get("TUNEWRIGHT_SWAPS", "3"))
CONFIG = """defaults:
  - data: default
  - model: minilm
  - training: full
  - evaluation: default
  - registry: local
  - serving: default
  - _self_
project: {project}
"""
FORM = "openvino:fp32"
CLOSE = 1e-3
"""Probabilities of the right version differ by less; a test makes sure that those of another differ by more."""


def sample_texts(count: int = 60) -> list[str]:
    chance = random.Random(5)
    return [" ".join(chance.choices(WORDS, k=chance.randint(1, 12))) for _ in range(count)]


@dataclass
class Followed:
    """A project whose model has versions 1 and 2, and version 3 that is version 2 on the late engine."""

    root: Path
    tracking: object
    orders: Path
    """What it says the late engine does."""
    environment: dict[str, str]

    def point(self, version: int, alias: str) -> None:
        self.tracking.client.set_registered_model_alias(self.tracking.model_name, alias, str(version))

    @property
    def database(self) -> Path:
        return self.tracking.state / "mlflow.db"


@dataclass
class Versions(Followed):
    """One with the classifier ``mail``."""

    expected: dict[str, dict[str, tuple[str, float]]]
    """Version to text to label and probability."""


def open_followed(root: Path, project: str) -> Followed:
    """Make a project without versions, in which the late engine is installed."""
    from tunewright.config.compose import compose
    from tunewright.registry.tracking import connect
    from tunewright.support.environment import quieten_libraries
    from tunewright.support.paths import ProjectPaths

    quieten_libraries()
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "config.yaml").write_text(CONFIG.format(project=project))
    paths = ProjectPaths(root)
    orders = root / "orders"
    path = [str(_stranger(root / "stranger")), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(path), "LATE_ORDERS": str(orders)}
    return Followed(root, connect(compose(configs=paths.configs), paths), orders, environment)


def put_copy(tracking, version, converted: Path, engine: str) -> None:
    """Lay a copy beside a version, as one of that engine, and choose it."""
    from tunewright.engines.copies import read_manifest, seal
    from tunewright.engines.interface import Form
    from tunewright.registry.storage import model_folder

    beside = model_folder(tracking, version.uri) / "engines" / f"{engine}-fp32"
    shutil.copytree(converted, beside)
    seal(beside, read_manifest(beside).model_copy(update={"form": Form(engine, "fp32")}))
    tracking.client.set_model_version_tag(
        version.name, str(version.version), "tunewright.engine", f"{engine}:fp32"
    )


def make_versions(root: Path, classifier, texts: list[str]) -> Versions:
    """Log three versions, each with its copy beside it; the second says the opposite of the first."""
    import torch

    from tunewright.registry.executions import execution

    followed = open_followed(root, "mail")
    opposite = copy.copy(classifier)
    opposite.model = copy.deepcopy(classifier.model)
    with torch.no_grad():
        opposite.model.classifier.weight.neg_()
    expected = {}
    with execution(followed.tracking, "train", params={}, tags={}) as run:
        for number, (model, engine) in enumerate(
            [(classifier, "openvino"), (opposite, "openvino"), (opposite, "late")], start=1
        ):
            _log(followed.tracking, run, model, engine, root)
            expected[str(number)] = {
                text: (found.label, found.probability)
                for text, found in zip(texts, model.predict(texts), strict=True)
            }
    return Versions(**vars(followed), expected=expected)


def _log(tracking, run, classifier, engine: str, root: Path) -> None:
    from tunewright.engines.conversion import classifier_source, convert
    from tunewright.engines.interface import Form
    from tunewright.engines.text_side import TextFacts
    from tunewright.registry.certificate import record
    from tunewright.registry.models import log_classifier, register

    logged = log_classifier(run, classifier, certificate=record(classifier, sample_texts(12), bound=1e-3))
    version = register(tracking, logged)
    source = classifier_source(classifier, root / f"source-{version.version}")
    converted = convert(source, Form.parse(FORM), root / "cache", text=TextFacts.of(classifier))
    put_copy(tracking, version, converted, engine)


def _stranger(home: Path) -> Path:
    """Install the late engine in a folder of its own."""
    facts = home / "late-1.0.dist-info"
    facts.mkdir(parents=True)
    shutil.copy2(Path(__file__).parent / "late_engine.py", home)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[tunewright.engines]\nlate = late_engine:LateEngine\n")
    return home


@dataclass
class Checked(Clients):
    """Clients that ask one text after the other; each answer is held against the version that its header names."""

    versions: Versions
    by_version: Counter = field(default_factory=Counter)
    faults: list = field(default_factory=list)
    """Requests without an answer, or with a wrong one."""

    def ask(self, chance: random.Random, session: requests.Session) -> bool:
        text = chance.choice(list(self.versions.expected["1"]))
        try:
            answer = session.post(f"{self.url}/v1/classify", json={"input": text}, timeout=30)
        except requests.RequestException as error:
            self.faults.append(repr(error))
        else:
            self.check(text, answer)
        return True

    def check(self, text: str, answer: requests.Response) -> None:
        if answer.status_code != 200:
            self.faults.append((answer.status_code, answer.text))
            return
        version = answer.headers["x-model-version"]
        found = answer.json()
        label, probability = self.versions.expected[version][text]
        (each,) = found["data"]
        is_right = each["label"] == label and abs(each["probability"] - probability) < CLOSE
        if not is_right or found["model_version"] != version:
            self.faults.append((version, text, each))
        self.by_version[version] += 1


def state_of(server: Running) -> dict:
    return server.get("/v1/rollout").json()


def until(true, seconds: float = 240.0):
    """Wait for something to be true, and return it; on a busy machine opening a version takes minutes."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "in vain"
        time.sleep(0.05)
    return found


def serves(server: Running, version: int) -> bool:
    state = state_of(server)
    return state["current"]["version"] == str(version) and not state["candidate"]


def steer(server: Running, do: str, **options) -> requests.Response:
    return requests.post(f"{server.url}/v1/rollout", data=json.dumps({"do": do}), timeout=10, **options)


def go_home(server: Running, versions: Followed) -> None:
    """Bring version 1 back; nobody asks meanwhile, so a canary is promoted by hand."""
    versions.orders.unlink(missing_ok=True)
    versions.point(1, server.alias)
    moved = time.time()

    def is_home() -> bool:
        if (
            state_of(server)["registry_seen_at"] < moved + 1
        ):  # a version that was refused is forgiven when it is seen
            return False
        if (state_of(server)["candidate"] or {}).get("phase") == "rolling out":
            steer(server, "promote")
        return serves(server, 1)

    until(is_home)


class Following:
    """Servers that follow an alias each, so that they leave each other alone; all are ended well.

    Args:
        versions: What they serve.
        start: Starts a server.
        name: Of the model.
        environment: Further variables of theirs.
    """

    def __init__(self, versions: Followed, start, name: str, **environment: str) -> None:
        self._versions, self._start, self._name = versions, start, name
        self._environment = {**versions.environment, **environment}
        self._servers: list[Running] = []

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_) -> None:
        for server in self._servers:
            assert server.end() == 0, server.said

    def begin(self, alias: str, *words: str) -> Running:
        """Start a server of version 1."""
        self._versions.point(1, alias)
        server = self._start(
            f"{self._name}@{alias}",
            "serving.watch_s=0.3", "serving.rollout_step_s=0.5", "serving.drain_notice_s=0",
            *words, cwd=self._versions.root, environment=self._environment,
        )  # fmt: skip
        server.alias = alias
        self._servers.append(server)
        until(lambda: state_of(server)["registry_seen_at"])
        return server


def outcomes(server: Running, outcome: str) -> float:
    figures = server.figures().items()
    start, end = "tunewright_rollouts_total{", f'outcome="{outcome}"}}'
    return sum(value for name, value in figures if name.startswith(start) and name.endswith(end))


def workers(server: Running) -> dict[str, int]:
    """Process ids of the workers, by the engine whose copy they hold."""
    found = {}
    for child in psutil.Process(server.process.pid).children():
        with contextlib.suppress(psutil.Error):  # it has just ended
            words = child.cmdline()
            if "tunewright.serving.worker" in words:
                found[words[words.index("tunewright.serving.worker") + 2].rpartition("/")[2]] = child.pid
    return found
