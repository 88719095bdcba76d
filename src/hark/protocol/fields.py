"""Every field of the API and what Hark does with it, as data; docs/api.md is written from it (`make api-table`).

Rule: each row is proven against a running server (tests/test_fields.py), and each field that OpenAI's SDK or our own
structs know has one. A row whose path ends in ".…" speaks for all that is inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

Fate = Literal["honoured", "kept", "ignored", "refused", "sent", "not sent"]
FATES: Final = get_args(Fate)
INSIDE: Final = ".…"
ANY: Final = "…"


class Row(Struct, frozen=True):
    """`event`: whose field it is, where a section has several; `code`: of the refusal."""

    path: str
    fate: Fate
    remark: str = ""
    code: str | None = None
    event: str = ""


class Section(Struct, frozen=True):
    title: str
    words: str
    rows: tuple[Row, ...]


Given: TypeAlias = tuple[Fate, str, str] | tuple[Fate, str, str, str]


def rows(*given: Given, event: str = "", under: str = "") -> Iterator[Row]:
    """A row for each path, which stand in one text; `under` is put before them."""
    for fate, paths, remark, *code in given:
        for path in paths.split():
            yield Row(f"{under}{path}", fate, remark, code[0] if code else None, event)


_NO_VOICE: Final = "nothing answers here"
_HINT: Final = "by engines that take it: see Engines"
_SILENT: Final = "not echoed either"
_INCLUDES: Final = "`item.input_audio_transcription.logprobs`; and `hark.voice_activity`, not OpenAI's"


def _heard(audio: str, transcription: str, noise: str) -> Iterator[Row]:
    """What the dialects spell differently and treat alike."""
    yield from rows(
        ("honoured", "type", "from the next append on"),
        ("honoured", "rate", "8000 to 48000; OpenAI takes 24000 alone"),
        under=f"{audio}.",
    )
    yield from rows(
        ("honoured", "model", "any name that transcribes; decides the shape of usage"),
        ("honoured", "language prompt keywords", _HINT),
        ("honoured", "languages", f"{_HINT}; not with `language`"),
        ("honoured", "delay", "how surely a word must stand before it is shown; null is `medium`"),
        under=f"{transcription}.",
    )
    yield from rows(
        ("honoured", "type", "`near_field`, `far_field`"),
        ("honoured", "strength", "0 to 1, the share of the full effect"),
        under=f"{noise}.",
    )


def _turns(path: str) -> Iterator[Row]:
    yield from rows(
        ("honoured", "type", "`server_vad`, `semantic_vad`; `none` is null"),
        ("honoured", "threshold", "0 to 1"),
        ("honoured", "prefix_padding_ms", "0 to 10000"),
        ("honoured", "silence_duration_ms", "0 to 60000; of `server_vad`"),
        ("honoured", "eagerness", "of `semantic_vad`: how long it waits for somebody who does not sound done"),
        ("honoured", "idle_timeout_ms", "5000 to 30000; of `server_vad`; once in each silence"),
        ("kept", "create_response interrupt_response", _NO_VOICE),
        ("ignored", "model_version", "agents-js sends it"),
        under=f"{path}.",
    )


_OWN: Final[Given] = ("ignored", "id object expires_at client_secret.…", "clients send back what they were told")
GA_SESSION: Final = Section(
    "Sessions, GA",
    "Inside `session`, of `session.update` and of `POST /v1/realtime/client_secrets`. Realtime fields are echoed by "
    "realtime sessions.",
    (
        *rows(("honoured", "type", "may be left out, and switched at any time")),
        *_heard("audio.input.format", "audio.input.transcription", "audio.input.noise_reduction"),
        *_turns("audio.input.turn_detection"),
        *rows(
            ("honoured", "include", _INCLUDES),
            ("kept", "model", "set once; a realtime model"),
            ("kept", "audio.output.format.… audio.output.voice.… audio.output.speed", _NO_VOICE),
            ("kept", "output_modalities instructions max_output_tokens", _NO_VOICE),
            ("kept", "tools.… tool_choice.… tracing.… truncation.… prompt.…", _NO_VOICE),
            ("ignored", "parallel_tool_calls reasoning.…", _SILENT),
            ("ignored", "modalities voice output_audio_format temperature max_response_output_tokens speed",
             "the beta dialect's, read here too"),
            _OWN,
            ("refused", ANY, "any other field; nothing of the update is applied", "unknown_parameter"),
        ),
    ),
)  # fmt: skip
BETA_SESSION: Final = Section(
    "Sessions, beta",
    "Inside `session`, of `transcription_session.update` and `session.update`, or at its top level; and the body of "
    "`POST /v1/realtime/transcription_sessions` and `POST /v1/realtime/sessions`.",
    (
        *rows(("honoured", "input_audio_format", "a name, or GA's object")),
        *_heard("input_audio_format", "input_audio_transcription", "input_audio_noise_reduction"),
        *_turns("turn_detection"),
        *rows(
            ("honoured", "include", _INCLUDES),
            ("kept", "model", "set once; a realtime model"),
            ("kept", "modalities instructions voice output_audio_format temperature speed", _NO_VOICE),
            ("kept", "max_response_output_tokens tools.… tool_choice.… tracing.…", _NO_VOICE),
            ("ignored", "prompt.… truncation.… output_modalities max_output_tokens parallel_tool_calls reasoning.…",
             "GA's, read here too; not echoed"),
            _OWN,
            ("refused", ANY, "any other field; nothing of the update is applied", "unknown_parameter"),
        ),
    ),
)  # fmt: skip
GA_MINTING: Final = Section(
    "Minting, GA",
    "`POST /v1/realtime/client_secrets`. `session` is that of the GA dialect, above.",
    tuple(
        rows(
            ("honoured", "session.type", "and all else of a session"),
            ("honoured", "expires_after.anchor", "must be there; `created_at`"),
            ("honoured", "expires_after.seconds", "10 to 7200"),
            ("honoured", "expires_in", "not OpenAI's; the same in one number"),
            ("honoured", "model language", "not OpenAI's here; of the transcription, or of the session"),
            ("honoured", "vad vad.enabled", "not OpenAI's; off means no turn detection"),
            ("refused", ANY, "any other field", "unknown_parameter"),
        )
    ),
)
BETA_MINTING: Final = Section(
    "Minting, beta",
    "`POST /v1/realtime/transcription_sessions` and `POST /v1/realtime/sessions`: the session's fields, above, and",
    tuple(
        rows(
            ("honoured", "client_secret.expires_at.anchor client_secret.expires_after.anchor", "must be there"),
            ("honoured", "client_secret.expires_at.seconds client_secret.expires_after.seconds", "10 to 7200"),
            ("honoured", "expires_after.anchor expires_after.seconds expires_in", "the same, where people put it"),
            ("honoured", "language", "not OpenAI's here; of the transcription"),
            ("honoured", "vad vad.enabled", "not OpenAI's; off means no turn detection"),
            ("refused", ANY, "any other field", "unknown_parameter"),
        )
    ),
)
CONNECT: Final = Section(
    "Connecting",
    "The query of the WebSocket.",
    tuple(
        rows(
            ("honoured", "model intent deployment api-version", "see protocol.md, URLs and the handshake"),
            ("honoured", "resume after", "not OpenAI's: see protocol.md, Coming back"),
            ("honoured", "authorization api-key access_token", "a key or a client secret"),
            ("honoured", "call_id", "of a call by WebRTC, to listen and speak beside it"),
            ("ignored", ANY, "anything else"),
        )
    ),
)
CALLS: Final = Section(
    "WebRTC",
    "`POST /v1/realtime/calls`, as parts of a form or in JSON; an SDP offer may also stand alone. The query is that "
    "of the WebSocket.",
    tuple(
        rows(
            ("honoured", "sdp", "the offer"),
            (
                "honoured",
                "session.…",
                "see Sessions; either dialect's shape; also wrapped once more",
            ),
        )
    ),
)
FORM: Final = Section(
    "Uploads",
    "The form of `POST /v1/audio/transcriptions`.",
    tuple(
        rows(
            ("honoured", "file", "any container that FFmpeg reads"),
            ("honoured", "model", "any name that transcribes; decides which forms of answer there are"),
            ("honoured", "response_format", "`json`, `text`, `srt`, `verbose_json`, `vtt`, `diarized_json`"),
            ("honoured", "stream", "server-sent events; not for `whisper-1`"),
            ("honoured", "language languages", f"ISO 639-1; {_HINT}"),
            ("honoured", "prompt keywords", _HINT),
            ("kept", "temperature", "0 to 1; no effect; echoed in segments"),
            ("honoured", "include", "`logprobs`, with `json`"),
            ("honoured", "timestamp_granularities", "with `verbose_json`"),
            ("honoured", "chunking_strategy chunking_strategy.type", "`auto`, or an object"),
            ("honoured", "chunking_strategy.threshold", "0 to 1"),
            ("honoured", "chunking_strategy.prefix_padding_ms", "0 to 10000"),
            ("honoured", "chunking_strategy.silence_duration_ms", "0 to 60000"),
            (
                "honoured",
                "known_speaker_names known_speaker_references",
                "at most 4, of 2 to 10 s; diarized only",
            ),
            ("ignored", ANY, "anything else"),
        )
    ),
)
MODEL: Final = Section(
    "Models",
    "The objects of `GET /v1/models`.",
    tuple(rows(("sent", "id created object owned_by", ""), ("not sent", "shutdown_date", "no name here is retired"))),
)
