"""Everything works the same through a tracking server that proxies the artefacts."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tracking_servers import TrackingServer
from tunewright.registry.certificate import replay
from tunewright.registry.models import load, load_certificate, register
from tunewright.registry.purge import purge
from tunewright.registry.references import resolve
from tunewright.registry.versions import delete, list_versions, promote, rollback

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory, empty_store):
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store, folder / "mlflow.db")
    server = TrackingServer(folder / "mlflow.db", folder / "artifacts")
    try:
        server.start()
        yield server.uri, folder
    finally:
        server.end()


def test_the_life_of_a_model_over_http(open_project, log, texts, address):
    import mlflow

    uri, folder = address
    tracking = open_project("remote", tracking_uri=uri).tracking
    assert not tracking.is_local
    base, _ = log(tracking, 0, role="base")
    adapter, classifier = log(tracking, 0, base=base, adapter=True)
    other, _ = log(tracking, 1)
    versions = [register(tracking, logged) for logged in (base, adapter, other)]
    assert [version.uri for version in versions] == [base.uri, adapter.uri, other.uri]
    promote(tracking, "spam/3")
    promote(tracking, "spam/2")
    assert resolve(tracking).uri == adapter.uri
    loaded = load(tracking, "spam@champion")
    assert np.allclose(loaded.logits(texts), classifier.logits(texts), atol=1e-6)
    assert replay(load_certificate(tracking), loaded).probes == len(texts)
    plain = mlflow.pyfunc.load_model("models:/spam@champion")
    assert list(plain.predict(texts)["label"]) == [item.label for item in classifier.predict(texts)]
    assert rollback(tracking).version == 3
    assert [(item["version"], item["aliases"]) for item in list_versions(tracking)] == [
        (3, ["champion"]),
        (2, []),
        (1, []),
    ]
    delete(tracking, "spam/2")
    before = sum(item.stat().st_size for item in folder.rglob("*") if item.is_file())
    purged = purge(tracking)
    after = sum(item.stat().st_size for item in folder.rglob("*") if item.is_file())
    assert purged.models == (adapter.uri,)
    assert before - after >= purged.freed_bytes * 0.9 > 0
