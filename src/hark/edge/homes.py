"""Where a call or a session is, told by its id; and how nodes know each other.

    rtc_ or sess_ + base32( nonce | AES-CCM( form, worker, port, host ) | tag of 8 bytes )
    token = time . nonce . HMAC-SHA256( the node that is asked, time, nonce ), and its proof: HMAC over the token

Theory. A node connects to an address only because an id says so, and ids come from clients. So an id is sealed with the
signing keys, which all nodes share and nobody else has: no client makes one that leads elsewhere, or reads in one how
the private network is made. The nonce is of 80 random bits, so ids are as hard to guess as any. The node that is asked
shows that it holds the keys too, before it is told anything: by then another program may have its address.

Rule: who holds no key that counts learns nothing and reaches nothing. Refuses: addresses without a port.
"""

from __future__ import annotations

import hmac
import os
import re
from base64 import b32decode, b32encode
from binascii import Error as Base32Error
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from msgspec import Struct

from hark.errors import OperatorError

NONCE_BYTES: Final = 10
TAG_BYTES: Final = 8
# How old a token may be, or how new: clocks differ.
FRESH_S: Final = 60
_HEAD_BYTES: Final = 4  # form, worker, port
_IPV4, _IPV6, _NAME = range(3)
_TLS: Final = 0x80
# 24 bytes of an id are no home yet, and so no id of a server without an address, which has 20 or 22 digits, is one.
_ID: Final = re.compile(r"(rtc|sess)_([a-z2-7]{40,400})")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?")
_SECURE: Final = {"http": False, "ws": False, "https": True, "wss": True}


class Address(Struct, frozen=True):
    """Of a node, for other nodes."""

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


class Home(Struct, frozen=True):
    """A node, and which of its workers."""

    address: Address
    worker: int = 0


def address(option: str, *, tls: bool) -> Address:
    """What `--node-address` says; `tls` counts where it names no scheme. Raises OperatorError."""
    scheme, marked, rest = option.rpartition("://")
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname or "", parts.port
        secure = _SECURE[scheme.lower()] if marked else tls
        if port and parts.netloc == rest and "@" not in rest:
            return Address(_host(host), port, secure)
    except (KeyError, ValueError):
        pass
    raise OperatorError(
        f"--node-address {option}: expected HOST:PORT at which other nodes reach this server, such as 10.0.0.5:8000, "
        "[fd00::5]:8000 or https://hark-1.internal:8443."
    )


def seal(home: Home, prefix: str, signing_key: bytes) -> str:
    """A new id, "rtc_…" or "sess_…", of something that is there."""
    nonce = os.urandom(NONCE_BYTES)
    return f"{prefix}_{_text(nonce + _cipher(signing_key).encrypt(nonce, _packed(home), prefix.encode()))}"


def unseal(owned_id: str, signing_keys: Sequence[bytes]) -> Home | None:
    """What the id says; None if it is none that was sealed with one of these keys."""
    found = _ID.fullmatch(owned_id)
    data = _bytes(found[2]) if found else b""
    if not found or len(data) <= NONCE_BYTES + TAG_BYTES + _HEAD_BYTES:
        return None
    for key in signing_keys:
        try:
            packed = _cipher(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], found[1].encode())
        except InvalidTag:
            continue
        return _unpacked(packed)
    return None


def is_sealed(owned_id: str) -> bool:
    """Whether it looks like one."""
    return _ID.fullmatch(owned_id) is not None


def token(asked: Address, signing_key: bytes, now: float) -> str:
    """What shows to this node, for a minute, that one of its kind asks."""
    said = f"{int(now)}.{os.urandom(NONCE_BYTES).hex()}"
    return f"{said}.{_mac(signing_key, 'asks', str(asked), said)}"


def proof(shown: str, asked: Address, signing_keys: Sequence[bytes], now: float) -> str | None:
    """The answer to a token that was made for this node; None to any other."""
    said, _, mac = shown.rpartition(".")
    made = said.partition(".")[0]
    if not shown.isascii() or not re.fullmatch(r"\d{1,12}", made) or abs(now - int(made)) > FRESH_S:
        return None
    key = next((key for key in signing_keys if hmac.compare_digest(_mac(key, "asks", str(asked), said), mac)), None)
    return None if key is None else answer_to(shown, key)


def answer_to(shown: str, signing_key: bytes) -> str:
    """What only a holder of the key that made the token can answer."""
    return _mac(signing_key, "is asked", shown)


def _mac(signing_key: bytes, *said: str) -> str:
    return hmac.digest(signing_key, "\n".join(("hark node", *said)).encode(), "sha256").hex()


def _cipher(signing_key: bytes) -> AESCCM:
    return AESCCM(hmac.digest(signing_key, b"hark home of a call or session", "sha256"), TAG_BYTES)


def _packed(home: Home) -> bytes:
    where = home.address
    try:
        ip = ip_address(where.host)
    except ValueError:
        form, host = _NAME, where.host.encode("ascii")
    else:
        form, host = _IPV4 if ip.version == 4 else _IPV6, ip.packed
    return bytes([form | (_TLS if where.tls else 0), home.worker]) + where.port.to_bytes(2, "big") + host


def _unpacked(packed: bytes) -> Home:
    form, worker, port, host = packed[0], packed[1], int.from_bytes(packed[2:_HEAD_BYTES], "big"), packed[_HEAD_BYTES:]
    kind = form & ~_TLS
    shown = host.decode("ascii") if kind == _NAME else str(IPv4Address(host) if kind == _IPV4 else IPv6Address(host))
    return Home(Address(shown, port, bool(form & _TLS)), worker)


def _host(host: str) -> str:
    """In its one spelling. Raises ValueError."""
    try:
        return str(ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise
        return host


def _text(data: bytes) -> str:
    return b32encode(data).decode().rstrip("=").lower()


def _bytes(text: str) -> bytes:
    """Nothing, if it is not spelt as we spell it."""
    try:
        data = b32decode(text.upper() + "=" * (-len(text) % 8))
    except Base32Error:
        return b""
    return data if _text(data) == text else b""
