"""What ``tunewright serve`` makes of what a person names."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest
import requests

from running import TEXTS
from tunewright.monitoring.feedback import FILE as FEEDBACK
from tunewright.monitoring.feedback import Feedback, give_feedback
from tunewright.monitoring.records import RequestRecord
from tunewright.monitoring.request_log import FOLDER as REQUESTS
from tunewright.monitoring.request_log import RequestLog
from tunewright.registry.storage import model_folder
from tunewright.serving.opening import Request, registered_copy
from tunewright.support.errors import TunewrightError


@pytest.fixture(scope="module")
def project(tmp_path_factory, classifier):
    """A project whose model has a champion without a converted copy."""
    from tunewright.config.compose import compose
    from tunewright.registry.certificate import record
    from tunewright.registry.executions import execution
    from tunewright.registry.models import log_classifier, register
    from tunewright.registry.tracking import connect
    from tunewright.registry.versions import promote
    from tunewright.support.environment import quieten_libraries
    from tunewright.support.paths import ProjectPaths

    quieten_libraries()
    root = tmp_path_factory.mktemp("project")
    (root / "configs").mkdir()
    (root / "configs" / "config.yaml").write_text(
        "defaults:\n  - data: default\n  - model: minilm\n  - training: full\n  - evaluation: default\n"
        "  - registry: local\n  - serving: default\n  - _self_\nproject: mail\n"
    )
    paths = ProjectPaths(root)
    tracking = connect(compose(configs=paths.configs), paths)
    with execution(tracking, "train", params={}, tags={}) as run:
        logged = log_classifier(run, classifier, certificate=record(classifier, TEXTS, bound=1e-3))
    promote(tracking, register(tracking, logged).reference)
    return root, tracking, logged


def test_a_registered_model_without_a_copy_is_served_by_the_reference_engine(project, start, classifier):
    root, _, _ = project
    running = start("mail@champion", "serving.max_texts=7", cwd=root)
    assert "has no copy yet" in running.said[0]
    answer = running.classify(TEXTS, model="mail@champion")
    assert (answer.headers["x-model"], answer.headers["x-model-version"]) == ("mail", "1")
    found = [each["probability"] for each in answer.json()["data"]]
    assert found == pytest.approx([each.probability for each in classifier.predict(TEXTS)], abs=1e-5)
    (card,) = running.get("/v1/models").json()["data"]
    assert (card["id"], card["version"], card["engine"]) == ("mail", "1", "transformers:fp32")
    assert running.classify(["x"] * 8).status_code == 400
    assert "libtorch" not in mapped(running.process.pid)
    assert "libtorch" in mapped(running.worker.pid)
    assert running.end() == 0


def test_a_version_is_served_by_the_copy_that_was_chosen_for_it(project, copies):
    from tunewright.config.compose import compose

    root, tracking, logged = project
    request = Request(reference="mail", recipe=compose(configs=root / "configs"), root=root)
    beside = model_folder(tracking, logged.uri) / "engines" / "openvino-fp32"
    shutil.copytree(copies("openvino:fp32"), beside)
    tracking.client.set_model_version_tag("mail", "1", "tunewright.engine", "openvino:fp32")
    found = registered_copy(request)
    assert (found.folder, found.identity.form) == (beside, "openvino:fp32")
    assert found.identity.words == ("mail", "mail/1", "mail@champion")
    shutil.rmtree(beside)
    with pytest.raises(TunewrightError, match="tunewright optimize mail/1"):
        registered_copy(request)


@pytest.mark.parametrize("is_right", [True, False])
def test_a_copy_from_another_kind_of_processor_is_proved_before_it_answers(
    project, copies, opposite, is_right, start, tmp_path
):
    """Kernels differ, and some are wrong; here another model's answers stand for them."""
    from tunewright.engines.conversion import classifier_source, convert
    from tunewright.engines.interface import Form
    from tunewright.engines.text_side import TextFacts

    root, tracking, logged = project
    copy = copies("openvino:fp32")
    if not is_right:
        source = classifier_source(opposite, tmp_path / "source")
        copy = convert(source, Form.parse("openvino:fp32"), tmp_path, text=TextFacts.of(opposite))
    beside = model_folder(tracking, logged.uri) / "engines" / "openvino-fp32"
    shutil.copytree(copy, beside)
    tags = {"engine": "openvino:fp32", "engine_processor": "Intel(R) Xeon(R) Processor 01234567"}
    try:
        for name, value in tags.items():
            tracking.client.set_model_version_tag("mail", "1", f"tunewright.{name}", value)
        running = start("mail/1", cwd=root, wait=is_right)
        if is_right:
            assert running.classify(TEXTS).status_code == 200
            assert running.end() == 0
        else:
            running.said = running.process.communicate(timeout=120)[1].splitlines()
            assert running.process.returncode == 1
    finally:
        shutil.rmtree(beside)
        for name in tags:
            tracking.client.delete_model_version_tag("mail", "1", f"tunewright.{name}")
    assert any("proved on another kind of processor" in line for line in running.said)
    if not is_right:
        assert "mail (openvino:fp32): logits differ by" in running.said[-1]
        assert "Traceback" not in "\n".join(running.said)


def test_an_answer_is_traced_to_the_version_that_gave_it(project, cli):
    root, _, logged = project
    answered(root, "pred_019aa0b1c2d30123456789abcdef-0", version=1)
    answered(root, "pred_019aa0b1c2d3fedcba9876543210-0", version=None)
    said = cli("trace", "pred_019aa0b1c2d30123456789abcdef", "--html", "answer.html", cwd=root)
    assert said.code == 0, said.err
    for part in ("order (0.750)", "mail/1", "champion", logged.run_id, "no data version", "no, a question"):
        assert part in said.out, said.out
    assert "pred_019aa0b1c2d30123456789abcdef-0" in (root / "answer.html").read_text()
    facts = json.loads(cli("trace", "pred_019aa0b1c2d3fedcba9876543210-0", "--json", cwd=root).out)
    assert facts["version"] is None
    assert "converted copy" in facts["notes"][0]
    unknown = cli("trace", "pred_019aa0b1c2d3000000000000ffff", cwd=root)
    assert unknown.code == 2
    assert "is not in the request log" in unknown.complaint


def answered(root: Path, prediction_id: str, version: int | None) -> None:
    """Keep an answer as the server does, and feedback on it."""
    log = RequestLog(root / ".tunewright" / REQUESTS)
    log.append(
        RequestRecord(
            time=1_795_000_000.0,
            prediction_id=prediction_id,
            request_id="job-1",
            route="/v1/classify",
            model="mail",
            version=version,
            key="ci",
            status=200,
            latency_s=0.01,
            text=TEXTS[0],
            label="order",
            confidence=0.75,
        )
    )
    assert log.close().written == 1
    said = Feedback(prediction_id=prediction_id, label="question", comment="no, a question")
    give_feedback(root / ".tunewright" / FEEDBACK, said)


def mapped(pid: int) -> str:
    """Return the files that a process has mapped: the libraries that it imported are among them."""
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def test_what_can_not_be_served_is_said_in_one_line(cli, copies, tmp_path):
    folder = copies("openvino:fp32")
    assert "is no copy's folder" in cli("serve", "nowhere", cwd=tmp_path).complaint
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = cli("serve", str(folder), "--port", str(taken.getsockname()[1]))
        assert said.code == 2
        assert "can't be used" in said.complaint
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    with (damaged / "model.bin").open("ab") as file:
        file.write(b"x")
    said = cli("serve", str(damaged), "--port", "0")
    assert said.code == 1
    assert "has changed since it was certified" in said.complaint
    assert "max_txts" in cli("serve", str(folder), "serving.max_txts=3").complaint


def test_the_address_is_loopback_unless_told(server):
    port = server.url.rsplit(":", 1)[1]
    host = socket.gethostbyname(socket.gethostname())
    if not host.startswith("127."):
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://{host}:{port}/health/live", timeout=5)
