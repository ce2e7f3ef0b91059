"""Certificates for https on a local network, where camera and WebGPU need it and no public authority helps.

Start with `own_credentials`. The authority is made once, and kept in the user's data folder with its key readable by
its owner only. It may vouch for private addresses, ``.local`` names and localhost and for nothing else (name
constraints, RFC 5280 §4.2.1.10): who trusts it on a phone does not put the web into the hands of whoever copies that
key. The server's certificate is made anew when the addresses change. Apple's rules hold for it: at most 825 days, names
as alternative names, and an extended key usage.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from builder.errors import PreviewError
from builder.paths import data_folder
from builder.preview.lan import PRIVATE_DOMAINS, PRIVATE_NETWORKS, is_private

AUTHORITY_DAYS = 1825
SERVER_DAYS = 397
HOST_NAME = re.compile(r"localhost|(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+")
RENEW_DAYS = 30
"""A server certificate that is valid for less than this is made anew."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a server shows: PEM files, the certificate with its chain. ``authority`` is ours, where it is ours.

    ``names`` are those that a given certificate is for, without names that start with anything but a whole ``*.``.
    """

    cert: Path
    key: Path
    authority: Path | None = None
    names: tuple[str, ...] = ()

    def covers(self, name: str) -> bool:
        """Whether browsers take the certificate for this host name or address; ours is made for all that there are."""
        return self.authority is not None or name in self.names or f"*.{name.partition('.')[2]}" in self.names

    def host(self, names: Sequence[str]) -> str | None:
        """The name to open the server by: of ``names`` the first that is covered, or else one of the certificate's."""
        own = (name for name in self.names if not name.startswith("*") and name != "localhost")
        return next((name for name in names if self.covers(name)), None) or next(own, None)


def given_credentials(
    cert: Path | None, key: Path | None, *, report: Callable[[str], None] | None = None
) -> Credentials:
    """Take certificate and key as given; ``report`` is told where browsers will refuse them.

    Raises:
        PreviewError: one is missing, cannot be read, is protected by a password, or does not belong to the other.
    """
    if cert is None or key is None:
        raise PreviewError("a certificate and its key belong together", hint="give both: --cert cert.pem --key key.pem")
    for path in (cert, key):
        if not path.is_file():
            raise PreviewError(f"there is no file {path}", hint="leave out --cert and --key for one of our own")
    _try_out(cert, key)
    leaf = x509.load_pem_x509_certificate(cert.read_bytes())
    now, first, last = datetime.now(UTC), leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if report is not None and not first <= now <= last:
        word = f"expired on {last:%Y-%m-%d}" if now > last else f"is not valid before {first:%Y-%m-%d}"
        report(f"{cert} {word}: browsers will refuse it")
    return Credentials(cert=cert, key=key, names=_names_of(leaf))


def _names_of(leaf: x509.Certificate) -> tuple[str, ...]:
    """Host names and IPv4 addresses of a certificate, in its order; what is none would let any Host header in."""
    try:
        held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    named = [*held.get_values_for_type(x509.DNSName), *map(str, held.get_values_for_type(x509.IPAddress))]
    return tuple(dict.fromkeys(name for name in map(str.lower, named) if HOST_NAME.fullmatch(name)))


def own_credentials(names: Sequence[str], *, folder: Path | None = None) -> Credentials:
    """Make or take up the local authority, and a certificate of it for all ``names`` (host names and addresses).

    Raises:
        PreviewError: a name is a public one, or the folder cannot be written.
    """
    place = folder if folder is not None else certificates_folder()
    public = [name for name in names if not is_private(name)]
    if public:
        raise PreviewError(
            f"{', '.join(public)}: a public name or address, and the local authority vouches for private ones only",
            hint="give a certificate for it with --cert and --key",
        )
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority, authority_key = _authority(place)
        made = Credentials(cert=place / "server.pem", key=place / "server.key", authority=place / "ca.pem")
        if not _still_fits(made.cert, made.key, names, authority):
            _make_server(made, names, authority, authority_key)
    except OSError as error:
        raise PreviewError(
            f"{place} cannot be written: {(error.strerror or str(error)).lower()}",
            hint="make it writable, or give a certificate with --cert and --key",
        ) from error
    _try_out(made.cert, made.key)
    return made


def certificates_folder() -> Path:
    """Where the authority lies."""
    return data_folder() / "certificates"


def _authority(place: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Take up the authority of this folder, or make it. One that has run out is replaced; phones must trust it anew."""
    cert_path, key_path = place / "ca.pem", place / "ca.key"
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        cert = x509.load_pem_x509_certificate(cert_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        lasts = cert.not_valid_after_utc - datetime.now(UTC) > timedelta(days=RENEW_DAYS)
        if isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == cert.public_key() and lasts:
            key_path.chmod(0o600)
            return cert, key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "webgpu-demo"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"webgpu-demo on {socket.gethostname()[:40]}"),
        ]
    )
    permitted: list[x509.GeneralName] = [x509.DNSName(domain) for domain in PRIVATE_DOMAINS]
    permitted += [x509.IPAddress(ipaddress.ip_network(network)) for network in PRIVATE_NETWORKS]
    usage = x509.KeyUsage(**_key_usage("key_cert_sign", "crl_sign"))
    cert = (
        _builder(name, name, key.public_key(), days=AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_secret(key_path, key)
    _write(cert_path, cert.public_bytes(serialization.Encoding.PEM), mode=0o644)
    return cert, key


def _make_server(
    made: Credentials, names: Sequence[str], authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    ski = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    cert = (
        _builder(subject, authority.subject, key.public_key(), days=SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**_key_usage("digital_signature")), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    _write_secret(made.key, key)
    _write(made.cert, cert.public_bytes(pem) + authority.public_bytes(pem), mode=0o644)


def _still_fits(cert_path: Path, key_path: Path, names: Sequence[str], authority: x509.Certificate) -> bool:
    """Whether the certificate that is there is the authority's, for all these names, and lasts."""
    try:
        cert = x509.load_pem_x509_certificate(cert_path.read_bytes())
        cert.verify_directly_issued_by(authority)
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        held = set(cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except Exception:  # whatever is wrong with it, it is made anew
        return False
    lasts = cert.not_valid_after_utc - datetime.now(UTC) > timedelta(days=RENEW_DAYS)
    return lasts and key.public_key() == cert.public_key() and {_general_name(name) for name in names} <= held


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # the phone's clock may be behind
        .not_valid_after(now + timedelta(days=days))
    )


def _key_usage(*wanted: str) -> dict[str, bool]:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return {name: name in wanted for name in every}


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_secret(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(path, pem, mode=0o600)


def _write(path: Path, data: bytes, *, mode: int) -> None:
    """Write whole or not at all; nobody else can read a secret even while it is being written."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    part.replace(path)


def _try_out(cert: Path, key: Path) -> None:
    """Load both as the server will.

    Raises:
        PreviewError: they cannot be used.
    """

    def refuse() -> str:
        raise PreviewError(f"{key} is protected by a password", hint="give one without: openssl pkey -in … -out …")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=refuse)
    except (ssl.SSLError, OSError) as error:
        raise PreviewError(
            f"{cert} and {key} cannot be used: {(error.strerror or str(error)).lower()}",
            hint="both must be PEM, and the key the one of that certificate",
        ) from error
