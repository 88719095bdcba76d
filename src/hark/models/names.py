"""OpenAI's model names: which it has or had, when each was made and whose it is, as its own list of models shows them.

Rule: a name is listed here because published clients send it (contract A.7), whether or not OpenAI still serves it.
Refuses: to say what a name stands for on this server; that is the catalog's.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from hark.core.settings import ModelCard

# Usage is in tokens for the gpt-4o family and in seconds for the others (contract fact 11). The live ones commit by
# themselves; gpt-transcribe and gpt-live-transcribe name the languages that they heard (contract D.2).
OPENAI_NAMES: Final = (
    ModelCard("whisper-1", ""),
    ModelCard("gpt-4o-transcribe", "", usage="tokens"),
    ModelCard("gpt-4o-mini-transcribe", "", usage="tokens"),
    ModelCard("gpt-4o-mini-transcribe-2025-03-20", "", usage="tokens"),
    ModelCard("gpt-4o-mini-transcribe-2025-12-15", "", usage="tokens"),
    ModelCard("gpt-4o-transcribe-diarize", "", usage="tokens", diarizes=True),
    ModelCard("gpt-transcribe", "", languages=True),
    ModelCard("gpt-live-transcribe", "", live=True, languages=True),
    ModelCard("gpt-realtime-whisper", "", live=True),
    # Not OpenAI's, but asked for all the same by people who come from other servers (contract A.7).
    *(ModelCard(f"whisper-{size}", "") for size in ("tiny", "base", "small", "medium", "large-v2", "large-v3")),
    ModelCard("whisper-large-v3-turbo", ""),
)

# The models of realtime sessions that have been published. The protocol takes any name that begins like these.
SESSION_NAMES: Final = (
    "gpt-realtime",
    "gpt-realtime-2025-08-28",
    "gpt-realtime-1.5",
    "gpt-realtime-2",
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-mini",
    "gpt-realtime-mini-2025-10-06",
    "gpt-realtime-mini-2025-12-15",
    "gpt-4o-realtime-preview",
    "gpt-4o-realtime-preview-2024-10-01",
    "gpt-4o-realtime-preview-2024-12-17",
    "gpt-4o-realtime-preview-2025-06-03",
    "gpt-4o-mini-realtime-preview",
    "gpt-4o-mini-realtime-preview-2024-12-17",
)

# As seen in OpenAI's answers (contract A.7).
_CREATED: Final = {
    "whisper-1": 1_677_532_384,
    "gpt-4o-transcribe": 1_742_068_463,
    "gpt-4o-mini-transcribe": 1_742_068_596,
    "gpt-realtime": 1_756_271_701,
    "gpt-4o-realtime-preview": 1_727_659_998,
    "gpt-4o-realtime-preview-2024-10-01": 1_727_131_766,
    "gpt-4o-realtime-preview-2024-12-17": 1_733_945_430,
    "gpt-4o-realtime-preview-2025-06-03": 1_748_907_838,
    "gpt-4o-mini-realtime-preview": 1_734_387_380,
}
# 1 January 2026: clients want a number that stays, and no better one is known.
_UNDATED: Final = 1_767_225_600


def created(name: str) -> int:
    """Unix seconds: as OpenAI has it, else the date at the name's end, else a date that is the same for all."""
    if name in _CREATED:
        return _CREATED[name]
    if dated := re.search(r"-(20\d\d)-(0[1-9]|1[0-2])-(0[1-9]|[12]\d)$", name):
        year, month, day = map(int, dated.groups())
        return int(datetime(year, month, day, tzinfo=UTC).timestamp())
    return _UNDATED


def owner(name: str) -> str:
    """As OpenAI has it for its names; "hark" for all others."""
    if name == "whisper-1":
        return "openai-internal"
    known = name in SESSION_NAMES or any(card.name == name for card in OPENAI_NAMES)
    return "system" if known and name.startswith("gpt-") else "hark"
