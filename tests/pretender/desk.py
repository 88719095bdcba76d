"""Who may come in: the one API key, the client secrets that were minted, and what the account may use.

Rule: raises the Refusal that OpenAI would send. A client secret opens sessions and nothing else.
"""

import secrets
import time
from dataclasses import dataclass

from pretender import shapes, texts

LIFETIME_S = {"ga": 600, "beta": 60}
SUBPROTOCOL_KEY = "openai-insecure-api-key."
QUOTA = {
    "insufficient_quota": texts.GUESSED_INSUFFICIENT_QUOTA,
    "credit_balance_exhausted": texts.GUESSED_CREDIT_BALANCE_EXHAUSTED,
    "rate_limit_exceeded": texts.GUESSED_RATE_LIMIT,
}


@dataclass(frozen=True)
class Secret:
    value: str
    dialect: str
    kind: str
    model: str | None
    configuration: dict
    expires_at: int


def shown(headers, subprotocols=()):
    """The credential of a request, None if there is none. A query is not looked at."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value:
        return value
    offered = [name.removeprefix(SUBPROTOCOL_KEY) for name in subprotocols if name.startswith(SUBPROTOCOL_KEY)]
    return offered[0] if offered else None


class Desk:
    def __init__(self, switches, key):
        self._switches, self._key = switches, key
        self._secrets = {}

    def admit_key(self, credential):
        """To what takes API keys alone."""
        if credential is None:
            raise texts.NO_KEY
        if credential != self._key:
            raise incorrect(credential)
        self._spend()

    def admit(self, credential):
        """To a session; the client secret, or None for the API key."""
        if credential is None:
            raise texts.NO_KEY
        secret = self._secrets.get(credential)
        barred = "secrets" if secret is None else "keys"
        if (secret is None and credential != self._key) or self._switches.sessions_take == barred:
            raise incorrect(credential)
        if secret is not None and (self._switches.secrets == "expired" or secret.expires_at < time.time()):
            raise texts.GUESSED_SECRET_EXPIRED
        self._spend()
        return secret

    def _spend(self):
        if self._switches.quota != "left":
            raise QUOTA[self._switches.quota]

    def may_use(self, model):
        if model is not None and self._switches.access == "refused":
            raise texts.NO_ACCESS.said(project="proj_pretender", model=model)

    def mint(self, dialect, kind, model, configuration, lifetime_s=None):
        """A new secret and the `expires_at` that is told of it."""
        until = int(time.time()) + (lifetime_s or LIFETIME_S[dialect])
        secret = Secret(f"ek_{secrets.token_hex(16)}", dialect, kind, model, configuration, until)
        self._secrets[secret.value] = secret
        told = {"true": until, "zero": 0, "past": int(time.time()) - 3600}
        return secret, told[self._switches.announced_expiry]

    def models(self):
        """The names that are listed."""
        kept = {
            "all": (shapes.TRANSCRIPTION_MODELS, shapes.REALTIME_MODELS, shapes.PREVIEW_MODELS),
            "no_transcription": (shapes.REALTIME_MODELS, shapes.PREVIEW_MODELS),
            "no_realtime": (shapes.TRANSCRIPTION_MODELS,),
            "none": (),
        }
        return [name for names in kept[self._switches.models] for name in names]


def incorrect(credential):
    return texts.WRONG_KEY.said(masked=texts.mask(credential))
