"""Object stores and the hub: a real S3 server, real hub streams, and what is said when neither is there."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import pytest

from tunewright.config.data import DataConfig
from tunewright.data.sources import fingerprint, inspect, local_files
from tunewright.support.errors import InputError

ROWS = "".join(f"message number {n} with words,{'ab'[n % 2]}\n" for n in range(20))
CONTENT = ("text,label\n" + ROWS).encode()


@pytest.fixture(scope="module")
def bucket():
    """A bucket on a real S3 server on loopback."""
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    import boto3

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**keys, "AWS_ENDPOINT_URL": endpoint}.items():
            patch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=endpoint)
        client.create_bucket(Bucket="messages")
        yield client
    server.stop()


def put(bucket, **objects):
    """Store objects; two underscores stand for a slash, the last one for a dot."""
    for name, content in objects.items():
        bucket.put_object(Bucket="messages", Key=name.replace("__", "/").replace("_", "."), Body=content)


def test_one_object_is_read(bucket, tmp_path):
    from tunewright.data.ingest import ingest

    put(bucket, one__data_csv=CONTENT)
    config = DataConfig(source="s3://messages/one/data.csv")
    summary = ingest(config, base_dir=tmp_path, out=tmp_path / "out")
    assert summary.rows == 20
    assert summary.facts.files == {"data.csv": 20}
    assert local_files(config, base_dir=tmp_path) == []


@pytest.mark.parametrize("source", ["s3://messages/many", "s3://messages/many/*.csv*"])
def test_a_prefix_or_pattern_is_read_like_a_folder(bucket, tmp_path, source):
    from tunewright.data.ingest import ingest

    put(bucket, many__a_csv=CONTENT, many__b_csv_gz=gzip.compress(CONTENT), many__LICENSE=b"words")
    summary = ingest(DataConfig(source=source), base_dir=tmp_path, out=tmp_path / "out")
    assert summary.facts.files == {"a.csv": 20, "b.csv.gz": 20}


def test_parquet_is_read_by_ranges(bucket, tmp_path):
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    from tunewright.data.ingest import ingest

    stream = io.BytesIO()
    pq.write_table(pa.table({"text": ["some words", "more words"], "label": ["a", "b"]}), stream)
    put(bucket, table__data_parquet=stream.getvalue())
    config = DataConfig(source="s3://messages/table/data.parquet")
    assert ingest(config, base_dir=tmp_path, out=tmp_path / "out").labels == {"a": 1, "b": 1}


def test_the_fingerprint_follows_the_content(bucket, tmp_path):
    config = DataConfig(source="s3://messages/changing")
    put(bucket, changing__a_csv=CONTENT)
    first = fingerprint(config, base_dir=tmp_path)
    assert first == fingerprint(config, base_dir=tmp_path)
    assert list(first) == ["a.csv"]
    put(bucket, changing__a_csv=CONTENT.replace(b"words", b"terms"))
    second = fingerprint(config, base_dir=tmp_path)
    assert second != first
    put(bucket, changing__b_csv=CONTENT)
    assert list(fingerprint(config, base_dir=tmp_path)) == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://messages/absent.csv", r"^s3://messages/absent\.csv: no such file"),
        ("s3://no-such-bucket/data.csv", r"^s3://no-such-bucket/data\.csv: "),
        ("s3://messages/none-*.csv", "holds no file"),
    ],
)
def test_absent_objects(bucket, tmp_path, source, message):
    with pytest.raises(InputError, match=message):
        inspect(DataConfig(source=source), base_dir=tmp_path)


def test_an_unreachable_store_is_one_line(bucket, tmp_path, monkeypatch):
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(InputError, match=r"^s3://messages/one/data\.csv: .*(reached|read)") as raised:
        inspect(DataConfig(source="s3://messages/one/data.csv"), base_dir=tmp_path)
    assert "\n" not in str(raised.value)
    s3fs.S3FileSystem.clear_instance_cache()


def test_credentials_in_a_url_are_not_shown(tmp_path):
    from tunewright.data.streams import shown

    assert shown("s3://key:secret@bucket/x.csv") == "s3://bucket/x.csv"
    assert shown("https://host/x.csv?sig=abc&se=1") == "https://host/x.csv"
    assert shown("can't open https://u:p@host/x?sig=abc, sorry") == "can't open https://host/x, sorry"
    assert shown("/plain/path?.csv") == "/plain/path?.csv"


HUB = """
import sys
from pathlib import Path
from tunewright.config.data import DataConfig
from tunewright.data.sources import {function} as call
from tunewright.support.errors import InputError
try:
    print(call(DataConfig(source=sys.argv[1], format=sys.argv[2]), base_dir=Path.cwd()))
except InputError as error:
    print(error)
"""


def hub(function, source, folder, format_="auto"):
    """Ask for a source in a process whose hub is out of reach."""
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(folder / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", HUB.format(function=function), source, format_],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("function", ["inspect", "fingerprint"])
def test_an_unreachable_hub_is_one_clear_line(tmp_path, function):
    said = hub(function, "owner/messages", tmp_path)
    assert said.startswith(
        "owner/messages: is no local file or folder, and the Hugging Face hub can't be reached"
    )
    assert "\n" not in said


def test_a_local_folder_is_never_mistaken_for_a_hub_id(tmp_path):
    folder = tmp_path / "owner" / "messages"
    folder.mkdir(parents=True)
    (folder / "data.csv").write_bytes(CONTENT)
    assert "uri='owner/messages' format='csv'" in hub("inspect", "owner/messages", tmp_path)
    said = hub("inspect", "owner/messages", tmp_path, "hub")
    assert "has the name of the hub data set" in said
    said = hub("inspect", "owner/mesages", tmp_path)
    assert said == "owner/mesages: no such file or folder; did you mean 'messages'?"


def test_hub_rows_carry_class_names():
    import datasets

    from tunewright.data.hub import hub_columns, hub_rows

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam"])}
    )
    rows = {"text": ["a b", "c d", "e f"], "label": [1, 0, -1]}
    stream = datasets.Dataset.from_dict(rows, features=features).to_iterable_dataset()
    columns = hub_columns(stream)
    assert columns == ("text", "label")
    assert list(hub_rows(stream, columns, DataConfig(source="x"))) == [
        ("a b", "spam"),
        ("c d", "ham"),
        ("e f", None),
    ]
