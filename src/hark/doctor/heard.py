"""The audio of a log: how much was sent, in which format the session heard it, and whether it is that.

Rule: a log that keeps the audio (a HAR file does) has its first sound looked at, as the server's own log does; one that
keeps only its size is measured.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pybase64
from msgspec import Struct

from hark.audio.formats import Encoding
from hark.audio.mistakes import Listener
from hark.doctor.shapes import mapping

if TYPE_CHECKING:
    from hark.doctor.logs import Conversation

MOST_RATE: Final = 384_000
_SIZE: Final = re.compile(r"(\d+) characters of base64")
_ENCODINGS: Final[dict[str, Encoding]] = {
    "audio/pcm": "pcm16", "pcm16": "pcm16", "audio/pcmu": "g711_ulaw", "g711_ulaw": "g711_ulaw",
    "audio/pcma": "g711_alaw", "g711_alaw": "g711_alaw",
}  # fmt: skip


class Audio(Struct, frozen=True):
    """`seconds`: at the session's rate. `elsewhere`: it came by WebRTC, of which no log tells. `turn_detection` and
    `transcription`: whether the session has them, None where the log does not say.
    """

    appends: int
    seconds: float
    elsewhere: bool
    mistake: str | None
    turn_detection: bool | None
    transcription: bool | None

    @property
    def did(self) -> str:
        return "spoke over WebRTC" if self.elsewhere and not self.appends else f"sent {self.seconds:.1f} s of audio"


def hear(talk: Conversation, session: dict[str, Any]) -> Audio:
    given = mapping(mapping(session["audio"]).get("input")) if "audio" in session else session
    encoding, rate = _format(given)
    listener, mistake, size, appends = Listener(encoding), None, 0, 0
    for entry in talk.entries:
        event = entry.event or {}
        if entry.direction != "sent" or event.get("type") != "input_audio_buffer.append":
            continue
        appends += 1
        audio = str(event.get("audio") or "")
        if told := _SIZE.fullmatch(audio):
            size += int(told[1]) * 3 // 4
            continue
        try:
            data = pybase64.b64decode(audio)
        except ValueError:
            continue
        size += len(data)
        mistake = mistake or listener.look(data)
    width = 2 if encoding == "pcm16" else 1
    return Audio(
        appends=appends,
        seconds=size / width / rate,
        elsewhere="/calls" in talk.asked.path,
        mistake=mistake,
        turn_detection=_has(given, "turn_detection"),
        transcription=_has(given, "transcription", "input_audio_transcription"),
    )


def _format(given: dict[str, Any]) -> tuple[Encoding, int]:
    told = given.get("format") or given.get("input_audio_format") or "pcm16"
    name, rate = (told.get("type"), told.get("rate")) if isinstance(told, dict) else (told, None)
    encoding = _ENCODINGS.get(str(name), "pcm16")
    usual = 24_000 if encoding == "pcm16" else 8_000
    return encoding, rate if isinstance(rate, int) and 0 < rate <= MOST_RATE else usual


def _has(given: dict[str, Any], *names: str) -> bool | None:
    return next((given[name] is not None for name in names if name in given), None)
