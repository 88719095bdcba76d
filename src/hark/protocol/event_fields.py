"""The fields of events and answers, for docs/api.md; see fields.py, whose rules these rows follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hark.protocol.fields import ANY, Given, Row, Section, rows
from hark.protocol.wire import CLIENT_EVENTS

_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"
_NO_VOICE: Final = "nothing answers here"
_ITEM: Final = "id object type status role content.type content.transcript"
_CREATED_ITEM: Final[Given] = ("sent", "item.…", "what else stands in an item that the client created")


def _of(event: str, *given: Given) -> Iterator[Row]:
    yield from rows(*given, event=event)


CLIENT: Final = Section(
    "Client events",
    "Each has `type` and may have `event_id`, which comes back in an `error` that it causes.",
    (
        *(row for event in CLIENT_EVENTS for row in _of(event, ("honoured", "type event_id", ""))),
        *_of("input_audio_buffer.append", ("honoured", "audio", "base64, at most 15 MiB of audio")),
        *_of("session.update", ("honoured", "session", "see Sessions; either dialect's shape")),
        *_of("transcription_session.update", ("honoured", "session", "see Sessions, beta")),
        *_of("conversation.item.retrieve", ("honoured", "item_id", "")),
        *_of("conversation.item.delete", ("honoured", "item_id", "")),
        *_of(
            "conversation.item.truncate",
            ("refused", "item_id content_index audio_end_ms", "there is no model speech to cut", "invalid_value"),
        ),
        *_of(
            "conversation.item.create",
            ("honoured", "previous_item_id", "`root` is the beginning"),
            ("kept", "item.…", "as it came, audio left out; nothing is transcribed"),
        ),
        *_of("response.create", ("ignored", "response.…", "the response fails at once; no language model")),
        *_of("response.cancel", ("ignored", "response_id", "there is nothing to cancel")),
    ),
)
_FAILED: Final = "status_details.type status_details.error.type status_details.error.code status_details.error.message"
_DONE: Final = " ".join(f"response.{name}" for name in f"id object status output usage {_FAILED}".split())
_NEVER: Final = (
    "conversation.created", "conversation.item.truncated", "input_audio_buffer.dtmf_event_received",
    "output_audio_buffer.started", "output_audio_buffer.stopped",
    "output_audio_buffer.cleared", "rate_limits.updated", "mcp_list_tools.in_progress", "mcp_list_tools.completed",
    "mcp_list_tools.failed",
)  # fmt: skip
_NEVER_RESPONSES: Final = (
    "output_audio.delta", "output_audio.done", "output_audio_transcript.delta", "output_audio_transcript.done",
    "output_text.delta", "output_text.done", "output_item.added", "output_item.done", "content_part.added",
    "content_part.done", "function_call_arguments.delta", "function_call_arguments.done", "mcp_call.in_progress",
    "mcp_call.completed", "mcp_call.failed", "mcp_call_arguments.delta", "mcp_call_arguments.done", "audio.delta",
    "audio.done", "audio_transcript.delta", "audio_transcript.done", "text.delta", "text.done",
)  # fmt: skip
_WHY: Final = {
    "conversation.item.truncated": "a truncation is refused",
    "conversation.created": "no client needs it",
    "rate_limits.updated": "there are none",
    "input_audio_buffer.dtmf_event_received": "there is no telephone",
}
_RESUMED: Final[Given] = (
    "sent", "resumed.audio_end_ms resumed.events_missed", "not OpenAI's: only to a client that came back",
)  # fmt: skip
_SERVER: Final[dict[str, tuple[Given, ...]]] = {
    "error": (("sent", "error.type error.code error.message error.param error.event_id", ""),),
    "session.created": (("sent", "session.…", "see Sessions"), _RESUMED),
    "session.updated": (("sent", "session.…", "see Sessions"),),
    "transcription_session.created": (("sent", "session.…", "see Sessions, beta; `client_secret` is null"), _RESUMED),
    "transcription_session.updated": (("sent", "session.…", "see Sessions, beta; `client_secret` is null"),),
    "input_audio_buffer.speech_started": (("sent", "audio_start_ms item_id", ""),),
    "input_audio_buffer.speech_stopped": (("sent", "audio_end_ms item_id", ""),),
    "input_audio_buffer.timeout_triggered": (
        ("sent", "audio_start_ms audio_end_ms item_id", "of the silence, after `idle_timeout_ms`"),
    ),
    "hark.voice_activity": (
        ("sent", "audio_start_ms window_ms probabilities", "not OpenAI's: the whole event; only if `include` asks"),
    ),
    "input_audio_buffer.committed": (("sent", "previous_item_id item_id", ""),),
    "input_audio_buffer.cleared": (),
    "conversation.item.deleted": (("sent", "item_id", ""),),
    f"{_TRANSCRIPTION}.delta": (
        ("sent", "item_id content_index delta", ""),
        ("sent", "logprobs.token logprobs.logprob logprobs.bytes", "if `include` asks"),
    ),
    f"{_TRANSCRIPTION}.completed": (
        ("sent", "item_id content_index transcript", ""),
        ("sent", "usage.type usage.seconds usage.total_tokens usage.input_tokens usage.output_tokens", "two shapes"),
        ("sent", "usage.input_token_details.text_tokens usage.input_token_details.audio_tokens", ""),
        ("sent", "logprobs.token logprobs.logprob logprobs.bytes", "if `include` asks"),
        ("sent", "languages.code", "for the models that tell them"),
        ("sent", "start_ms end_ms", "not OpenAI's: the part of the audio that the item stands for"),
        ("sent", "words.word words.start_ms words.end_ms", "not OpenAI's: where the engine tells when words were said"),
    ),
    f"{_TRANSCRIPTION}.segment": (
        ("sent", "item_id content_index id text", "for models whose name ends in `-diarize`"),
        ("sent", "speaker", "`A`, `B`, …"),
        ("sent", "start end", "seconds on the session's clock"),
    ),
    f"{_TRANSCRIPTION}.failed": (
        ("sent", "item_id content_index error.type error.message", ""),
        ("sent", "error.code", "left out where it is null"),
        ("not sent", "error.param", "left out where it is null, which is always"),
    ),
    "response.created": (("sent", "response.id response.object response.status response.output response.usage", ""),
                         ("sent", "response.status_details", "null"),
                         ("not sent", "response.…", _NO_VOICE)),
    "response.done": (
        ("sent", _DONE, "failed: `no_language_model`"),
        ("not sent", "response.…", _NO_VOICE),
    ),
    **{
        f"conversation.item.{step}": (
            ("sent", " ".join(f"item.{name}" for name in _ITEM.split()), ""),
            *((("sent", "previous_item_id", ""),) if step != "retrieved" else ()),
            *((("sent", "item.content.audio", "of turns up to 30 s; not over WebRTC"),) if step == "retrieved" else ()),
            _CREATED_ITEM,
        )
        for step in ("added", "done", "created", "retrieved")
    },
}  # fmt: skip
SERVER: Final = Section(
    "Server events",
    "Each has `type` and an `event_id` of its own.",
    (
        *(row for event, given in _SERVER.items() for row in _of(event, ("sent", "type event_id", ""), *given)),
        *(row for event in _NEVER for row in _of(event, ("not sent", ANY, _WHY.get(event, _NO_VOICE)))),
        *(row for name in _NEVER_RESPONSES for row in _of(f"response.{name}", ("not sent", ANY, _NO_VOICE))),
    ),
)
MINTED: Final = Section(
    "Answers of minting",
    "",
    (
        *_of("client_secrets", ("sent", "value expires_at session.…", "see Sessions")),
        *_of("transcription_sessions", ("sent", "client_secret.value client_secret.expires_at", ""),
             ("sent", ANY, "the session, flat: see Sessions, beta")),
        *_of("sessions", ("sent", "client_secret.value client_secret.expires_at", ""),
             ("sent", ANY, "the session, flat: see Sessions, beta")),
    ),
)  # fmt: skip
_USAGE: Final[tuple[Given, ...]] = (
    ("sent", "usage.type usage.total_tokens usage.input_tokens usage.output_tokens", ""),
    ("sent", "usage.input_token_details.text_tokens usage.input_token_details.audio_tokens", ""),
)
_LOGPROBS: Final[Given] = ("sent", "logprobs.token logprobs.logprob logprobs.bytes", "if `include` asks")
_LANGUAGES: Final[Given] = ("sent", "languages.code", "for the models that tell them")
TRANSCRIPTS: Final = Section(
    "Answers to uploads",
    "By `response_format`, and by the type of a stream's frame.",
    (
        *_of("json", ("sent", "text usage.seconds", ""), *_USAGE, _LOGPROBS, _LANGUAGES),
        *_of(
            "verbose_json",
            ("sent", "task language duration text usage.type usage.seconds", ""),
            ("sent", "segments.id segments.seek segments.start segments.end segments.text segments.temperature", ""),
            ("sent", "segments.avg_logprob segments.compression_ratio", "computed"),
            ("sent", "segments.no_speech_prob", "0 where the engine does not tell"),
            ("sent", "segments.tokens", "always empty"),
            ("sent", "words.word words.start words.end", "estimates, where the engine does not time words"),
        ),
        *_of(
            "diarized_json",
            ("sent", "text task duration usage.seconds segments.type segments.id segments.start segments.end", ""),
            *_USAGE,
            ("sent", "segments.text", ""),
            ("sent", "segments.speaker", "`A`, `B`, …, or a known speaker's name"),
        ),
        *_of("transcript.text.delta", ("sent", "type delta", ""), _LOGPROBS,
             ("not sent", "segment_id", "deltas belong to no segment")),
        *_of("transcript.text.segment", ("sent", "type id start end text", ""),
             ("sent", "speaker", "`A`, `B`, …, or a known speaker's name")),
        *_of("transcript.text.done", ("sent", "type text", ""), *_USAGE, _LOGPROBS, _LANGUAGES),
    ),
)  # fmt: skip
