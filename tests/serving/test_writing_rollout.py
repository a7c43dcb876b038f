"""A new language model behind a server must write what it wrote when it was certified; an old one says that it ends."""

from __future__ import annotations

import asyncio
import time

import pytest

from language_subjects import make_subject
from tunewright.config.serving import ServingConfig
from tunewright.engines.interface import Sampling
from tunewright.serving import service
from tunewright.serving.faults import ServingError
from tunewright.serving.generation.question import as_language_model
from tunewright.serving.generation.reading import Reader
from tunewright.serving.generation.wanted import Wanted
from tunewright.serving.metrics import Metrics
from tunewright.serving.opening import Found
from tunewright.serving.rollout.certifying_language import certify_language
from tunewright.serving.rollout.question import never
from tunewright.serving.rollout.trial import found_model
from tunewright.support.errors import TunewrightError


def certified(copy, certificate, **settings) -> None:
    """Open a copy in a worker and replay a certificate through it."""

    async def run():
        found = Found(folder=copy, name="chat", version="2")
        model = found_model(found, ServingConfig(**settings), threads=1, metrics=Metrics())
        try:
            await model.keeper.open()
            await certify_language(model, certificate, seconds=60)
        finally:
            await model.keeper.end()
            model.close()

    asyncio.run(run())


@pytest.fixture(scope="module")
def recorded(talker, tmp_path_factory):
    path = tmp_path_factory.mktemp("certificate") / "certificate.json"
    path.write_text(talker.certificate.model_dump_json())
    return path


@pytest.mark.parametrize("form", ["openvino:fp32", "ctranslate2:fp32"])
def test_a_copy_that_writes_what_was_certified_passes(talking_copies, recorded, form):
    certified(talking_copies(form), recorded)


def test_another_models_copy_is_refused(talking_copies, shared, tmp_path):
    folder = shared / "models" / "tinystories-656k-fixed-tokenizer"
    other = make_subject(folder, tmp_path, adapter=0.3)
    (tmp_path / "other.json").write_text(other.certificate.model_dump_json())
    with pytest.raises(TunewrightError, match="log-probabilities differ"):
        certified(talking_copies("openvino:fp32"), tmp_path / "other.json")


def test_a_certificate_that_says_something_else_is_not_met(talking_copies, talker, tmp_path):
    probe = talker.certificate.probes[0]
    for name, changed, said in (
        (
            "likelihoods",
            {"log_probabilities": tuple(each - 1 for each in probe.log_probabilities)},
            "log-prob",
        ),
        ("prompt", {"prompt": f"{probe.prompt} "}, "rendered differently"),
        ("ids", {"token_ids": probe.token_ids[:-1]}, "token ids of probe 1 differ"),
    ):
        path = tmp_path / f"{name}.json"
        other = talker.certificate.model_copy(
            update={"probes": (probe.model_copy(update=changed), *talker.certificate.probes[1:])}
        )
        path.write_text(other.model_dump_json())
        with pytest.raises(TunewrightError, match=said):
            certified(talking_copies("openvino:fp32"), path)


def test_without_its_certificate_it_is_refused(talking_copies, tmp_path):
    (tmp_path / "damaged.json").write_text("{}")
    for path in (None, tmp_path / "nowhere.json", tmp_path / "damaged.json"):
        with pytest.raises(TunewrightError, match="certificate is missing or damaged"):
            certified(talking_copies("openvino:fp32"), path)


def test_a_stream_that_outlasts_its_version_is_told_so(touchy_writer, monkeypatch):
    monkeypatch.setattr(service, "STREAM_S", 0.2)
    for name, value in touchy_writer.environment(seconds=0.05).items():
        monkeypatch.setenv(name, value)

    async def read_until_it_ends() -> str:
        serving = service.Service(ServingConfig())
        found = Found(folder=touchy_writer.folder, name="chat", version="1")
        model = found_model(found, ServingConfig(), threads=1, metrics=serving.metrics)
        await serving.open(model)
        wanted = Wanted(("Once upon a time",), Sampling(max_new_tokens=150), streams=True)
        begun = await as_language_model(model).begin(
            wanted, caller="Ada", arrival=time.monotonic(), seconds=60, leaving=never
        )
        reader = Reader(begun.writings[0], model.side, (), strips=False)
        await reader.next()
        await serving.retire(model)
        with pytest.raises(ServingError, match="the version that wrote this answer was closed"):
            await asyncio.wait_for(reader.all(), 10)
        begun.close()
        return reader.text

    assert asyncio.run(read_until_it_ends())
