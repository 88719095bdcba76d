"""Credentials -> Principal, and a Principal's new client secrets.

Rule: where a key exists, HARK_API_KEY's or one of the store, a caller must send one, or a secret minted with one; where
none does, any credential or none will do, for clients insist on sending something. A secret is as good as the key that
minted it: when that is revoked, changed or expired, it ends too. Comparison takes the same time for every wrong key. A
message shows at most the ends of what was sent.
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Callable, Sequence

from msgspec import Struct, structs

from hark.auth import secrets
from hark.auth.places import Place, Signing, signing_at, store_at
from hark.auth.principal import ANONYMOUS, OWN_KEY, Principal, mask
from hark.auth.secrets import NO_PARENT, PARENT_BYTES, Secret, Signed
from hark.auth.store import StoredKey
from hark.errors import AuthError, OperatorError


class Minted(Struct, frozen=True):
    """A client secret, and when it expires, in Unix seconds."""

    value: str
    expires_at: int


class Keys:
    """The one key of HARK_API_KEY, if set, and those that are kept at `place`. `clock` gives Unix seconds."""

    def __init__(self, key: str | None, place: Place, clock: Callable[[], float] = time.time) -> None:
        self._key = key.encode() if key else None
        self.place = place
        self._store = store_at(place)
        self._signing = signing_at(place, clock)
        self._clock = clock
        self._required = self._key is not None
        self._had_keys = False  # the store, ever since

    @property
    def required(self) -> bool:
        """Whether a credential is asked for. Once it is, it stays so, whatever becomes of the store. May wait for who
        holds the store. Raises StorageError where it cannot be known."""
        return self._is_required()

    @property
    def required_at_once(self) -> bool:
        """The same, and waits for nobody: for the event loop."""
        return self._is_required(patience_s=0.0)

    @property
    def signing(self) -> Signing:
        """What signs client secrets."""
        return self._signing

    def _is_required(self, **patience_s: float) -> bool:
        if not self._required and self._store.has_keys(**patience_s):
            self._required = self._had_keys = True
        return self._required

    def check(self) -> None:
        """Raises OperatorError where a server cannot begin with what is kept: one that cannot know its keys must not
        let anybody in."""
        self._store.check()

    def keep_locked(self, key: str | None) -> None:
        """Raises OperatorError if a server that asks for a key would ask for none with this one: a file that is empty
        for a moment must not open it."""
        if self.required and not key and not self._store.has_keys():
            raise OperatorError("They hold no key, and this server asks for one. Restart it to serve without.")

    def change(self, key: str | None) -> None:
        """Another one key, or none. Client secrets of the former one end with it; what is open goes on."""
        self._key = key.encode() if key else None
        self._required = self._required or self._key is not None

    def own(self, credentials: Sequence[str]) -> Principal | None:
        """Who sent the key of HARK_API_KEY before any other, for whom no store has to be asked."""
        return Principal("key", OWN_KEY) if credentials and self._is_own(credentials[0]) else None

    def admit(self, credentials: Sequence[str]) -> Principal:
        """Whoever sent these. May wait for who holds the store. Raises AuthError, and StorageError if it is broken, or
        has lost its keys."""
        required, faults = self.required, list[AuthError]()
        for candidate in credentials:
            try:
                if candidate.startswith(secrets.PREFIX) and not self._is_own(candidate):
                    return self._by_secret(candidate, required=required)
                if required:
                    return self._by_key(candidate)
            except AuthError as fault:
                faults.append(fault)
        if required and not faults:
            raise AuthError("Missing bearer or basic authentication in header: this server asks for its API key.")
        # Without keys a stranger's credential means nothing; a secret of ours that has expired means a mistake.
        told = faults if required else [fault for fault in faults if fault.code == "expired_client_secret"]
        if told:
            raise min(told, key=lambda fault: fault.code == "invalid_api_key")
        return ANONYMOUS

    def mint(self, who: Principal, content: bytes, seconds: int) -> Minted:
        """A client secret that carries `content`. Raises AuthError for who holds only a secret himself."""
        if who.by_secret:
            message = "A client secret cannot mint another one. Send the API key, from your own server."
            raise AuthError(message, code="invalid_api_key")
        now = self._clock()
        signing_key, expires_at = self._signing.to_sign(), int(now) + seconds
        parent = self._own_id(signing_key) if who.key_id == OWN_KEY else bytes.fromhex(who.key_id) or NO_PARENT
        secret = Secret(expires_at, parent, content)
        if not secrets.fits(content):
            reference = self._store.keep(content, expires_at, now)
            secret = structs.replace(secret, content=reference, by_reference=True)
        return Minted(secrets.sign(secret, signing_key, os.urandom(secrets.SALT_BYTES)), expires_at)

    def _by_key(self, candidate: str) -> Principal:
        if self._is_own(candidate):
            return Principal("key", OWN_KEY)
        found = self._store.by_key(candidate)
        if found is None:
            self._check_store()
            message = f"Incorrect API key provided: {mask(candidate)}. Send a key of this server."
            raise AuthError(message, code="invalid_api_key")
        return self._valid(found, "This API key")

    def _by_secret(self, candidate: str, *, required: bool) -> Principal:
        signed = secrets.verify(candidate, self._signing.to_verify(), self._clock())
        who = self._parent(signed) if required else ANONYMOUS
        content: bytes | None = signed.secret.content
        if signed.secret.by_reference:
            content = self._store.kept(signed.secret.content)
            if content is None:
                message = "The configuration of this client secret is not on this server. Mint another one."
                raise AuthError(message, code="invalid_api_key")
        return structs.replace(who, configuration=content, secret=signed.name)

    def _parent(self, signed: Signed) -> Principal:
        parent = signed.secret.parent
        if self._key is not None and hmac.compare_digest(parent, self._own_id(signed.signing_key)):
            return Principal("key", OWN_KEY)
        found = self._store.by_id(parent.hex())
        if found is None:
            self._check_store()
            message = "The API key behind this client secret is no key of this server. Mint another with one that is."
            raise AuthError(message, code="invalid_api_key")
        return self._valid(found, "The API key behind this client secret")

    def _check_store(self) -> None:
        """A client takes "no such key" for final. Raises StorageError where the fault is the store's."""
        if self._had_keys and not self._store.has_keys():
            raise self._store.lost()

    def _valid(self, key: StoredKey, which: str) -> Principal:
        self._had_keys = True
        if key.revoked_at is not None:
            raise AuthError(f"{which} was revoked. Use another one.", code="invalid_api_key")
        if key.expires_at is not None and self._clock() >= key.expires_at:
            raise AuthError(f"{which} expired. Have another made: hark keys create.", code="expired_api_key")
        return Principal(key.name, key.id, key.origins, key.max_sessions, key.audio_minutes_per_hour)

    def _is_own(self, candidate: str) -> bool:
        return self._key is not None and hmac.compare_digest(candidate.encode(), self._key)

    def _own_id(self, signing_key: bytes) -> bytes:
        """HARK_API_KEY's id in a secret, from which nobody can guess the key: people choose short ones."""
        return hmac.digest(signing_key, b"hark api key" + (self._key or b""), "sha256")[:PARENT_BYTES]


def create_key(
    place: Place,
    name: str,
    now: float,
    *,
    expires_at: int | None = None,
    origins: Sequence[str] = (),
    max_sessions: int | None = None,
    audio_minutes_per_hour: int | None = None,
) -> str:
    """Make a key and keep its hash; the key, which nobody can show again. Raises OperatorError if the name is taken."""
    key = "sk-hark-" + os.urandom(24).hex()
    entry = StoredKey(
        id=os.urandom(PARENT_BYTES).hex(),
        name=name,
        created_at=int(now),
        expires_at=expires_at,
        origins=tuple(origins),
        max_sessions=max_sessions,
        audio_minutes_per_hour=audio_minutes_per_hour,
    )
    store_at(place).add(entry, key)
    return key


def revoke_key(place: Place, name: str, now: float) -> None:
    """From now on neither the key nor its secrets are admitted. Raises OperatorError if there is none of this name."""
    if not store_at(place).revoke(name, now):
        raise OperatorError(f"There is no key named '{name}' to revoke. `hark keys list` shows those that there are.")
