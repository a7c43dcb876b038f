"""A tiny classifier, its copies, and real servers around them."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from guarded import project_with_config
from swapping import go_home

from language_subjects import make_subject
from running import LABELS, TEXTS, Paired, Running, Touchy, start


@pytest.fixture(scope="session")
def classifier(tiny_base):
    """A BERT with two layers, weights large enough that its answers differ."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

    from tunewright.config.data import Cleaning
    from tunewright.models.classifier import Classifier

    set_seed(3)
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_base, num_labels=len(LABELS), id2label=dict(enumerate(LABELS)), attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        model.classifier.weight.normal_(0, 2)
        model.bert.embeddings.word_embeddings.weight.normal_(0, 1)
    return Classifier(AutoTokenizer.from_pretrained(tiny_base), model, LABELS, 64, Cleaning().model_dump())


@pytest.fixture(scope="session")
def copies(classifier, tmp_path_factory):
    """Folders of its copies: the reference, and OpenVINO's."""
    from tunewright.engines.conversion import classifier_source, convert
    from tunewright.engines.interface import Form
    from tunewright.engines.text_side import TextFacts

    folder = tmp_path_factory.mktemp("copies")
    source = classifier_source(classifier, folder / "source")

    def copy(form: str) -> Path:
        return convert(
            source,
            Form.parse(form),
            folder / "cache",
            calibration=classifier.encode(TEXTS * 4),
            text=TextFacts.of(classifier),
        )

    return copy


@pytest.fixture(scope="session")
def touchy(copies, tmp_path_factory):
    """The copy of an engine that a stranger's package brings, and what a server needs to find that package."""
    return touchy_copy(copies("openvino:fp32"), tmp_path_factory.mktemp("stranger"))


def touchy_copy(copy: Path, home: Path) -> Touchy:
    """Make a copy one of the stranger's engine."""
    shutil.copy2(Path(__file__).parent / "touchy_engine.py", home)
    facts = home / "touchy-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: touchy\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[tunewright.engines]\ntouchy = touchy_engine:TouchyEngine\n")
    folder = home / "copy"
    shutil.copytree(copy, folder)
    facts_of_copy = json.loads((folder / "engine.json").read_text())
    facts_of_copy["form"] = {"engine": "touchy", "precision": "fp32"}
    (folder / "engine.json").write_text(json.dumps(facts_of_copy))
    return Touchy(folder, os.pathsep.join([str(home), *filter(None, [os.environ.get("PYTHONPATH")])]))


@pytest.fixture(scope="session")
def talker(shared, tmp_path_factory):
    """A small language model that was trained, with a chat template."""
    folder = shared / "models" / "tinystories-656k-fixed-tokenizer"
    return make_subject(folder, tmp_path_factory.mktemp("talker"))


@pytest.fixture(scope="session")
def talking_copies(talker, tmp_path_factory):
    """Folders of its copies."""
    from tunewright.engines.conversion import convert
    from tunewright.engines.interface import Form

    cache = tmp_path_factory.mktemp("talking")
    return lambda form: convert(talker.source, Form.parse(form), cache, language=talker.facts)


@pytest.fixture(scope="session")
def touchy_writer(talking_copies, tmp_path_factory):
    """A language model's copy of the stranger's engine."""
    return touchy_copy(talking_copies("openvino:fp32"), tmp_path_factory.mktemp("writer"))


@pytest.fixture(scope="session")
def talking(start, talking_copies, tmp_path_factory) -> Running:
    """A server of a language model, in a project, that the tests share which don't harm it."""
    root = project_with_config(tmp_path_factory.mktemp("chat"))
    words = (
        "serving.drain_notice_s=0.1",
        "monitoring.request_log.texts=keep",
        "monitoring.request_log.flush_s=0.2",
    )
    return start(talking_copies("openvino:fp32"), *words, cwd=root)


@pytest.fixture(scope="session", name="start")
def start_fixture():
    """``start`` for tests; every server is ended."""
    started: list[Running] = []

    def call(*words, **options) -> Running:
        started.append(start(*words, **options))
        return started[-1]

    yield call
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


@pytest.fixture(scope="session")
def server(start, copies, tmp_path_factory) -> Running:
    """One server, in a project, that the tests share which don't harm it."""
    root = project_with_config(tmp_path_factory.mktemp("project"))
    return start(copies("openvino:fp32"), "serving.drain_notice_s=0.1", cwd=root)


@pytest.fixture(scope="session")
def opposite(classifier):
    """A classifier that says the opposite."""
    import torch

    found = copy.copy(classifier)
    found.model = copy.deepcopy(classifier.model)
    with torch.no_grad():
        found.model.classifier.weight.neg_()
    return found


@pytest.fixture(scope="session")
def paired(start, copies, opposite, tmp_path_factory) -> Paired:
    """One server, in a project, with the classifier and beside it the one that says the opposite."""
    from tunewright.engines.conversion import classifier_source, convert
    from tunewright.engines.interface import Form
    from tunewright.engines.text_side import TextFacts

    folder = tmp_path_factory.mktemp("pair")
    source = classifier_source(opposite, folder / "source")
    made = convert(source, Form("openvino", "fp32"), folder / "cache", text=TextFacts.of(opposite))
    shutil.copytree(copies("openvino:fp32"), folder / "mail")
    shutil.copytree(made, folder / "opposite")
    root = project_with_config(tmp_path_factory.mktemp("paired"))
    words = ["--beside", str(folder / "opposite"), "serving.drain_notice_s=0.1"]
    return Paired(start(folder / "mail", *words, cwd=root), root, folder)


@pytest.fixture
def slow_server(tmp_path):
    """The address of ``slow_server.py``, and its process."""
    port_file = tmp_path / "port"
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("slow_server.py")), str(port_file)]
    )
    end = time.monotonic() + 60
    while not (port_file.exists() and port_file.read_text()):
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < end
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port_file.read_text()}", process
    process.kill()
    process.wait()


@pytest.fixture
def at_once(swapping_server, versions):
    """A server of version 1 that takes new versions at once; a file says which server and which versions."""
    go_home(swapping_server, versions)
    return swapping_server


@pytest.fixture
def canary(canary_server, versions):
    """A server of version 1 that lets new versions grow; a file says which server and which versions."""
    go_home(canary_server, versions)
    return canary_server
