"""Client secrets: short-lived credentials that prove themselves.

    ek_ + base64url( head | content | HMAC-SHA256 over both, cut to 16 bytes )
    head = version, id of the signing key, expiry, id of the parent key, salt, form of the content

Rule: whoever has the signing key verifies a secret alone, so processes and machines share nothing else. The content is
somebody else's bytes: what a session is set to, or a reference to it where that is too large for a header. Nothing of a
secret is read before its signature has been checked, but for which key to check it with. Every character is legal in a
WebSocket subprotocol, where browsers put it.
"""

from __future__ import annotations

import hmac
import struct
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from msgspec import Struct

from hark.errors import AuthError

PREFIX: Final = "ek_"
PARENT_BYTES: Final = 8
NO_PARENT: Final = bytes(PARENT_BYTES)
SALT_BYTES: Final = 4
# Content of this size makes a secret of some 2,000 characters; proxies begin to refuse headers at 4,096.
MAX_CONTENT_BYTES: Final = 1_400

_VERSION: Final = 1
_HEAD: Final = struct.Struct(f">B4sQ{PARENT_BYTES}s{SALT_BYTES}sB")
_MAC_BYTES: Final = 16
_PLAIN, _DEFLATED, _REFERENCE = range(3)


class Secret(Struct, frozen=True):
    """What a secret says. `parent` is the id of the key that minted it; `expires_at` is in Unix seconds."""

    expires_at: int
    parent: bytes
    content: bytes
    by_reference: bool = False


class Signed(Struct, frozen=True):
    """A secret whose signature is right, the key that made it, and what tells it from others but proves nothing."""

    secret: Secret
    signing_key: bytes
    name: str


def fits(content: bytes) -> bool:
    """Whether the content is small enough to travel in the secret itself."""
    return len(_smaller(content)[1]) <= MAX_CONTENT_BYTES


def sign(secret: Secret, signing_key: bytes, salt: bytes) -> str:
    """The text that its bearer sends. `salt` (4 random bytes) tells secrets of one second apart."""
    form, content = (_REFERENCE, secret.content) if secret.by_reference else _smaller(secret.content)
    head = _HEAD.pack(_VERSION, _key_id(signing_key), secret.expires_at, secret.parent, salt, form)
    body = head + content
    return PREFIX + urlsafe_b64encode(body + _mac(signing_key, body)).decode().rstrip("=")


def verify(text: str, signing_keys: Sequence[bytes], now: float) -> Signed:
    """What the secret says, if it is genuine and still valid at `now`. Raises AuthError."""
    data = _bytes(text)
    body, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
    _, key_id, expires_at, parent, _, form = _HEAD.unpack_from(body)
    candidates = [key for key in signing_keys if hmac.compare_digest(_key_id(key), key_id)]
    if not candidates:
        raise _invalid(
            "was signed with a key that this server does not have: another server minted it, or the signing key is gone"
        )
    genuine = next((key for key in candidates if hmac.compare_digest(_mac(key, body), mac)), None)
    if genuine is None:
        raise _invalid("has a wrong signature: it was cut off or changed on its way")
    if now >= expires_at:
        when = datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        message = (
            f"This client secret expired at {when}. Mint another: POST /v1/realtime/client_secrets with the API key; "
            "expires_after.seconds may be up to 7200."
        )
        raise AuthError(message, code="expired_client_secret")
    content = body[_HEAD.size :]
    if form == _DEFLATED:
        content = zlib.decompress(content)
    return Signed(Secret(expires_at, parent, content, form == _REFERENCE), genuine, sha256(data).hexdigest()[:32])


def _bytes(text: str) -> bytes:
    encoded = text.removeprefix(PREFIX)
    try:
        data = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (Base64Error, ValueError):
        data = b""
    # The decoder passes over characters and bits that it does not know; a secret has one spelling only.
    genuine = PREFIX + urlsafe_b64encode(data).decode().rstrip("=") == text
    if not genuine or len(data) < _HEAD.size + _MAC_BYTES or data[0] != _VERSION:
        raise _invalid("is none that this server makes")
    return data


def _invalid(what: str) -> AuthError:
    message = f"Incorrect API key provided: this client secret {what}. Mint one at POST /v1/realtime/client_secrets."
    return AuthError(message, code="invalid_api_key")


def _smaller(content: bytes) -> tuple[int, bytes]:
    deflated = zlib.compress(content, 9)
    return (_DEFLATED, deflated) if len(deflated) < len(content) else (_PLAIN, content)


def _key_id(signing_key: bytes) -> bytes:
    return sha256(b"hark signing key" + signing_key).digest()[:4]


def _mac(signing_key: bytes, body: bytes) -> bytes:
    return hmac.digest(signing_key, b"hark client secret" + body, "sha256")[:_MAC_BYTES]
