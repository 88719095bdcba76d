"""Certificates: those that the options name, or one that the server makes for itself.

A microphone in a browser, and every Node client of OpenAI's, want TLS. The certificate that is made here vouches for
itself: whoever connects from elsewhere has to be told to trust it, once; it stays the same until it expires or the
machine's addresses change.

Rule: the key is readable by its owner alone. Refuses: a certificate and a key that do not go together, before serving.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from hark.errors import OperatorError

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

FOLDER: Final = "tls"
# Browsers of Apple's take no certificate for longer.
VALID_DAYS: Final = 397
RENEWED_DAYS_BEFORE: Final = 30
NAMES: Final = ("localhost", "127.0.0.1", "::1")


class Certificate(Struct, frozen=True):
    """Two PEM files."""

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """They, as they are now. Raises OperatorError if they cannot be served with."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            made.load_cert_chain(self.chain, self.key)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror or str(error)
            raise OperatorError(
                f"--tls-cert {self.chain} and --tls-key {self.key} cannot be used: {why}. Expected two PEM files, the "
                "certificate with its chain and the key that goes with it, without a passphrase."
            ) from error
        return made


def exchange(served: ssl.SSLContext, made: ssl.SSLContext) -> None:
    """Whoever connects to `served` from now on gets the certificate of `made`, whole: loading files into a context that
    serves would leave it with half of a pair if the second of them were bad."""

    def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = made

    served.sni_callback = choose  # which is asked of clients that name no server too


def own_path(folder: Path) -> Path:
    """Where the certificate that the server makes for itself lies in its data folder."""
    return folder / FOLDER / "self-signed.pem"


def self_signed(folder: Path) -> Certificate:
    """The one in this data folder, made or made anew where need be. Raises OperatorError."""
    made = Certificate(own_path(folder), folder / FOLDER / "self-signed.key")
    names = {*NAMES, socket.gethostname(), *_addresses()}
    try:
        if not _serves(made, names):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            made.chain.parent.mkdir(mode=0o700, exist_ok=True)
            _make(made, sorted(names))
    except OSError as error:
        message = f"Cannot write a certificate to {made.chain.parent}: {error.strerror}. Name another --data-dir."
        raise OperatorError(message) from error
    return made


def _addresses() -> list[str]:
    from aioice.ice import get_host_addresses  # noqa: PLC0415 - only here is it needed before the first call

    return [each.partition("%")[0] for each in get_host_addresses(use_ipv4=True, use_ipv6=True)]


def _serves(made: Certificate, names: set[str]) -> bool:
    """Whether it is there, is good for a while yet, and names all of these."""
    from cryptography import x509  # noqa: PLC0415 - a server without TLS has no use for it

    try:
        made.context()
        found = x509.load_pem_x509_certificate(made.chain.read_bytes())
    except (OperatorError, OSError, ValueError):
        return False
    if found.not_valid_after_utc < datetime.now(UTC) + timedelta(days=RENEWED_DAYS_BEFORE):
        return False
    told = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    named = {*told.get_values_for_type(x509.DNSName), *map(str, told.get_values_for_type(x509.IPAddress))}
    return names <= named


def _make(made: Certificate, names: list[str]) -> None:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Hark on " + socket.gethostname()[:50])])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # for clocks that are slow
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(made.key, pem, 0o600)
    _write(made.chain, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _general_name(name: str) -> GeneralName:
    from cryptography import x509  # noqa: PLC0415

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others for a moment."""
    beside = path.with_suffix(f".{os.getpid()}.new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    beside.replace(path)
