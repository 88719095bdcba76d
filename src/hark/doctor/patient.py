"""What is known of the server so far: floors add to it, and higher ones use what lower ones found."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from hark.core.work import Audio
from hark.doctor.rules import Credential
from hark.doctor.target import Target, kind_of
from hark.protocol.wire import DialectName


@dataclass
class Patient:
    """`credential`: what the client sends, a key or a client secret; the one in its URL, where no other is given.
    `model`: the one that it asks for, if any. `audio`: some seconds of speech, mono float32 [n] at 16 kHz; None where
    there is none to send. `insecure`: take whatever certificate comes.
    """

    target: Target
    credential: str | None = None
    model: str | None = None
    dialect: DialectName = "ga"
    audio: Audio | None = None
    tls: ssl.SSLContext | None = None
    insecure: bool = False
    # What was found.
    addresses: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    secrets: dict[DialectName, str] = field(default_factory=dict)
    skew_s: float | None = None
    # The list of models is not there, and realtime sessions are.
    listless: bool = False
    # A session was opened and closed, and the server may still be about to count it out.
    had_session: bool = False

    def __post_init__(self) -> None:
        if self.credential is None:
            self.credential = next(iter(self.target.secrets), None)

    @property
    def in_header(self) -> str | None:
        """The credential as far as the client sends it in a header: one in its URL stands there already."""
        return None if self.credential in self.target.secrets else self.credential

    @property
    def kind(self) -> Credential:
        return kind_of(self.credential)

    @property
    def all_secrets(self) -> list[str]:
        """What nobody may see, as far as it is known."""
        return [secret for secret in (self.credential, *self.secrets.values(), *self.target.secrets) if secret]

    @property
    def transcriber(self) -> str | None:
        """The model to ask for: the one given, else a usual one that is there, else the server's own choice."""
        usual = ("gpt-4o-mini-transcribe", "gpt-4o-transcribe", "gpt-transcribe", "whisper-1")
        likely = [name for name in self.models if "transcri" in name or "whisper" in name]
        return self.model or next((name for name in usual if name in self.models), next(iter(likely), None))
