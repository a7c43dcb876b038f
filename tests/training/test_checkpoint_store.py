"""Checkpoints in a store: whole or not counted, the newest found from anywhere, old ones pruned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tunewright.models.catalogue import resolve
from tunewright.support.errors import InputError, TunewrightError
from tunewright.training.checkpoint_store import CheckpointStore
from tunewright.training.checkpoints import SEAL, newest_whole, seal
from tunewright.training.classification import train


def checkpoint(folder: Path, step: int, text: str = "weights") -> Path:
    """Make a sealed checkpoint with a file in a folder of its own."""
    place = folder / f"checkpoint-{step}"
    (place / "parts").mkdir(parents=True)
    (place / "parts" / "0.bin").write_text(f"{text} {step}")
    (place / "state.json").write_text(json.dumps({"step": step}))
    seal(place, step=step, record={"journal": {}})
    return place


@pytest.fixture(scope="module")
def bucket():
    """A local S3 server with an empty bucket; the environment names it."""
    server_module = pytest.importorskip("moto.server")
    import boto3

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="checkpoints")
        yield client
    server.stop()


@pytest.fixture(params=["file", "s3"])
def store(request, tmp_path) -> CheckpointStore:
    """An empty store, on a disk and behind S3."""
    if request.param == "file":
        return CheckpointStore((tmp_path / "store").as_uri(), "abc")
    request.getfixturevalue("bucket")
    return CheckpointStore(f"s3://checkpoints/{tmp_path.name}", "abc")


def names_in(store: CheckpointStore) -> dict[str, set[str]]:
    """Return the files of each checkpoint in a store."""
    import fsspec

    files, root = fsspec.core.url_to_fs(f"{store.url}/{store.training}")
    files.invalidate_cache()
    found: dict[str, set[str]] = {}
    for path in files.find(root):
        name, _, rest = path[len(root) :].lstrip("/").partition("/")
        found.setdefault(name, set()).add(rest)
    return found


def test_an_empty_store_has_nothing_to_go_on_from(store, tmp_path):
    assert not store.fetch_newest(tmp_path / "elsewhere")


def test_the_newest_comes_back_as_it_was_and_old_ones_go(store, tmp_path):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for step in (5, 20, 100):
        store.mirror(checkpoint(here, step), keep=2)
    whole = {"parts/0.bin", "state.json", SEAL}
    assert names_in(store) == {"checkpoint-20": whole, "checkpoint-100": whole}
    assert store.fetch_newest(elsewhere)
    found = newest_whole(elsewhere)
    assert found is not None
    assert found.step == 100
    assert (found.folder / "parts" / "0.bin").read_text() == "weights 100"


def test_an_upload_that_was_cut_off_never_counts(store, tmp_path):
    import fsspec

    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    store.mirror(checkpoint(here, 5), keep=3)
    store.mirror(checkpoint(here, 10), keep=3)
    files, root = fsspec.core.url_to_fs(f"{store.url}/{store.training}")
    files.rm_file(f"{root}/checkpoint-10/{SEAL}")
    assert store.fetch_newest(elsewhere)
    assert newest_whole(elsewhere).step == 5
    store.mirror(checkpoint(here, 15), keep=1)
    assert set(names_in(store)) == {"checkpoint-15"}, "what was cut off goes with the old ones"


def test_a_damaged_checkpoint_is_passed_over(store, tmp_path, capsys):
    import fsspec

    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    store.mirror(checkpoint(here, 5), keep=3)
    store.mirror(checkpoint(here, 10), keep=3)
    files, root = fsspec.core.url_to_fs(f"{store.url}/{store.training}")
    files.pipe_file(f"{root}/checkpoint-10/parts/0.bin", b"changed")
    assert store.fetch_newest(elsewhere)
    assert newest_whole(elsewhere).step == 5
    assert "checkpoint-10" in capsys.readouterr().err
    assert not (elsewhere / "checkpoint-10").exists()


def test_a_checkpoint_that_is_made_again_replaces_the_other(store, tmp_path):
    store.mirror(checkpoint(tmp_path / "first", 5, "old"), keep=2)
    store.mirror(checkpoint(tmp_path / "second", 5, "new"), keep=2)
    assert store.fetch_newest(tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "checkpoint-5" / "parts" / "0.bin").read_text() == "new 5"


def test_a_bucket_that_is_not_there_is_said_before_the_training(bucket):
    with pytest.raises(InputError, match=r"s3://nowhere-at-all/x/abc: .*check training\.checkpoint_store"):
        CheckpointStore("s3://nowhere-at-all/x", "abc").require_writable()


def test_an_address_that_is_none_names_the_key():
    with pytest.raises(InputError, match=r"training\.checkpoint_store"):
        CheckpointStore("what://is/this", "abc").require_writable()


def test_a_store_that_fails_later_does_not_end_the_training(tmp_path, capsys):
    store = CheckpointStore((tmp_path / "store").as_uri(), "abc")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "abc").write_text("a file where the folder should be")
    store.mirror(checkpoint(tmp_path / "here", 5), keep=2)
    assert "checkpoint-5 was not copied" in capsys.readouterr().err


class Killed(BaseException):
    """Ends a training in the middle, past every handler."""


class Interrupting:
    """A recorder that ends the training when a step is recorded."""

    def metrics(self, values, step):
        if values and step >= 25:
            raise Killed


def test_a_training_goes_on_from_the_store_on_another_machine(
    make_dataset, tiny_recipe, tmp_path, recorder, bucket
):
    dataset = make_dataset()
    url = f"s3://checkpoints/{tmp_path.name}"
    recipe = tiny_recipe(checkpoint_steps=5, checkpoint_store=url)
    base = resolve(recipe.model, base_dir=tmp_path)
    with pytest.raises(Killed):
        train(dataset, base, recipe, workspace=tmp_path / "one", recorder=Interrupting())
    shutil.rmtree(tmp_path / "one")
    resumed = train(dataset, base, recipe, workspace=tmp_path / "two", recorder=recorder)
    assert resumed.figures.resumed_from_step == 20
    plain = tiny_recipe(checkpoint_steps=5)
    straight = train(dataset, base, plain, workspace=tmp_path / "straight", recorder=recorder)
    assert resumed.classifier.digest() == straight.classifier.digest()
    again = train(dataset, base, recipe, workspace=tmp_path / "three", recorder=recorder)
    assert again.classifier.digest() == straight.classifier.digest(), "the end is kept there too"
    (folder,) = (tmp_path / "three").iterdir()
    (kept,) = names_in(CheckpointStore(url, folder.name))
    assert kept == "finished"
    (folder / "finished" / "best.safetensors").write_bytes(b"")
    with pytest.raises(TunewrightError, match="no checkpoint is sound"):
        train(dataset, base, recipe, workspace=tmp_path / "three", recorder=recorder)
