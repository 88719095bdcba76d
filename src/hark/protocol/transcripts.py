"""What was heard in a file -> the answers of /v1/audio/transcriptions (contract A.8).

A turn is a segment. Its times are those of the session. Where the engine does not time words, their times are
estimates: the turn's speech, shared out in proportion to the number of characters.

Rule: whatever the form of the answer, its text is the same: the turns, joined with spaces; and the deltas of a stream
join to it exactly.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from math import ceil
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from hark.core import messages as m
from hark.core.languages import LANGUAGES
from hark.core.messages import Event, TranscriptCompleted, TranscriptDelta, Usage
from hark.core.settings import Json
from hark.core.work import Token
from hark.protocol import events
from hark.protocol.answers import (
    DiarizedTranscript,
    DurationUsage,
    Language,
    LogProb,
    Segment,
    SpeakerSegment,
    TextDelta,
    TextDone,
    Transcript,
    VerboseTranscript,
    Word,
    told,
)
from hark.protocol.subtitles import Spoken, to_srt, to_vtt
from hark.protocol.uploads import Upload

_PLAIN: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"


class Answer(Struct, frozen=True):
    media_type: str
    body: str


class Heard:
    """The turns of a file that have words, as they come."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._turns: list[TranscriptCompleted] = []
        self._segments: list[SpeakerSegment] = []
        self._speaking: str | None = None  # the item of the last delta

    @property
    def text(self) -> str:
        return " ".join(turn.transcript for turn in self._turns)

    def stream(self, event: Event) -> list[Json]:
        """Take an event in; the frames that it gives in a stream."""
        match event:
            case TranscriptDelta() if self._upload.response_format != "diarized_json":
                return [told(self._delta(event))]
            case m.SpeakerSegment() if self._upload.response_format == "diarized_json":
                self._segments.append(_segment(event))
                return [told(self._segments[-1])]
            case TranscriptCompleted() if event.transcript:
                self._turns.append(event)
        return []

    def done(self, duration_ms: int) -> Json:
        """The last frame of a stream. Its usage is in tokens for every model: the official type has no other."""
        usage = events.token_usage(self._usage(duration_ms))
        return told(TextDone(self.text, usage, self._logprobs(), self._told_languages()))

    def answer(self, duration_ms: int) -> Answer:
        """All at once, in the form that was asked for."""
        spoken = [Spoken(turn.audio_start_ms, turn.audio_end_ms, turn.transcript) for turn in self._turns]
        match self._upload.response_format:
            case "text":
                return Answer(_PLAIN, self.text + "\n")
            case "srt":
                return Answer(_PLAIN, to_srt(spoken, duration_ms) or "\n")
            case "vtt":
                return Answer(_PLAIN, to_vtt(spoken, duration_ms))
            case "verbose_json":
                return _json(self._verbose(duration_ms))
            case "diarized_json":
                usage = events.usage(self._usage(duration_ms))
                return _json(DiarizedTranscript(self.text, "transcribe", duration_ms / 1000, self._segments, usage))
            case _:
                usage = events.usage(self._usage(duration_ms))
                return _json(Transcript(self.text, usage, self._logprobs(), self._told_languages()))

    def _delta(self, event: TranscriptDelta) -> TextDelta:
        new_turn = event.item_id != self._speaking and self._speaking is not None
        self._speaking = event.item_id
        gap = " " if new_turn else ""
        tokens = _after(gap, event.tokens) if self._upload.logprobs and event.tokens else ()
        return TextDelta(gap + event.text, events.logprobs(tokens) if tokens else UNSET)

    def _logprobs(self) -> list[LogProb] | UnsetType:
        if not self._upload.logprobs:
            return UNSET
        turns = [_after(" " if number else "", turn.tokens or ()) for number, turn in enumerate(self._turns)]
        return events.logprobs([token for tokens in turns for token in tokens])

    def _told_languages(self) -> list[Language] | UnsetType:
        if not self._upload.card.languages:
            return UNSET
        return [Language(code) for code, _ in self._languages().most_common()]

    def _verbose(self, duration_ms: int) -> VerboseTranscript:
        asked, wanted = self._upload.settings.transcription, self._upload.granularities
        heard = self._languages().most_common(1)
        code = heard[0][0] if heard else asked.language if asked else None
        return VerboseTranscript(
            task="transcribe",
            language=LANGUAGES.get(code or "", code or "unknown"),
            duration=duration_ms / 1000,
            text=self.text,
            segments=[self._segment(*turn) for turn in enumerate(self._turns)] if "segment" in wanted else UNSET,
            words=list(self._words(duration_ms)) if "word" in wanted else UNSET,
            usage=DurationUsage(ceil(duration_ms / 1000)),  # the official type has no other
        )

    def _segment(self, number: int, turn: TranscriptCompleted) -> Segment:
        text = turn.transcript.encode()
        logprobs = [token.logprob for token in turn.tokens or () if token.logprob is not None]
        return Segment(
            id=number,
            seek=turn.audio_start_ms // 10,  # Whisper counts in frames of 10 ms
            start=turn.audio_start_ms / 1000,
            end=turn.audio_end_ms / 1000,
            text=f" {turn.transcript}",
            tokens=[],  # ids in Whisper's vocabulary, which is not the model's
            temperature=self._upload.temperature,
            avg_logprob=sum(logprobs) / max(len(logprobs), 1),
            compression_ratio=len(text) / len(zlib.compress(text)),
            no_speech_prob=turn.no_speech or 0.0,  # a turn without speech has no text, and is no segment
        )

    def _words(self, duration_ms: int) -> Iterator[Word]:
        """Every word, and when it was said; an estimate, where the engine does not know."""
        floor = 0
        for turn in self._turns:
            start, end = self._speech_ms(turn, floor, duration_ms)
            floor = turn.audio_end_ms
            if turn.words is not None:
                yield from (Word(word.text, word.start_ms / 1000, word.end_ms / 1000) for word in turn.words)
                continue
            words = turn.transcript.split()
            whole, before = sum(map(len, words)), 0
            for word in words:
                begin, before = before, before + len(word)
                at = [round(start + (end - start) * chars / whole) / 1000 for chars in (begin, before)]
                yield Word(word, at[0], at[1])

    def _speech_ms(self, turn: TranscriptCompleted, floor: int, duration_ms: int) -> tuple[int, int]:
        """The turn without padding and silence, but for those that the turn before or the end of the file cut off."""
        detection, start, end = self._upload.settings.turn_detection, turn.audio_start_ms, turn.audio_end_ms
        assert detection is not None
        first = start + (detection.prefix_padding_ms if start > floor else 0)
        last = end - (detection.silence_duration_ms if end < duration_ms else 0)
        return (first, last) if first < last else (start, end)

    def _languages(self) -> Counter[str]:
        return Counter(code for turn in self._turns for code in turn.languages or ())

    def _usage(self, duration_ms: int) -> Usage:
        """Of the whole file, silences included."""
        return Usage(
            kind=self._upload.card.usage,
            seconds=duration_ms / 1000,
            input_text_tokens=max((turn.usage.input_text_tokens for turn in self._turns), default=0),
            input_audio_tokens=-(-duration_ms // 100),  # 10 a second (contract D.4)
            output_tokens=sum(turn.usage.output_tokens for turn in self._turns),
        )


def _json(body: Struct) -> Answer:
    return Answer(_JSON, msgspec.json.encode(body).decode())


def _segment(event: m.SpeakerSegment) -> SpeakerSegment:
    return SpeakerSegment(event.id, event.start_ms / 1000, event.end_ms / 1000, f" {event.text}", event.speaker)


def _after(gap: str, tokens: Sequence[Token]) -> list[Token]:
    """The tokens, the first with `gap` before it, so that they too join to the text."""
    return [structs.replace(token, text=gap + token.text) if n == 0 else token for n, token in enumerate(tokens)]
