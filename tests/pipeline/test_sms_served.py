"""The SMS collection as a user takes it: trained, converted under proof, and served to the clients people have."""

from __future__ import annotations

import json
import subprocess

import pytest
import requests
from projects import tunewright

from running import start

pytestmark = pytest.mark.slow

SPAM = "WINNER!! You have won a 900 prize, call 09061701461 now to claim. Valid 12 hours only."
HAM = "Ok, see you at home later, I will bring the milk"


@pytest.fixture(scope="module")
def champion(sms, tmp_path_factory):
    """A project with a champion that was trained on the collection, and what `optimize` said of it."""
    folder = tmp_path_factory.mktemp("collection")
    for words in (
        ("init", "sms"),
        ("run", f"data.source={sms}", "training.epochs=1", "evaluation.bootstrap_samples=200"),
        ("optimize", "sms@champion", "--json", "--engine", "openvino:int8", "--engine", "openvino:fp32"),
    ):
        done = tunewright(folder if words[0] == "init" else folder / "sms", *words)
        assert done.returncode == 0, done.stderr
    return folder / "sms", json.loads(done.stdout.splitlines()[-1])


def test_a_copy_is_as_good_as_the_model_on_the_frozen_test_rows(champion):
    _, report = champion
    named = {f"{each['form']['engine']}:{each['form']['precision']}": each for each in report["tried"]}
    assert named["openvino:int8"]["refusals"] == []
    assert report["rows"] > 1000
    for each in named.values():
        assert each["judgement"]["agreement"] > 0.99
        assert each["judgement"]["accuracy"] > 0.98


def test_the_champion_answers_curl_openai_mlflow_and_is_traced(champion):
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    from openai import OpenAI

    folder, report = champion
    chosen = f"{report['chosen']['engine']}:{report['chosen']['precision']}"
    server = start("sms@champion", cwd=folder)
    try:
        curl = ["curl", "-sf", f"{server.url}/v1/classify", "-H", "content-type: application/json"]
        said = json.loads(subprocess.check_output([*curl, "-d", json.dumps({"input": [SPAM, HAM]})]))
        assert [each["label"] for each in said["data"]] == ["spam", "ham"]
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none")
        assert [card.engine for card in client.models.list().data] == [chosen]
        question = {"type": "choice", "choices": [{"value": "ham"}, {"value": "spam"}]}
        decided = client.decisions.create(model="sms@champion", input=SPAM, questions=[question])
        assert decided.answers[0].choice == "spam"
        scored = ScoringServerClient("127.0.0.1", int(server.url.rpartition(":")[2])).invoke([HAM, SPAM])
        assert list(scored.get_predictions()["label"]) == ["ham", "spam"]
        assert requests.get(f"{server.url}/ping", timeout=10).status_code == 200
    finally:
        assert server.end() == 0
    traced = json.loads(tunewright(folder, "trace", said["data"][0]["id"], "--json").stdout)
    assert traced["answer"]["label"] == "spam"
