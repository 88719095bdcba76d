"""What these tests share: `hark serve` as a process, the samples with their words, and what every turn must look like.

Rule: the models are the real ones and the audio is real speech, so words are compared with an allowance for errors,
and events by their order, never by the clock on the wall.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, groupby
from pathlib import Path

import numpy as np

from hark.audio.formats import encode
from hark.models.files.pull import models_folder
from serving import COMPLETED, PATIENCE_S, Server

HARK = Path(sys.executable).with_name("hark")
STARTED = "input_audio_buffer.speech_started"
STOPPED = "input_audio_buffer.speech_stopped"
COMMITTED = "input_audio_buffer.committed"
DELTA = "conversation.item.input_audio_transcription.delta"
ITEM_EVENTS = {
    "ga": ["conversation.item.added", "conversation.item.done"],
    "beta": ["conversation.item.created"],
}
# Dickens, as the sample has it.
TWO_CITIES = """
    it was the best of times it was the worst of times it was the age of wisdom it was the age of foolishness it was the
    epoch of belief it was the epoch of incredulity it was the season of light it was the season of darkness it was the
    spring of hope it was the winter of despair we had everything before us we had nothing before us we were all going
    direct to heaven we were all going direct the other way in short the period was so far like the present period that
    some of its noisiest authorities insisted on its being received for good or for evil in the superlative degree of
    comparison only
"""
BECKETT = "ever tried ever failed no matter try again fail again fail better"


class Process(Server):
    """`hark serve` as people start it, in a folder that is also its home, with what they set in the environment."""

    def __init__(self, folder, *flags, **variables):
        self._folder = folder
        self._log = folder / "log"
        self._there = {self._log, *folder.rglob("*")}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [HARK, "serve", "--port", "0", "--threads", "2", *flags],
                cwd=folder,
                env=environment(folder) | variables,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._ending = False
        self.pid = self._process.pid
        line = self._process.stdout.readline()
        if not (found := re.search(r"https?://\S+", line)):
            self._process.communicate(timeout=PATIENCE_S)
            raise AssertionError(f"Expected the address of a server; got {line!r}, and on stderr {self.log!r}")
        self.url = found[0]

    @property
    def log(self):
        return self._log.read_text()

    @property
    def sockets(self):
        """How many sockets the process has open."""
        found = 0
        for path in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it was closed meanwhile
                found += str(path.readlink()).startswith("socket:")
        return found

    @property
    def cpu_s(self):
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, how=signal.SIGTERM):
        """Ask it to end, once; a second signal would kill it."""
        if not self._ending:
            self._ending = True
            self._process.send_signal(how)

    def stop(self):
        """End it, and see that it leaves nothing behind."""
        try:
            self.end()
            self._process.communicate(timeout=PATIENCE_S)
        finally:
            self._process.kill()
            self._process.wait()
        assert self._process.returncode == 0
        log = re.sub(r".*: (The client asks for .*, a language that|speakers are not told apart) .*\n", "", self.log)
        assert not re.search("warning|error|traceback", log, re.IGNORECASE), log
        assert not _alive(self.pid), "a process of the server goes on"
        left = [str(path.relative_to(self._folder)) for path in self._folder.rglob("*") if path not in self._there]
        assert left == [], "the server left files in the user's folders"


def environment(home):
    """That of a user who has set nothing, but whose models have been pulled already."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    return kept | {"HOME": str(home), "TMPDIR": str(home), "HARK_MODELS_DIR": str(models_folder())}


@dataclass
class Turn:
    """The events of one item, and what they say."""

    events: list

    @property
    def kinds(self):
        return [event["type"] for event in self.events]

    @property
    def item_id(self):
        return self.events[0]["item_id"]

    @property
    def text(self):
        return self.events[-1]["transcript"]

    @property
    def times(self):
        return self.events[-1]["start_ms"], self.events[-1]["end_ms"]

    @property
    def deltas(self):
        return [event for event in self.events if event["type"] == DELTA]


def silence(seconds, rate=16_000):
    return np.zeros(round(seconds * rate), np.float32)


def pieces(data, sizes):
    """`data` in pieces of these lengths, over and over."""
    at = 0
    for size in cycle(sizes):
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


def send(wire, audio, *, encoding="pcm16", sizes=(3200,)):
    """Append all of `audio`, in pieces of so many bytes, as fast as the server takes it."""
    for piece in pieces(encode(audio, encoding), sizes):
        wire.append(piece)


def next_event(wire, within_s):
    """The next event, or None if none comes in this time."""
    try:
        return json.loads(wire.socket.recv(within_s))
    except TimeoutError:
        return None


def finish(wire):
    """All events up to the end of every turn that speech in the appended audio has begun."""
    wire.send("session.update", session={})  # is answered when all audio before it has been looked at
    events = [wire.receive()]
    while not events[-1]["type"].endswith("session.updated"):
        events.append(wire.receive())
    while _open(events):
        events.append(wire.receive())
    return events


def hear(wire, audio, **options):
    """Send a recording and a second of silence; all events up to the end of its last turn."""
    rate = options.pop("rate", 16_000)
    send(wire, np.concatenate([audio, silence(1, rate)]), **options)
    return finish(wire)


def configure(wire, dialect, *, detection, rate=16_000, encoding="pcm16", **fields):
    """Set the session up in the spelling of its dialect."""
    if dialect == "beta":
        native = encoding != "pcm16" or rate == 24_000
        spelt = encoding if native else {"type": encoding, "rate": rate}
        session = {"input_audio_format": spelt, "turn_detection": detection}
        if "transcription" in fields:
            session["input_audio_transcription"] = fields.pop("transcription")
        wire.send("transcription_session.update", session=session | fields)
    else:
        spelt = {"pcm16": {"type": "audio/pcm", "rate": rate}, "g711_ulaw": {"type": "audio/pcmu"}}.get(
            encoding, {"type": "audio/pcma"}
        )
        heard = {"format": spelt, "turn_detection": detection}
        heard |= {name: fields.pop(name) for name in ("transcription", "noise_reduction") if name in fields}
        wire.send("session.update", session={"type": "transcription", "audio": {"input": heard}} | fields)
    updated = wire.receive()
    assert updated["type"] == ("transcription_session.updated" if dialect == "beta" else "session.updated"), updated


def server_vad(silence_ms):
    return {"type": "server_vad", "silence_duration_ms": silence_ms}


def turns_of(events):
    """The events by item, in the order in which the items were announced."""
    found = defaultdict(list)
    for event in events:
        item_id = event.get("item_id") or event.get("item", {}).get("id")
        if item_id:
            found[item_id].append(event)
    return [Turn(told) for told in found.values()]


def check(events, dialect, *, detected=True, after=None):
    """The turns, after all that must hold of them has been found to hold (contract D). `after`: the turn before."""
    turns = turns_of(events)
    previous = after and after.item_id
    for turn in turns:
        steps = [kind for kind in turn.kinds if kind != DELTA]
        spoken = [STARTED, STOPPED] if detected else []
        assert steps == [*spoken, COMMITTED, *ITEM_EVENTS[dialect], COMPLETED]
        assert turn.kinds[-1] == COMPLETED
        assert turn.kinds[0] == STARTED or not detected
        assert all(event["delta"] for event in turn.deltas)
        assert "".join(event["delta"] for event in turn.deltas) == turn.text
        before = [event["previous_item_id"] for event in turn.events if "previous_item_id" in event]
        assert set(before) == {previous}
        previous = turn.item_id
    speaking = [event["item_id"] for event in events if event["type"] in (DELTA, COMPLETED)]
    assert [item_id for item_id, _ in groupby(speaking)] == [turn.item_id for turn in turns]
    assert len({event["event_id"] for event in events}) == len(events)
    return turns


def check_times(turns, length_ms):
    """Times are on the audio clock, inside the audio, in order, and the same wherever they are told."""
    for turn in turns:
        start, end = turn.times
        assert 0 <= start < end <= length_ms
        told = {event["type"]: event for event in turn.events}
        assert (told[STARTED]["audio_start_ms"], told[STOPPED]["audio_end_ms"]) == (start, end)
    for times in zip(*(turn.times for turn in turns), strict=True):
        assert list(times) == sorted(set(times))


def words(text):
    return re.findall(r"[a-z]+", text.lower().replace("'", ""))


def error_rate(said, turns):
    """Words to put in, leave out or replace, by words said."""
    said, heard = words(said), [word for turn in turns for word in words(turn.text)]
    row = list(range(len(heard) + 1))
    for count, word in enumerate(said, 1):
        before, row[0] = row[0], count
        for place, other in enumerate(heard, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1] / len(said)


def _open(events):
    items = {event["item_id"] for event in events if event["type"] in (STARTED, DELTA)}
    return items - {event["item_id"] for event in events if event["type"] == COMPLETED}


def _alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
