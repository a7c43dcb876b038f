"""What is logged opens with plain MLflow; what fails is not logged; what isn't READY isn't registered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tunewright.registry.certificate import record, replay
from tunewright.registry.executions import execution
from tunewright.registry.models import load, load_certificate, log_classifier, register
from tunewright.support.errors import InputError, TunewrightError

PLAIN = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tunewright":
            raise ImportError("tunewright must not be imported")

sys.meta_path.insert(0, Refuse())
import json
import mlflow
import pandas as pd

uris, texts = json.loads(sys.argv[1])
answers = {}
for uri in uris:
    model = mlflow.pyfunc.load_model(uri)
    listed = model.predict(texts)
    framed = model.predict(pd.DataFrame({"text": texts}))
    named = model.predict(pd.DataFrame({"message": texts}))
    full = model.predict(texts, params={"probabilities": True})
    assert listed.equals(framed) and listed.equals(named), (listed, framed)
    assert len(model.predict([texts[0]])) == 1
    answers[uri] = {
        "columns": list(full.columns),
        "label": list(listed["label"]),
        "probability": list(listed["probability"]),
        "logits": model.unwrap_python_model().logits(texts).tolist(),
    }
assert not any(name.split(".")[0] == "tunewright" for name in sys.modules)
print(json.dumps(answers))
"""


def plain_mlflow(tracking, uris: list[str], texts: list[str]):
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, json.dumps([uris, texts])],
        env={**os.environ, "MLFLOW_TRACKING_URI": tracking.uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_plain_mlflow_gives_the_same_logits_without_tunewright(tracking, log, texts):
    base, base_classifier = log(tracking, 0, role="base")
    adapter, tuned_classifier = log(tracking, 0, base=base, adapter=True)
    classifiers = {
        f"models:/{version.name}/{version.version}": classifier
        for logged, classifier in ((base, base_classifier), (adapter, tuned_classifier))
        for version in [register(tracking, logged)]
    }
    answers = plain_mlflow(tracking, list(classifiers), texts)
    for uri, classifier in classifiers.items():
        answer = answers[uri]
        assert np.allclose(answer["logits"], classifier.logits(texts), rtol=0, atol=1e-6)
        expected = classifier.predict(texts)
        assert answer["label"] == [item.label for item in expected]
        assert answer["probability"] == pytest.approx([item.probability for item in expected], abs=1e-6)
        assert answer["columns"] == ["label", "probability", "probability_ham", "probability_spam"]


def test_a_loaded_classifier_replays_its_certificate(tracking, log, texts):
    base, _ = log(tracking, 0, role="base")
    logged, classifier = log(tracking, 0, base=base, adapter=True)
    version = register(tracking, logged)
    loaded = load(tracking, version.reference)
    assert np.array_equal(loaded.logits(texts), classifier.logits(texts))
    certificate = load_certificate(tracking, version.reference)
    assert certificate.digest == logged.certificate == version.facts["certificate"]
    assert replay(certificate, loaded).max_difference == 0
    assert load(tracking, logged.uri).digest() == classifier.digest()


def test_the_adapter_holds_no_base_weights(tracking, log):
    base, _ = log(tracking, 0, role="base")
    logged, _ = log(tracking, 0, base=base, adapter=True)
    folder = Path(tracking.client.get_logged_model(logged.model_id).artifact_location.removeprefix("file://"))
    names = {item.name for item in folder.rglob("*.safetensors")}
    assert names == {"adapter_model.safetensors"}
    assert logged.base_uri == base.uri
    assert logged.base_digest == base.digest


def test_an_adapter_on_a_changed_base_is_refused(tracking, log, make_classifier):
    import mlflow

    base, _ = log(tracking, 0, role="base")
    logged, _ = log(tracking, 0, base=base, adapter=True)
    folder = Path(tracking.client.get_logged_model(base.model_id).artifact_location.removeprefix("file://"))
    other = make_classifier(5)
    other.save(folder / "artifacts" / "classifier")
    with pytest.raises(InputError, match="the adapter was trained on"):
        load(tracking, logged.uri)
    with pytest.raises(ValueError, match="the base weights have digest"):
        mlflow.pyfunc.load_model(logged.uri)


def test_an_adapter_without_its_base_is_refused(tracking, log):
    with pytest.raises(InputError, match="an adapter needs its base"):
        log(tracking, 0, adapter=True)


def test_a_model_that_fails_its_certificate_leaves_nothing_behind(tracking, make_classifier, texts):
    right, wrong = make_classifier(0), make_classifier(1)
    certificate = record(right, texts, bound=1e-4)
    with (
        pytest.raises(TunewrightError, match="logits differ"),
        execution(tracking, "train") as run,
    ):
        log_classifier(run, wrong, certificate=certificate)
    assert tracking.client.search_logged_models([tracking.experiment_id]) == []
    assert not list((tracking.state / "artifacts").rglob("*.safetensors"))


def test_an_upload_that_fails_leaves_nothing_behind(tracking, make_classifier, monkeypatch, texts):
    classifier = make_classifier(0)
    certificate = record(classifier, texts, bound=1e-4)

    def full_disk(model_id, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tracking.client, "log_model_artifacts", full_disk)
    with (
        pytest.raises(TunewrightError, match="No space left"),
        execution(tracking, "train") as run,
    ):
        log_classifier(run, classifier, certificate=certificate)
    assert tracking.client.search_logged_models([tracking.experiment_id]) == []


def test_only_a_ready_model_becomes_a_version(tracking, log):
    logged, _ = log(tracking, 0)
    pending = tracking.client.create_logged_model(tracking.experiment_id, name="half")
    with pytest.raises(TunewrightError, match="not READY"):
        register(tracking, logged.model_copy(update={"uri": f"models:/{pending.model_id}"}))
    version = register(tracking, logged, facts={"data_digest": "d" * 64, "metrics": {"accuracy": 0.9}})
    assert version.version == 1
    assert version.uri == logged.uri
    assert version.facts["data_digest"] == "d" * 64
    assert json.loads(version.facts["metrics"]) == {"accuracy": 0.9}


def test_a_served_model_takes_the_usual_scoring_requests(tracking, log, texts):
    import mlflow
    from mlflow.pyfunc.scoring_server import init as scoring_app
    from starlette.testclient import TestClient

    logged, classifier = log(tracking, 0)
    client = TestClient(scoring_app(mlflow.pyfunc.load_model(logged.uri)))
    expected = [item.label for item in classifier.predict(texts)]
    bodies = [
        {"inputs": texts},
        {"dataframe_split": {"columns": ["text"], "data": [[text] for text in texts]}},
        {"dataframe_records": [{"text": text} for text in texts]},
        {"inputs": texts, "params": {"probabilities": True}},
    ]
    for body in bodies:
        answer = client.post("/invocations", json=body)
        assert answer.status_code == 200, answer.text
        assert [row["label"] for row in answer.json()["predictions"]] == expected


def test_the_record_says_what_is_needed_to_run_it(tracking, log, texts):
    import mlflow

    logged, _ = log(tracking, 0)
    info = mlflow.models.get_model_info(logged.uri)
    assert info.signature.inputs is not None
    assert info.run_id == logged.run_id
    assert info.model_id == logged.model_id
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=logged.uri))
    requirements = (folder / "requirements.txt").read_text().splitlines()
    assert all("==" in line and "+" not in line for line in requirements)
    assert not any("tunewright" in line for line in requirements)
    model = mlflow.pyfunc.load_model(logged.uri)
    assert list(model.input_example) == texts[:2] or texts[0] in str(model.input_example)
    assert model.model_config["label_names"] == ["ham", "spam"]
