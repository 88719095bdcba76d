"""What sessions heard, and what that amounts to: pure, so that it can be checked without a server.

Rule: latencies are taken from the end of speech in the audio, which the clip knows. An answer belongs to the clip
within which its own end lies; servers that say no times answer in order. A clip without an answer is infinitely late.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct, field

from hark.bench.heard import Heard, Started, Stopped, Transcript, Trouble, Words
from hark.bench.schedule import Script, Turn
from hark.bench.scoring import Score, score
from hark.core.work import SAMPLE_RATE, WINDOW_SAMPLES

# A session that lags this far behind what it was told, or was sent, is behind real time.
BEHIND_S: Final = 1.0
# A load generator that is this late with 1 frame in 100 adds its own delay to the server's.
LATE_S: Final = 0.05
# A turn's end can be known once its window of voice scores is whole, and what the resampler held back is there.
WINDOW_S: Final = WINDOW_SAMPLES / SAMPLE_RATE
HELD_BACK_S: Final = 0.002


class Packing(Struct, frozen=True):
    """Frames that are packets of a codec: how many samples each holds, and by how many the codec is late."""

    samples: int
    delay: int


class Played(Struct):
    """One session. `zero` is when its first sample was spoken; `sent` when each frame left, `lateness` how long after
    it should have, `backlog_s` the most audio that lay unsent."""

    script: Script
    zero: float = 0.0
    packing: Packing | None = None
    sent: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    backlog_s: float = 0.0
    heard: list[Heard] = field(default_factory=list)

    def ended(self, turn: Turn) -> float:
        """When the speech of a turn ended: when its last sample was spoken or, of a codec, when the packet left that
        carries it; before it has, when it is due."""
        if self.packing is None:
            return self.zero + turn.speech_end / SAMPLE_RATE
        number = (turn.speech_end - 1 + self.packing.delay) // self.packing.samples
        return self.sent[number] if number < len(self.sent) else self.zero + self.script.arrivals[number]


class Answered(Struct):
    """One turn of one session. Seconds; `math.inf` where the answer never came."""

    turn: Turn
    final_s: float = math.inf
    stopped_s: float | None = None
    texts: list[str] = field(default_factory=list)


class Item(Struct):
    """One item of a server: its times as they came."""

    started: float | None = None
    stopped: float | None = None
    words: float | None = None
    done: float | None = None
    end_s: float | None = None


class Sums(Struct, frozen=True):
    """Over all sessions of a run; lists in seconds, in no order. `added` and `answered` count from when the frame left
    that ended a turn, to when the server said so, and to its transcript: what server and network add."""

    turns: int
    missed: int
    failed: int
    refused: int
    behind: int
    final: list[float]
    stopped: list[float]
    done_after_stop: list[float]
    words_after_start: list[float]
    added: list[float]
    answered: list[float]
    lateness: list[float]
    words: Score

    @property
    def late(self) -> bool:
        """Whether the load generator was too late for this to count."""
        return percentile(self.lateness, 0.99) > LATE_S

    def carried(self, limit_s: float, share: float = 0.95) -> bool:
        """Whether this many sessions are carried at this limit."""
        trouble = self.failed or self.refused or self.behind
        return not trouble and percentile(self.final, share) < limit_s


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank); NaN of none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def items_of(heard: Iterable[Heard]) -> dict[str, Item]:
    """The items that have a name."""
    items: dict[str, Item] = {}
    for news in heard:
        item = items.setdefault(news.item, Item()) if news.item else Item()
        match news:
            case Started():
                item.started = news.at
            case Stopped():
                item.stopped, item.end_s = news.at, news.end_s
            case Words():
                item.words = item.words or news.at
            case Transcript():
                item.done = news.at
                item.end_s = item.end_s if news.end_s is None else news.end_s
            case Trouble():
                pass
    return items


def answers(played: Played) -> list[Answered]:
    """What became of each turn of a session."""
    found = [Answered(turn) for turn in played.script.turns]
    items = items_of(played.heard)
    untimed = iter(found)
    for news in played.heard:
        if isinstance(news, Transcript):
            end_s = items[news.item].end_s if news.item else news.end_s
            answer = next(untimed, None) if end_s is None else _within(found, end_s)
            if answer is not None:
                answer.final_s = news.at - played.ended(answer.turn)
                answer.texts.append(news.text)
        elif isinstance(news, Stopped) and (answer := _within(found, news.end_s)) is not None:
            answer.stopped_s = news.at - played.ended(answer.turn)
    return found


def _within(found: Sequence[Answered], end_s: float) -> Answered | None:
    sample = end_s * SAMPLE_RATE
    return next((answer for answer in found if answer.turn.start < sample <= answer.turn.until), None)


def sum_up(sessions: Sequence[Played], transcripts: Sequence[str | None], *, silence_s: float, frame_s: float) -> Sums:
    """The figures of a run. `silence_s` is what a server waits for before it ends a turn; `transcripts` are the words
    of each clip, where they are known."""
    answered = [answers(played) for played in sessions]
    turns = [answer for of_session in answered for answer in of_session]
    by_name = [items_of(played.heard) for played in sessions]
    items = [item for known in by_name for item in known.values()]
    troubles = [news for played in sessions for news in played.heard if isinstance(news, Trouble)]
    return Sums(
        turns=len(turns),
        missed=sum(math.isinf(answer.final_s) for answer in turns),
        failed=sum(bool(news.item) for news in troubles),
        refused=sum(any(isinstance(n, Trouble) and not n.item for n in played.heard) for played in sessions),
        behind=sum(_behind(*pair, silence_s) for pair in zip(sessions, answered, strict=True)),
        final=[answer.final_s for answer in turns],
        stopped=[answer.stopped_s for answer in turns if answer.stopped_s is not None],
        done_after_stop=[i.done - i.stopped for i in items if i.done is not None and i.stopped is not None],
        words_after_start=[i.words - i.started for i in items if i.words is not None and i.started is not None],
        added=[news.at - left for played in sessions for news, left in _ended(played, frame_s)],
        answered=[
            done - left
            for played, known in zip(sessions, by_name, strict=True)
            for news, left in _ended(played, frame_s)
            if (done := known[news.item].done) is not None
        ],
        lateness=[late for played in sessions for late in played.lateness],
        words=_words(turns, transcripts),
    )


def _behind(played: Played, answered: Sequence[Answered], silence_s: float) -> bool:
    noticed = max((answer.stopped_s for answer in answered if answer.stopped_s is not None), default=0.0)
    return played.backlog_s > BEHIND_S or noticed > silence_s + BEHIND_S


def _ended(played: Played, frame_s: float) -> Iterator[tuple[Stopped, float]]:
    """Each end of a turn, with the time at which the frame left that ended it."""
    for news in played.heard:
        if isinstance(news, Stopped):
            # Half a millisecond less, for the wire rounds to whole ones.
            known_s = math.ceil((news.end_s - 0.0005) / WINDOW_S) * WINDOW_S + HELD_BACK_S
            frame = math.ceil(known_s / frame_s) - 1
            if 0 <= frame < len(played.sent):
                yield news, min(played.sent[frame], news.at)


def _words(turns: Iterable[Answered], transcripts: Sequence[str | None]) -> Score:
    total = Score(0, 0, 0)
    for answer in turns:
        said = transcripts[answer.turn.clip]
        if said and (one := score({"score": "wer", "transcript": said}, " ".join(answer.texts))) is not None:
            total = total.plus(one)
    return total


def late_turns(played: Played, now: float, limit_s: float) -> int:
    """How many turns of a session are late by now, answered or not."""
    return sum(
        limit_s < (answer.final_s if math.isfinite(answer.final_s) else now - played.ended(answer.turn))
        for answer in answers(played)
    )
