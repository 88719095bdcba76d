"""How the pretender misbehaves: one switch for each way in which OpenAI's servers, or what stands before them, refused
or misled people. With none set it is OpenAI's service as of autumn 2026.

Rule: what OpenAI always does (403 for a wrong path, a token in the query ignored, a client secret that opens no
/v1/models, rates under 24,000 refused) needs no switch.
"""

from dataclasses import dataclass
from typing import Literal

Proxy = Literal[
    "page",  # 200 and HTML for everything: a login page, a start page
    "not_found",  # 404 and HTML
    "upgrade_400",  # HTTP passes, a WebSocket's handshake has lost its Upgrade
    "upgrade_426",
    "upgrade_200",
    "bad_gateway",  # 502 and HTML
    "gateway_timeout",  # 504 and HTML
    "to_https",  # 301 to the same address with https
    "elsewhere",  # 302 to another path
]


@dataclass(frozen=True, kw_only=True)
class Switches:
    """Contract sections in brackets; S0 to S4 are the five questions of G.3."""

    beta: Literal["on", "off"] = "off"
    """Whether the beta API answers. "on" is mid-2025 to spring 2026, when both did [B.3]."""

    # -- credentials
    sessions_take: Literal["both", "secrets", "keys"] = "both"
    """What opens a session, by WebSocket or SDP. "keys": every ek_ is called an incorrect key, as in S3 [H.2];
    "secrets": every API key is, as S0 has it."""
    secrets: Literal["live", "expired"] = "live"
    """"expired": each is past its time when it is used. OpenAI's text for that is not known [A.9]."""
    announced_expiry: Literal["true", "zero", "past"] = "true"
    """What `expires_at` beside a minted secret says. The secret works whatever it says [A.3, H.1]."""
    minted: Literal["secret", "nothing"] = "secret"
    """"nothing": minting answers 200 without a client secret."""

    # -- account and models
    quota: Literal["left", "insufficient_quota", "credit_balance_exhausted", "rate_limit_exceeded"] = "left"
    """What HTTP tells with 429 and a WebSocket before it closes; texts and close code are not known [B.3]."""
    models: Literal["all", "none", "no_transcription", "no_realtime"] = "all"
    """What /v1/models lists. No list says what a key may use."""
    access: Literal["granted", "refused"] = "granted"
    """"refused": the project may use no model; on a WebSocket the same text is assumed [S0]."""

    # -- connections
    intent_with_model: Literal["model_wins", "refused"] = "model_wins"
    """Both in one URL: refused until mid-2026; since then `model` wins, and the update for transcription is refused and
    closes with 4000 [B.3]."""
    offers: Literal["answered", "refused_401", "refused_empty"] = "answered"
    """What an SDP offer with a client secret gets: an answer, S3's 401, or S4's 400 of empty strings [A.4, A.5]."""
    greeting: bool = True
    """False: the WebSocket is accepted and nothing is ever said on it."""
    updates: Literal["answered", "ignored"] = "answered"
    """"ignored": no update is ever acknowledged."""

    # -- transcripts
    transcripts: Literal["completed", "deltas_only", "failed", "none"] = "completed"
    """"deltas_only": no `completed` ever comes; "none": nothing comes after the item."""
    session_expires: bool = False
    """Whether the first audio meets the session's longest time [B.4]."""

    # -- between the client and OpenAI
    proxy: Proxy | None = None
    clock_skew_s: int = 0
    """How far ahead the `Date` of answers is."""
    cors: bool = True
    """False: no answer lets a page of another origin read it, and no preflight succeeds."""
    tls: Literal["good", "wrong_host", "expired"] | None = None
    """The certificate is self-signed; a client that trusts `Pretender.certificate` sees only this fault of it."""
