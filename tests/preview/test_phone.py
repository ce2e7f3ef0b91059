"""A phone in one step: the guide and the certificate over http, with the types that each system wants, and QR codes."""

from __future__ import annotations

import plistlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.testclient import TestClient

from builder.preview.certificates import own_credentials
from builder.preview.phone import Invitation, fingerprint, phone_application, qr_code, trust_steps

PAGE = "https://192.168.7.9:8000/"


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    made = own_credentials(["192.168.7.9"], folder=tmp_path)
    assert made.authority is not None
    return made.authority


@pytest.fixture
def guide(authority: Path) -> TestClient:
    app = phone_application(authority, Invitation(page=PAGE, trust="http://192.168.7.9:8001/"), ["192.168.7.9"])
    return TestClient(app, base_url="http://192.168.7.9:8001")


def test_android_gets_the_certificate_in_the_form_that_it_installs(guide: TestClient, authority: Path) -> None:
    answer = guide.get("/webgpu-demo-ca.crt")
    assert answer.headers["content-type"] == "application/x-x509-ca-cert"
    assert 'filename="webgpu-demo-ca.crt"' in answer.headers["content-disposition"]
    assert x509.load_der_x509_certificate(answer.content) == x509.load_pem_x509_certificate(authority.read_bytes())


def test_ios_gets_a_profile_with_the_certificate_as_a_root(guide: TestClient, authority: Path) -> None:
    answer = guide.get("/webgpu-demo.mobileconfig")
    assert answer.headers["content-type"] == "application/x-apple-aspen-config"
    profile = plistlib.loads(answer.content)
    (payload,) = profile["PayloadContent"]
    assert (profile["PayloadType"], payload["PayloadType"]) == ("Configuration", "com.apple.security.root")
    cert = x509.load_pem_x509_certificate(authority.read_bytes())
    assert payload["PayloadContent"] == cert.public_bytes(Encoding.DER)
    assert guide.get("/webgpu-demo.mobileconfig").content == answer.content, "installing it again replaces it"


def test_the_guide_names_the_taps_and_how_to_undo_them(guide: TestClient, authority: Path) -> None:
    html = guide.get("/").text
    name = x509.load_pem_x509_certificate(authority.read_bytes()).subject.rfc4514_string()
    assert PAGE in html
    assert fingerprint(authority) in html
    for text in ("Certificate Trust Settings", "Install a certificate", "Remove Profile", "Trusted credentials"):
        assert text in html
    steps = trust_steps(authority)
    assert set(steps) == {"ios", "ios_remove", "android", "android_remove"}
    assert any(part.removeprefix("CN=") in steps["ios_remove"][0] for part in name.split(","))
    assert guide.get("/style.css").headers["content-type"].startswith("text/css")


def test_nothing_but_the_guide_is_served_over_http(guide: TestClient) -> None:
    for path in ("/ca.key", "/server.key", "/server.pem", "/index.html", "/../ca.key", "/%2e%2e/ca.key", "/_preview/"):
        assert guide.get(path).status_code == 404
    assert guide.get("/", headers={"host": "evil.example"}).status_code == 400


def test_a_qr_code_is_square_and_has_its_finder_patterns() -> None:
    lines = qr_code(PAGE).splitlines()
    width = len(lines[0])
    assert all(len(line) == width for line in lines)
    assert len(lines) == -(-width // 2)
    top = [" █▀▀▀▀▀█ ", " █ ███ █ ", " █ ▀▀▀ █ ", " ▀▀▀▀▀▀▀ "]
    assert [line[3:12] for line in lines[2:6]] == top, "four modules of quiet zone, then the finder"
    assert [line[-12:-3] for line in lines[2:6]] == top
