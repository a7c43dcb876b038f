"""HTTPS at a real server, with a certificate that is made here."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
from pathlib import Path

import pytest
import requests


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "server.crt").write_bytes(certificate.public_bytes(pem))
    (folder / "server.key").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    locked = serialization.BestAvailableEncryption(b"secret")
    (folder / "locked.key").write_bytes(key.private_bytes(pem, form, locked))
    return folder / "server.crt", folder / "server.key"


def test_https_is_spoken_and_http_is_not(start, copies, files, tmp_path):
    certificate, key = files
    words = ("--tls-certificate", str(certificate), "--tls-key", str(key), "serving.drain_notice_s=0")
    running = start(copies("openvino:fp32"), *words, cwd=tmp_path)
    assert running.url.startswith("https://127.0.0.1:")
    answer = requests.post(
        f"{running.url}/v1/classify", json={"input": "x"}, timeout=10, verify=str(certificate)
    )
    assert answer.status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{running.url}/health/live", timeout=10)
    with pytest.raises(requests.ConnectionError):
        requests.get(running.url.replace("https", "http") + "/health/live", timeout=10)
    assert running.end() == 0


def test_files_that_can_not_be_used_are_said_in_one_line(cli, copies, files, tmp_path):
    certificate, key = files
    shutil.copy(key, tmp_path / "not.crt")
    for words, part in (
        (("--tls-certificate", certificate), "add --tls-key"),
        (("--tls-key", key), "add --tls-certificate"),
        (("--tls-certificate", certificate, "--tls-key", tmp_path / "none"), "is no file"),
        (("--tls-certificate", tmp_path / "not.crt", "--tls-key", key), "can't be used"),
        (("--tls-certificate", certificate, "--tls-key", key.with_name("locked.key")), "without a password"),
    ):
        said = cli("serve", str(copies("openvino:fp32")), *map(str, words), "--port", "0")
        assert said.code == 2, said.err
        assert part in said.complaint
