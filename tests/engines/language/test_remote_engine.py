"""A language model behind an OpenAI-compatible server: a real process, started, watched and stopped by the engine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests

from tunewright.engines.copies import Manifest, seal
from tunewright.engines.generator import EngineLanguageModel
from tunewright.engines.interface import Form, Request, Sampling
from tunewright.engines.language_side import LanguageSide, copy_language_side
from tunewright.engines.runtimes.remote import RemoteEngine
from tunewright.engines.runtimes.remote.settings import RemoteSettings
from tunewright.registry.language_certificate import replay
from tunewright.support.errors import InputError, TunewrightError

SERVER = Path(__file__).with_name("completions_server.py")


def settings(*adapters: str, **more) -> RemoteSettings:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = (sys.executable, str(SERVER), "{folder}", str(port), *adapters)
    return RemoteSettings(url=f"http://127.0.0.1:{port}/v1", command=command, start_seconds=60, **more)


@pytest.fixture(scope="module")
def copy(tuned, tmp_path_factory):
    folder = tmp_path_factory.mktemp("remote")
    form = Form("remote", "server")
    RemoteEngine().convert(tuned.source, "server", folder, ())
    copy_language_side(tuned.source.folder, folder)
    seal(
        folder,
        Manifest(task="generation", form=form, model_digest="", language=tuned.facts, packages={}, files={}),
    )
    return folder


@pytest.fixture(scope="module")
def remote(copy, tuned):
    where = settings()
    model = EngineLanguageModel(
        LanguageSide.open(copy, tuned.facts), RemoteEngine(where).open_generator(copy, "server", 1, 4)
    )
    model.root = where.root
    yield model
    model.close()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{where.root}/health", timeout=1)


def test_the_certificate_replays_over_http(remote, tuned):
    assert replay(tuned.certificate, remote).max_difference < 1e-4
    answers = remote.answer(tuned.prompts, Sampling(max_new_tokens=32))
    for answer, probe in zip(answers, tuned.certificate.probes, strict=True):
        assert answer.ids == probe.written
        assert [each.logprob for each in answer.scores] == pytest.approx(probe.log_probabilities, abs=1e-3)


def test_a_seed_is_handed_on(remote, tuned):
    def draw(seed):
        sampling = Sampling(max_new_tokens=16, temperature=1.0, seed=seed, ignores_stops=True)
        return remote.answer([tuned.prompts[0], tuned.prompts[1]], sampling)[0].ids

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_a_request_that_is_dropped_ends_on_the_server_too(remote, tuned):
    generator = remote.generator
    generator.add(Request("long", tuned.prompts[0], Sampling(max_new_tokens=150, ignores_stops=True)))
    assert generator.step()
    generator.drop("long")
    end = time.monotonic() + 20
    while time.monotonic() < end:
        counts = requests.get(f"{remote.root}/counts", timeout=5).json()
        if counts["left"] and not counts["running"]:
            break
        time.sleep(0.05)
    assert counts["left"] == 1
    assert generator.step() == []


def test_a_busy_server_is_asked_again_but_never_for_tokens_that_came(remote, tuned):
    probe = tuned.certificate.probes[0]
    requests.post(f"{remote.root}/fail", json={"times": 2}, timeout=5)
    assert remote.write_ids([probe.token_ids], max_new_tokens=8, batch_size=1) == [list(probe.written[:8])]
    before = requests.get(f"{remote.root}/counts", timeout=5).json()["asked"]
    requests.post(f"{remote.root}/fail", json={"breaks_at": 3}, timeout=5)
    with pytest.raises(TunewrightError, match="ended before the answer did"):
        remote.write_ids([probe.token_ids], max_new_tokens=8, batch_size=1)
    requests.post(f"{remote.root}/fail", json={"breaks_at": None}, timeout=5)
    assert requests.get(f"{remote.root}/counts", timeout=5).json()["asked"] == before + 1


def test_a_server_that_ends_is_noticed(copy, tuned):
    where = settings()
    generator = RemoteEngine(where).open_generator(copy, "server", 1, 1)
    generator.add(Request("one", tuned.prompts[0], Sampling(max_new_tokens=150, ignores_stops=True)))
    generator.step()
    (server,) = [each for each in started_by(os.getpid()) if where.command[-1] in each.cmdline()[-1:]]
    server.kill()
    with pytest.raises(TunewrightError):
        step_often(generator)
    generator.close()


def started_by(pid):
    """Servers that are running, without those who mind them."""
    found = psutil.Process(pid).children(recursive=True)
    return [each for each in found if each.status() != psutil.STATUS_ZOMBIE and not each.children()]


def step_often(generator):
    for _ in range(1000):
        generator.step()


def test_a_server_that_does_not_come_up_is_told_with_its_last_words(tmp_path):
    from tunewright.engines.runtimes.remote.process import ServerProcess

    with pytest.raises(TunewrightError, match=r"has ended with status 1 \(no such model\)"):
        ServerProcess(settings(), tmp_path / "crash").wait()
    with pytest.raises(TunewrightError, match="can't be started"):
        ServerProcess(RemoteSettings(url="http://127.0.0.1:1/v1", command=("/no/such/program",)), tmp_path)
    with pytest.raises(TunewrightError, match="not ready after"):
        ServerProcess(RemoteSettings(url="http://127.0.0.1:1/v1", start_seconds=0.3), tmp_path).wait()


def test_a_server_is_never_taken_for_another_one_that_answers_at_its_address(remote, copy):
    taken = RemoteSettings(url=f"{remote.root}/v1", command=(sys.executable, str(SERVER), "{folder}", "0"))
    with pytest.raises(TunewrightError, match="another server answers there already"):
        RemoteEngine(taken).open_generator(copy, "server", 1, 1)


HOLDER = """
import sys, time
from pathlib import Path
from tunewright.engines.runtimes.remote.process import ServerProcess
from tunewright.engines.runtimes.remote.settings import RemoteSettings
url, folder, *command = sys.argv[1:]
ServerProcess(RemoteSettings(url=url, command=command, start_seconds=60), Path(folder)).wait()
print("ready", flush=True)
time.sleep(600)
"""


def test_a_server_ends_with_the_process_that_started_it_even_a_killed_one(copy):
    where = settings()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, where.url, str(copy), *where.command],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "ready\n"
    started = psutil.Process(holder.pid).children(recursive=True)
    assert len(started) == 2
    holder.kill()
    holder.wait()
    holder.stdout.close()
    _, alive = psutil.wait_procs(started, timeout=20)
    assert alive == []


def test_addresses_come_from_the_environment(monkeypatch):
    assert RemoteEngine().precisions("generation") == ()
    monkeypatch.setenv("TUNEWRIGHT_REMOTE_URL", "http://gpu:8000/v1/")
    monkeypatch.setenv("TUNEWRIGHT_REMOTE_COMMAND", "vllm serve '{folder}' --port 8000")
    assert RemoteEngine().precisions("generation") == ("server",)
    found = RemoteSettings.from_environment()
    assert (found.url, found.command[2]) == ("http://gpu:8000/v1", "{folder}")
    monkeypatch.setenv("TUNEWRIGHT_REMOTE_URL", "gpu:8000")
    with pytest.raises(InputError, match="no http or https address"):
        RemoteSettings.from_environment()


def test_an_adapter_is_asked_for_as_a_model(copy, tuned, subject, wide_stories):
    other = subject(wide_stories, adapter=0.05, seed=5)
    where = settings(f"refunds={other.source.folder}")
    generator = RemoteEngine(where).open_generator(copy, "server", 1, 4)
    probes = {"": tuned.certificate.probes[0], "refunds": other.certificate.probes[0]}
    assert probes[""].written != probes["refunds"].written
    written = {name: [] for name in probes}
    for name, probe in probes.items():
        generator.add(Request(name, probe.token_ids, Sampling(max_new_tokens=32), name))
    while any(len(written[name]) < len(probe.written) for name, probe in probes.items()):
        for chunk in generator.step():
            written[chunk.request_id] += chunk.token_ids
    assert {name: tuple(ids) for name, ids in written.items()} == {
        name: probe.written for name, probe in probes.items()
    }
    generator.add(Request("x", probes[""].token_ids, Sampling(), "nobody"))
    with pytest.raises(InputError, match="no such model"):
        step_often(generator)
    generator.close()
