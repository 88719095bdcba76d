"""Whole conversations in this process: frames read, a session of scripted models, its events in the client's dialect.

A line is a frame, but for these: `~` says words and pauses (milliseconds), `>` lets seconds pass, `?` lets the model of
a lane answer, `!` lets models fail from now on, or no more. The first byte of all chooses dialect and turn detection.
Once all has been answered and the client has closed the session, the ledger must be in order, and each frame that was
refused has had its one error.
"""

import json
from collections import Counter

from fuzz.ledger import Ledger
from fuzz.targets import frames
from hark.core import messages as m
from hark.core.settings import SessionSettings, TurnDetection
from hark.edge.frames import Speaker
from hark.models.scripted import WORDS
from hark.protocol import wire
from rehearsal import LANES, PCM_16K, Rehearsal, pcm, say

TOKENS = [
    *frames.TOKENS, b"\n~", b"\n?", b"\n!", b"\n>3", b"\n", b" 300 ", b" 2500 ", b'"item_1"', b'"item_2"',
    *(json.dumps(frame).encode() for frame in frames.FRAMES.values()),
]  # fmt: skip
MAX_LINES = 40
MODES = [None, TurnDetection(), TurnDetection(silence_duration_ms=500), TurnDetection(type="semantic_vad")]
UPDATE = '{"type":"session.update","session":{"type":"transcription","audio":{"input":%s}}}'
SEEDS = {
    "manual": ["0", "~alpha bravo 300", '{"type":"input_audio_buffer.commit","event_id":"c"}', "~charlie"],
    "vad": ["1", "~alpha 300 bravo 700", '{"type":"conversation.item.retrieve","item_id":"item_1"}'],
    "cleared": ["1", "~alpha bravo", '{"type":"input_audio_buffer.clear"}', "~charlie 900"],
    "deleted": ["5", "~alpha 500", '{"type":"conversation.item.delete","item_id":"item_1"}', "?2", "~bravo 500"],
    "created": [
        "1",
        '{"type":"conversation.item.create","item":{"id":"mine","type":"message"},"previous_item_id":"root"}',
        "~alpha 500",
        '{"type":"conversation.item.create","item":{"type":"message"},"previous_item_id":"item_1"}',
    ],
    "semantic": ["3", "~bravo 900 alpha 2500"],
    "swapped": ["2", "~alpha bravo", UPDATE % '{"turn_detection":null}', "~charlie", UPDATE % '{"turn_detection":{}}'],
    "formats": ["6", "~alpha", UPDATE % '{"format":{"type":"audio/pcmu"}}', "~alpha 300", "?0", "?1"],
    "failing": ["1", "!", "~alpha 700", "!", "~bravo 700", ">9"],
    "stalled": ["1", "~alpha bravo", ">3", "~charlie"],
    "idle": ["1", UPDATE % '{"turn_detection":{"type":"server_vad","idle_timeout_ms":5000}}', "~6000", ">6"],
    "voices": ["1", '{"type":"session.update","session":{"include":["hark.voice_activity"]}}', "~alpha 900"],
    "refused": ["0", '{"type":"nope","event_id":"x"}', "[]", '{"type":"response.create"}', '{"type":"session.close"}'],
    "beta": [
        "5",
        '{"type":"transcription_session.update","session":{"turn_detection":null}}',
        "~golf",
        '{"type":"input_audio_buffer.commit"}',
    ],
}


def seeds():
    for name, lines in SEEDS.items():
        yield name, "\n".join(lines).encode()


class Talk:
    def __init__(self, dialect, mode):
        self.ledger, self._ids = Ledger(), Counter()
        self.stage = Rehearsal(SessionSettings(turn_detection=mode, **PCM_16K))
        self._speaker = Speaker(dialect, send=self._send, new_id=self._new_id)
        self._told = 0
        self._closing = False
        self.sent, self.refused = Counter(), Counter()

    def _new_id(self, prefix):
        self._ids[prefix] += 1
        return f"{prefix}_{self._ids[prefix]}"

    async def _send(self, frame):
        self.ledger.told(json.loads(frame))

    def frame(self, frame):
        command = wire.decode(frame)
        self.sent[command.event_id] += 1
        # What follows the end of a session may be heard no more.
        self.refused[command.event_id] += isinstance(command, m.Refuse) and not self._closing
        self._closing = self._closing or isinstance(command, m.FinishSession)
        self.stage.give(command)

    def tell(self):
        """What has happened, in the client's words."""
        events = self.stage.events
        while self._told < len(events):
            event = events[self._told]
            self._told += 1
            _finish(self._speaker.tell(event))


def _finish(coroutine):
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("a send that does not wait was waited for")


def check(data):
    head, *lines = data.split(b"\n")[:MAX_LINES]
    first = head[0] if head else 0
    talk = Talk("beta" if first & 4 else "ga", MODES[first & 3])
    for line in lines:
        _play(talk, line)
        talk.tell()
    stage = talk.stage
    stage.fail = lambda work: False
    talk.frame('{"type":"session.close"}')
    for _ in range(100):
        stage.answer_all().wait(0.5)
        if stage.session.ended:
            break
    talk.tell()
    assert stage.session.ended, "a session that was closed goes on"
    talk.ledger.finished()
    for event_id, times in talk.refused.items():
        told = talk.ledger.errors[event_id]
        assert times <= told <= talk.sent[event_id], f"{told} errors for {times} bad frames of event_id {event_id!r}"
    assert not +(talk.ledger.errors - talk.sent), "an error that nobody caused"


def _play(talk, line):
    stage, rest = talk.stage, line[1:]
    if line[:1] == b"~":
        audio = pcm(say(*_parts(rest)))
        for at in range(0, len(audio), 3_200):
            stage.give(m.AppendAudio(audio=audio[at : at + 3_200]))
    elif line[:1] == b">":
        stage.wait(min(int(rest[:2]) if rest[:2].isdigit() else 1, 30))
    elif line[:1] == b"?":
        stage.answer(LANES[rest[0] % len(LANES)]) if rest else stage.answer_all()
    elif line[:1] == b"!":
        failing = stage.fail(None)
        stage.fail = lambda work: not failing
    else:
        try:
            talk.frame(line.decode())
        except UnicodeDecodeError:
            talk.frame(line)


def _parts(text):
    """Words by name or, whatever else it says, by its first letter; pauses of up to 8 s."""
    for part in text.decode("latin-1").split()[:12]:
        number = part[:4]
        yield min(int(number), 8_000) if number.isascii() and number.isdigit() else _word(part)


def _word(part):
    return part if part in WORDS else WORDS[ord(part[0]) % len(WORDS)]
