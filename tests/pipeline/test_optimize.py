"""`tunewright optimize` as a user runs it: real children, real copies, the winner beside its version in MLflow."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from projects import tunewright

from running import start

pytestmark = pytest.mark.slow

STRANGER = '''
import os


class Crashing:
    """An engine of somebody else's, whose library crashes when a copy is opened."""

    name, packages, extra = "crashing", (), ""

    def precisions(self, task):
        return ("fp32",)

    def stored_as(self, precision):
        return precision

    def refusal(self, source, precision):
        return ""

    def convert(self, source, precision, folder, calibration):
        import shutil

        shutil.copytree(source.folder, folder, dirs_exist_ok=True)

    def open_scorer(self, folder, precision, threads):
        os.abort()

    def open_generator(self, folder, precision, threads, slots):
        os.abort()
'''


@pytest.fixture(scope="module")
def optimized(ran, tmp_path_factory):
    """A copy of a project that has run, and what `optimize` said there; a stranger's engine is installed, too."""
    folder = tmp_path_factory.mktemp("optimized") / "shop"
    shutil.copytree(ran.folder, folder, symlinks=True)
    packages = tmp_path_factory.mktemp("packages")
    (packages / "crashing_engine.py").write_text(STRANGER)
    facts = packages / "crashing_engine-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: crashing-engine\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[tunewright.engines]\ncrashing = crashing_engine:Crashing\n")
    words = ["optimize", "shop/2", "--json", "--max-accuracy-loss", "0.1", "--threads", "1"]
    for form in ("openvino:fp32", "ctranslate2:int8", "crashing:fp32"):
        words += ["--engine", form]
    done = tunewright(folder, *words, PYTHONPATH=str(packages))
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


def named(report: dict) -> dict[str, dict]:
    """The forms by name."""
    return {f"{one['form']['engine']}:{one['form']['precision']}": one for one in report["tried"]}


def test_what_passes_is_as_good_and_the_fastest_of_it_is_chosen(optimized):
    _, report = optimized
    tried = named(report)
    usable = {name: one["measured"]["texts_per_second"] for name, one in tried.items() if not one["refusals"]}

    assert set(usable) == {"transformers:fp32", "openvino:fp32"}
    assert tried["openvino:fp32"]["judgement"]["agreement"] == 1.0
    assert f"{report['chosen']['engine']}:{report['chosen']['precision']}" == max(usable, key=usable.get)


def test_an_engine_that_cannot_do_it_or_crashes_costs_nobody_else_anything(optimized):
    tried = named(optimized[1])

    assert "can't read bert encoders" in tried["ctranslate2:int8"]["refusals"][0]
    assert "SIGABRT" in tried["crashing:fp32"]["refusals"][0]


def test_the_winner_lies_with_its_version_and_opens_without_torch(optimized):
    from tunewright.engines.registering import attached, is_proved_here
    from tunewright.pipeline.project import Project
    from tunewright.registry.tracking import connect

    folder, report = optimized
    project = Project.open(folder)
    version, copy = attached(connect(project.last_recipe(), project.paths), "shop/2")

    assert version.reference == report["model"]
    assert version.facts["engine"] == "openvino:fp32" or report["chosen"]["engine"] == "transformers"
    assert "texts a second" in version.facts["engine_verdict"]
    assert is_proved_here(version)
    script = (
        "import sys; from pathlib import Path; from tunewright.engines.copies import open_classifier;"
        f"print(open_classifier(Path({str(copy)!r}), threads=1).classify(['where is my parcel?'])[0].label,"
        " 'torch' in sys.modules)"
    )
    said = run_python(folder, script).split()
    assert said[0] == project.predict(["where is my parcel?"], model="shop/2")[0].label
    assert said[1] == str(report["chosen"]["engine"] == "transformers")


def run_python(folder: Path, script: str) -> str:
    import subprocess
    import sys

    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


def test_the_figures_are_in_mlflow_with_machine_and_versions(optimized):
    import mlflow

    folder, _ = optimized
    client = mlflow.MlflowClient(f"sqlite:///{folder / '.tunewright' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("shop")
    found = client.search_runs(
        [experiment.experiment_id],
        "tags.`tunewright.step` = 'optimize' AND tags.`tunewright.kind` = 'execution'",
    )
    run = found[0]

    assert run.info.status == "FINISHED"
    assert run.data.metrics["texts_per_second/openvino-fp32"] > 0
    assert run.data.metrics["latency_ms/transformers-fp32"] > 0
    assert run.data.metrics["passes/ctranslate2-int8"] == 0
    for name in ("machine.processor", "packages.openvino", "prompt_tokens", "output_tokens", "threads"):
        assert run.data.params[name]
    assert {"report/report.html", "report/frontier.svg"} <= {
        each.path for each in client.list_artifacts(run.info.run_id, "report")
    }


def test_the_report_shows_every_form(optimized):
    page = (optimized[0] / "reports" / "optimize" / "report.html").read_text()

    for word in ("openvino:fp32", "ctranslate2:int8", "SIGABRT", "<svg", "answers kept"):
        assert word in page


def test_an_unknown_engine_is_bad_usage(optimized):
    done = tunewright(optimized[0], "optimize", "shop/2", "--engine", "openvno:int8")

    assert done.returncode == 2
    assert "did you mean 'openvino'?" in done.stderr


def test_the_champion_is_served_as_it_was_chosen_to_curl_openai_and_mlflow(optimized):
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    from openai import OpenAI

    from tunewright.pipeline.project import Project

    folder, report = optimized
    texts = ["where is my parcel?", "the box came broken", "can I change the address?"]
    project = Project.open(folder)
    wanted = [each.label for each in project.predict(texts, model="shop/2")]
    server = start("shop/2", cwd=folder)
    try:
        curl = ["curl", "-sf", f"{server.url}/v1/classify", "-H", "content-type: application/json"]
        said = json.loads(subprocess.check_output([*curl, "-d", json.dumps({"input": texts})]))
        assert [each["label"] for each in said["data"]] == wanted
        assert (said["model"], said["model_version"]) == ("shop", "2")
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none")
        (card,) = client.models.list().data
        assert card.engine == f"{report['chosen']['engine']}:{report['chosen']['precision']}"
        labels = [{"value": name} for name in project.dataset().label_names]
        decided = client.decisions.create(
            model="shop", input=texts[0], questions=[{"type": "choice", "choices": labels}]
        )
        assert decided.answers[0].choice == wanted[0]
        scored = ScoringServerClient("127.0.0.1", int(server.url.rpartition(":")[2])).invoke(texts)
        assert list(scored.get_predictions()["label"]) == wanted
    finally:
        assert server.end() == 0
    traced = tunewright(folder, "trace", said["data"][0]["id"], "--json")
    assert json.loads(traced.stdout)["answer"]["label"] == wanted[0], traced.stderr
