"""A project with versions whose answers differ, and clients that check each answer against the version it names."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from running import Running

SENTENCE = (
    "where is my order please change the address broken return help number today question thanks late box"
)
WORDS = SENTENCE.split()
CONFIG = """defaults:
  - data: default
  - model: minilm
  - training: full
  - evaluation: default
  - registry: local
  - serving: default
  - _self_
project: mail
"""
FORM = "openvino:fp32"
CLOSE = 1e-3
"""Probabilities of the right version differ by less; a test makes sure that those of another differ by more."""


def sample_texts(count: int = 60) -> list[str]:
    chance = random.Random(5)
    return [" ".join(chance.choices(WORDS, k=chance.randint(1, 12))) for _ in range(count)]


@dataclass
class Versions:
    """A project whose model ``mail`` has versions 1 and 2, and version 3 that is version 2 on the late engine."""

    root: Path
    tracking: object
    expected: dict[str, dict[str, tuple[str, float]]]
    """Version to text to label and probability."""
    environment: dict[str, str]
    orders: Path

    def point(self, version: int, alias: str) -> None:
        self.tracking.client.set_registered_model_alias("mail", alias, str(version))

    @property
    def database(self) -> Path:
        return self.tracking.state / "mlflow.db"


def make_versions(root: Path, classifier, texts: list[str]) -> Versions:
    """Log three versions, each with its copy beside it; the second says the opposite of the first."""
    import torch

    from tunewright.config.compose import compose
    from tunewright.registry.executions import execution
    from tunewright.registry.tracking import connect
    from tunewright.support.environment import quieten_libraries
    from tunewright.support.paths import ProjectPaths

    quieten_libraries()
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "config.yaml").write_text(CONFIG)
    paths = ProjectPaths(root)
    tracking = connect(compose(configs=paths.configs), paths)
    opposite = copy.copy(classifier)
    opposite.model = copy.deepcopy(classifier.model)
    with torch.no_grad():
        opposite.model.classifier.weight.neg_()
    expected = {}
    with execution(tracking, "train", params={}, tags={}) as run:
        for number, (model, engine) in enumerate(
            [(classifier, "openvino"), (opposite, "openvino"), (opposite, "late")], start=1
        ):
            _log(tracking, run, model, engine, root)
            expected[str(number)] = {
                text: (found.label, found.probability)
                for text, found in zip(texts, model.predict(texts), strict=True)
            }
    orders = root / "orders"
    home = _stranger(root / "stranger")
    path = os.pathsep.join([str(home), *filter(None, [os.environ.get("PYTHONPATH")])])
    return Versions(root, tracking, expected, {"PYTHONPATH": path, "LATE_ORDERS": str(orders)}, orders)


def _log(tracking, run, classifier, engine: str, root: Path) -> None:
    from tunewright.engines.conversion import classifier_source, convert
    from tunewright.engines.copies import read_manifest, seal
    from tunewright.engines.interface import Form
    from tunewright.engines.text_side import TextFacts
    from tunewright.registry.certificate import record
    from tunewright.registry.models import log_classifier, register
    from tunewright.registry.storage import model_folder

    logged = log_classifier(run, classifier, certificate=record(classifier, sample_texts(12), bound=1e-3))
    version = register(tracking, logged)
    source = classifier_source(classifier, root / f"source-{version.version}")
    converted = convert(source, Form.parse(FORM), root / "cache", text=TextFacts.of(classifier))
    beside = model_folder(tracking, version.uri) / "engines" / f"{engine}-fp32"
    shutil.copytree(converted, beside)
    seal(beside, read_manifest(beside).model_copy(update={"form": Form(engine, "fp32")}))
    tracking.client.set_model_version_tag("mail", str(version.version), "tunewright.engine", f"{engine}:fp32")


def _stranger(home: Path) -> Path:
    """Install the late engine in a folder of its own."""
    facts = home / "late-1.0.dist-info"
    facts.mkdir(parents=True)
    shutil.copy2(Path(__file__).parent / "late_engine.py", home)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[tunewright.engines]\nlate = late_engine:LateEngine\n")
    return home


@dataclass
class Checked:
    """Clients that ask one text after the other; each answer is held against the version that its header names."""

    url: str
    versions: Versions
    by_version: Counter = field(default_factory=Counter)
    faults: list = field(default_factory=list)
    """Requests without an answer, or with a wrong one."""
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self, seed: int) -> None:
        chance, session = random.Random(seed), requests.Session()
        texts = list(self.versions.expected["1"])
        while not self.over.is_set():
            text = chance.choice(texts)
            try:
                answer = session.post(f"{self.url}/v1/classify", json={"input": text}, timeout=30)
            except requests.RequestException as error:
                self.faults.append(repr(error))
                continue
            self.check(text, answer)

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

    @contextlib.contextmanager
    def by(self, clients: int):
        with ThreadPoolExecutor(clients) as pool:
            asking = [pool.submit(self.ask, seed) for seed in range(clients)]
            try:
                yield self
            finally:
                self.over.set()
        for each in asking:
            each.result()


def state_of(server: Running) -> dict:
    return server.get("/v1/rollout").json()


def until(true, seconds: float = 40.0):
    """Wait for something to be true, and return it."""
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


def go_home(server: Running, versions: Versions) -> None:
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
