"""Bring the page to a phone: QR codes for the terminal, and a small guide over http to the certificate it must trust.

Only the guide, the certificate and Apple's wrapping of it are served over http: a phone that does not trust the
certificate yet cannot fetch it over https. The page itself never is.
"""

from __future__ import annotations

import plistlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from builder.paths import web_template
from builder.policy import site_policy

IOS_TYPE = "application/x-apple-aspen-config"
ANDROID_TYPE = "application/x-x509-ca-cert"
IOS_TRUST = (
    "Open this page in Safari and tap “Certificate for iPhone and iPad”, then Allow.",
    "Settings › Profile Downloaded › Install, enter your passcode, Install, Install, Done.",
    "Settings › General › About › Certificate Trust Settings: switch on {name}, Continue.",
    "Come back here and open the page.",
)
ANDROID_TRUST = (
    "Open this page in Chrome and tap “Certificate for Android”; it is saved under Downloads.",
    "Settings › Security & privacy › More security settings › Encryption & credentials › Install a certificate › "
    "CA certificate › Install anyway. (Elsewhere on some phones: search the settings for “CA certificate”.)",
    "Choose {file} among the downloads.",
    "Come back here and open the page.",
)
IOS_REMOVE = "Settings › General › VPN & Device Management › {name} › Remove Profile."
ANDROID_REMOVE = (
    "Settings › Security & privacy › More security settings › Encryption & credentials › Trusted credentials › User › "
    "{name} › Uninstall."
)
FILE = "webgpu-demo-ca.crt"
PROFILE = "webgpu-demo.mobileconfig"


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """Where a phone finds the page; ``trust`` is the guide to the certificate, None where none of ours is used."""

    page: str
    trust: str | None = None


def qr_code(address: str) -> str:
    """Draw an address for the terminal, two rows of modules in a line; dark modules are drawn, light ones left out."""
    import segno

    rows = [list(row) for row in segno.make(address, error="m", micro=False).matrix_iter(border=4)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    blocks = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "\n".join("".join(blocks[int(a > 0), int(b > 0)] for a, b in zip(*pair, strict=True)) for pair in pairs)


def authority_name(authority: Path) -> str:
    """The name under which a phone lists the certificate."""
    cert = x509.load_pem_x509_certificate(authority.read_bytes())
    return str(cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def fingerprint(authority: Path) -> str:
    """SHA-256 of the certificate, as phones show it: whoever fetched it over http can compare."""
    cert = x509.load_pem_x509_certificate(authority.read_bytes())
    return cert.fingerprint(hashes.SHA256()).hex(":").upper()


def trust_steps(authority: Path) -> dict[str, tuple[str, ...]]:
    """The exact taps, by system: how to trust the certificate, and how to remove it again."""
    name = authority_name(authority)

    def fill(lines: Sequence[str]) -> tuple[str, ...]:
        return tuple(line.format(name=name, file=FILE) for line in lines)

    return {
        "ios": fill(IOS_TRUST),
        "ios_remove": fill((IOS_REMOVE,)),
        "android": fill(ANDROID_TRUST),
        "android_remove": fill((ANDROID_REMOVE,)),
    }


def phone_application(authority: Path, invitation: Invitation, names: Sequence[str]) -> Starlette:
    """The guide, and the certificate with the types that iOS and Android want."""
    cert = x509.load_pem_x509_certificate(authority.read_bytes())
    der = cert.public_bytes(Encoding.DER)
    environment = Environment(
        loader=FileSystemLoader(web_template() / "preview"), autoescape=True, undefined=StrictUndefined
    )
    html = environment.get_template("phone.html").render(
        page=invitation.page,
        file=FILE,
        profile=PROFILE,
        name=authority_name(authority),
        fingerprint=fingerprint(authority),
        **trust_steps(authority),
    )

    def guide(request: Request) -> Response:
        return HTMLResponse(html, headers={"content-security-policy": site_policy()})

    def certificate(request: Request) -> Response:
        return Response(der, media_type=ANDROID_TYPE, headers={"content-disposition": f'attachment; filename="{FILE}"'})

    def profile(request: Request) -> Response:
        return Response(apple_profile(cert), media_type=IOS_TYPE)

    def style(request: Request) -> Response:
        folder = "shared" if request.url.path == "/style.css" else "preview"
        css = (web_template() / folder / request.url.path.strip("/")).read_bytes()
        return Response(css, media_type="text/css; charset=utf-8")

    routes = [
        Route("/", guide),
        Route(f"/{FILE}", certificate),
        Route(f"/{PROFILE}", profile),
        Route("/style.css", style),
        Route("/preview.css", style),
    ]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=list(names), www_redirect=False)
    return Starlette(routes=routes, middleware=[hosts])


def apple_profile(cert: x509.Certificate) -> bytes:
    """Wrap a root certificate as Apple's configuration profile, the same bytes each time.

    https://developer.apple.com/documentation/devicemanagement/certificateroot
    """
    name = str(cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    digest = cert.fingerprint(hashes.SHA256())
    identifier = f"webgpu-demo.{digest[:8].hex()}"
    inner = {
        "PayloadType": "com.apple.security.root",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{identifier}.certificate",
        "PayloadUUID": str(uuid.UUID(bytes=digest[:16])).upper(),
        "PayloadDisplayName": name,
        "PayloadContent": cert.public_bytes(Encoding.DER),
    }
    outer = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": str(uuid.UUID(bytes=digest[16:])).upper(),
        "PayloadDisplayName": name,
        "PayloadDescription": "Lets this device open previews that webgpu-demo serves in the local network. The "
        "certificate holds for private addresses and .local names only.",
        "PayloadContent": [inner],
    }
    return plistlib.dumps(outer)
