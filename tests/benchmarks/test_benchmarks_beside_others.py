"""The benchmarks that stand beside other libraries, run small: that they run, and that their figures add up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOKENS, PROMPT = 6, 8


def run(script: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_generation_reports_every_arm_under_its_roof(tmp_path):
    out = tmp_path / "figures.json"
    sizes = ("--layers", "1", "--width", "64", "--vocabulary", "300")
    lengths = ("--prompt-tokens", str(PROMPT), "--output-tokens", str(TOKENS), "--singles", "2")
    rest = ("--forms", "openvino:fp32", "--batches", "1", "4", "--rounds", "1", "--threads", "1")
    said = run("generation.py", *sizes, *lengths, *rest, "--keep", str(tmp_path), "--json", str(out))
    assert "| vLLM |  | not run: no GPU and no --vllm |" in said
    facts = json.loads(out.read_text())
    assert facts["hardware"]
    assert [arm["name"] for arm in facts["arms"]] == ["pipeline", "generate()", "openvino:fp32"]
    assert all(arm["same_tokens"] == 1 for arm in facts["arms"]), "the same model, greedily, in fp32"
    assert [(row["arm"], row["batch"]) for row in facts["rows"]] == [
        ("pipeline", 1),
        ("generate()", 1),
        ("generate()", 4),
        ("openvino:fp32", 1),
        ("openvino:fp32", 4),
    ]
    weights = 300 * 64 + 4 * 64**2 + 3 * 64 * (8 * 64 // 3)
    reading = 4 * weights / facts["machine"]["read_bandwidth"]["fp32"]
    for row in facts["rows"]:
        assert 0 < row["tokens_per_s"] < row["roof_tokens_per_s"]
        assert row["roof_tokens_per_s"] <= row["batch"] / reading, "a step reads all weights once"
        assert row["roof_share"] == pytest.approx(row["tokens_per_s"] / row["roof_tokens_per_s"])
    for outcome in facts["rounds"][0]:
        assert all(each["output_tokens"] == each["answers"] * TOKENS for each in outcome["timings"])


@pytest.mark.slow
def test_serving_measures_ours_and_mlflows(shared, tmp_path):
    out = tmp_path / "figures.json"
    sizes = ("--layers", "1", "--width", "64", "--form", "openvino:fp32")
    words = ("--quick", "--duration", "0.5", "--overload", "1.5", "--keep", str(tmp_path), "--json", str(out))
    said = run("serving.py", *sizes, *words)
    facts = json.loads(out.read_text())
    assert "| tunewright serve | openvino:fp32 |" in said
    assert list(facts["visits"]) == [
        "tunewright serve, openvino:fp32",
        "mlflow models serve, Transformers fp32",
    ]
    for sought, fixed in facts["visits"].values():
        assert sought["closed_per_s"] > 0
        assert any(holds for _, holds in sought["tried"]) == (sought["capacity"] is not None)
        assert 0 < sought["cold_start_s"] < 120
        assert 50 < sought["idle_mib"] < 4000
        assert [load["rate"] for load in fixed["fixed"]] == facts["rates"]
        assert fixed["fixed"][0]["cpu_s_per_1000"] > 0
    shipped, short = facts["overload"]
    assert shipped["words"] == []
    assert short["words"][0].startswith("serving.queue_s=")
    assert short["at_capacity"]["outcomes"]["ok"] > 0
    assert short["over"]["rate"] == pytest.approx(3 * short["at_capacity"]["rate"])
