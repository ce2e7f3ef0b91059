"""The local authority: what it vouches for, who may read its key, and a server that never falls back to http."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from builder.errors import PreviewError
from builder.preview.certificates import given_credentials, own_credentials
from builder.preview.lan import local_names
from tests.conftest import RunCli, cli_process
from tests.preview.conftest import MakeSite

NAMES = ["127.0.0.1", "localhost", "192.168.7.9", "desk.local"]


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, timeout=60).stdout


def test_the_authority_is_made_once_and_its_keys_are_for_the_owner_only(tmp_path: Path) -> None:
    place = tmp_path / "certificates"
    first = own_credentials(NAMES, folder=place)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    assert own_credentials(NAMES, folder=place) == first
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert {path.name: path.stat().st_mode & 0o777 for path in place.iterdir()} == {
        "ca.pem": 0o644,
        "ca.key": 0o600,
        "server.pem": 0o644,
        "server.key": 0o600,
    }
    assert place.stat().st_mode & 0o777 == 0o700


def test_new_addresses_get_a_new_certificate_of_the_same_authority(tmp_path: Path) -> None:
    made = own_credentials(NAMES, folder=tmp_path)
    authority, server = (tmp_path / "ca.pem").read_bytes(), made.cert.read_bytes()
    own_credentials([*NAMES, "10.1.2.3"], folder=tmp_path)
    assert (tmp_path / "ca.pem").read_bytes() == authority
    assert made.cert.read_bytes() != server
    names = load(made.cert).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"localhost", "desk.local"}
    assert set(map(str, names.get_values_for_type(x509.IPAddress))) == {"127.0.0.1", "192.168.7.9", "10.1.2.3"}


def test_a_key_of_another_certificate_is_replaced(tmp_path: Path) -> None:
    made = own_credentials(NAMES, folder=tmp_path)
    made.key.write_bytes((tmp_path / "ca.key").read_bytes())
    own_credentials(NAMES, folder=tmp_path)
    given_credentials(made.cert, made.key)


def test_the_certificate_keeps_apples_rules_and_openssl_trusts_it(tmp_path: Path) -> None:
    made = own_credentials(NAMES, folder=tmp_path)
    server = load(made.cert)
    assert server.not_valid_after_utc - server.not_valid_before_utc <= timedelta(days=825)
    assert server.not_valid_before_utc < datetime.now(UTC)
    assert made.authority is not None
    for option, name in (("-verify_ip", "192.168.7.9"), ("-verify_hostname", "desk.local")):
        arguments = ("verify", "-x509_strict", "-purpose", "sslserver", option, name)
        assert "OK" in openssl(*arguments, "-CAfile", str(made.authority), str(made.cert))
    assert "OK" not in openssl("verify", "-verify_ip", "10.9.9.9", "-CAfile", str(made.authority), str(made.cert))


@pytest.mark.parametrize("subject", ["DNS:huggingface.co", "IP:8.8.8.8", "DNS:local.evil.example"])
def test_what_the_authoritys_key_signs_for_the_web_is_trusted_by_nobody(tmp_path: Path, subject: str) -> None:
    made = own_credentials(NAMES, folder=tmp_path)
    stolen, request, forged = (str(tmp_path / name) for name in ("ca.key", "forged.csr", "forged.pem"))
    extension = tmp_path / "extension"
    extension.write_text(f"subjectAltName={subject}\nextendedKeyUsage=serverAuth\n")
    openssl("req", "-new", "-key", str(made.key), "-subj", "/CN=forged", "-out", request)
    authority = ("-CA", str(made.authority), "-CAkey", stolen)
    openssl("x509", "-req", "-in", request, *authority, "-extfile", str(extension), "-days", "9", "-out", forged)
    assert "OK" not in openssl("verify", "-CAfile", str(made.authority), forged)
    extension.write_text("subjectAltName=DNS:phone.local\nextendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", request, *authority, "-extfile", str(extension), "-days", "9", "-out", forged)
    assert "OK" in openssl("verify", "-CAfile", str(made.authority), forged), "the constraint is what made it fail"


@pytest.mark.parametrize("name", ["8.8.8.8", "example.com", "2001:db8::1"])
def test_a_public_name_needs_a_certificate_of_its_own(tmp_path: Path, name: str) -> None:
    with pytest.raises(PreviewError, match=name) as caught:
        own_credentials([*NAMES, name], folder=tmp_path / "certificates")
    assert "--cert" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_this_machines_name_is_one_that_a_certificate_can_have() -> None:
    assert all(name.endswith(".local") and name == name.lower() for name in local_names())
    assert len(local_names()) <= 1


@pytest.fixture
def given(tmp_path: Path) -> tuple[Path, Path]:
    made = own_credentials(NAMES, folder=tmp_path / "given")
    return made.cert, made.key


def test_given_files_that_cannot_be_used_are_refused(given: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = given
    locked, text = tmp_path / "locked.key", tmp_path / "text.pem"
    openssl("pkey", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(locked))
    text.write_text("none")
    for certificate, its_key, words in (
        (cert, None, "belong together"),
        (None, key, "belong together"),
        (cert, tmp_path / "missing.key", "there is no file .*missing.key"),
        (text, key, "cannot be used"),
        (cert, tmp_path / "given/ca.key", "cannot be used"),
        (cert, locked, "protected by a password"),
    ):
        with pytest.raises(PreviewError, match=words) as caught:
            given_credentials(certificate, its_key)
        assert caught.value.hint


def test_a_certificate_that_cannot_be_used_never_means_http(
    run_cli: RunCli, make_site: MakeSite, given: tuple[Path, Path]
) -> None:
    for arguments in (["--cert", str(given[0])], ["--https", "--cert", "missing.pem", "--key", str(given[1])]):
        done = run_cli("preview", str(make_site()), "--no-open", *arguments)
        assert (done.returncode, done.stdout) == (1, ""), "nothing was served"
        assert done.stderr.count("error:") == done.stderr.count("hint:") == 1


def self_signed(folder: Path, *names: str, days: int = 9) -> tuple[Path, Path]:
    """A certificate of one's own for host names and addresses, which ends in so many days."""
    cert, key = folder / "own.pem", folder / "own.key"
    private, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    held = [x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=99))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(held), critical=True)
        .sign(private, hashes.SHA256())
    )
    cert.write_bytes(made.public_bytes(Encoding.PEM))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert, key


def test_a_given_certificate_says_which_names_it_is_for(tmp_path: Path) -> None:
    names = ("demo.example.com", "*.example.org", "localhost", "192.168.7.9")
    credentials = given_credentials(*self_signed(tmp_path, *names, "*", "*.com*", "f*.example.com"))
    assert credentials.names == names, "any other pattern would let more hosts in than a browser would"
    assert [credentials.covers(name) for name in (*names, "a.example.org", "10.1.1.1")] == [True] * 5 + [False]
    assert credentials.host(["10.1.1.1", "192.168.7.9"]) == "192.168.7.9"
    assert credentials.host(["10.1.1.1", "desk.local"]) == "demo.example.com"
    assert given_credentials(*self_signed(tmp_path, "*.example.org")).host(["10.1.1.1"]) is None
    assert own_credentials(NAMES, folder=tmp_path).host(NAMES) == NAMES[0]


def test_a_certificate_that_has_expired_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    given_credentials(*self_signed(tmp_path, "localhost"), report=said.append)
    assert said == []
    given_credentials(*self_signed(tmp_path, "localhost", days=-1), report=said.append)
    assert len(said) == 1
    assert "expired on " in said[0]


def test_a_name_of_ones_own_is_answered_and_invited_by(make_site: MakeSite, tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path, "demo.example.com")
    arguments = ("--json", "--lan", "--cert", str(cert), "--key", str(key))
    process = cli_process("preview", str(make_site()), "--no-open", *arguments, cwd=tmp_path)
    assert process.stdout is not None
    text = ""
    while not text.endswith("\n}\n"):
        text += (line := process.stdout.readline())
        assert line, process.stderr and process.stderr.read()
    told = json.loads(text)
    assert told["address"].startswith("https://demo.example.com:")
    assert told["phone"] == {"page": told["address"], "trust": None}
    port = int(told["address"].rstrip("/").rpartition(":")[2])
    for host, status in (("demo.example.com", 200), ("127.0.0.1", 200), ("other.example.com", 400)):
        trusting = ssl.create_default_context(cafile=str(cert))
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
            link = trusting.wrap_socket(plain, server_hostname="demo.example.com")
            link.sendall(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            assert int(link.recv(12).split()[1]) == status
    process.terminate()
    _, stderr = process.communicate(timeout=30)
    assert "the certificate is for demo.example.com, so that name must lead to this machine" in stderr


@pytest.fixture
def https_port(make_site: MakeSite, given: tuple[Path, Path], tmp_path: Path) -> Iterator[int]:
    cert, key = map(str, given)
    arguments = ("preview", str(make_site()), "--no-open", "--quiet", "--cert", cert, "--key", key)
    process = cli_process(*arguments, cwd=tmp_path)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address.startswith("https://127.0.0.1:")
    yield int(address.rstrip("/").rpartition(":")[2])
    process.terminate()
    process.communicate(timeout=30)


def test_https_serves_who_trusts_the_authority_and_answers_no_http(
    https_port: int, given: tuple[Path, Path], make_site: MakeSite
) -> None:
    trusting = ssl.create_default_context(cafile=str(given[0].parent / "ca.pem"))
    for host in ("127.0.0.1", "localhost"):
        link = http.client.HTTPSConnection(host, https_port, context=trusting, timeout=30)
        link.request("GET", "/models/m/onnx/model.onnx")
        answer = link.getresponse()
        assert (answer.status, answer.read()) == (200, bytes(range(256)) * 4096)
        link.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        link = http.client.HTTPSConnection("127.0.0.1", https_port, context=ssl.create_default_context(), timeout=30)
        link.request("GET", "/")
    with socket.create_connection(("127.0.0.1", https_port), timeout=30) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        with contextlib.suppress(ConnectionError):  # broken off, which is as good
            assert b"HTTP/1" not in plain.recv(4096)
