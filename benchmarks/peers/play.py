"""Plays sessions to moonshine-voice's streaming Transcriber, in the environment of that library: python
moonshine_voice.py FOLDER

FOLDER holds plan.json and clips.f32 (`capacity.py` writes them); heard.json is written beside them. One Transcriber,
one stream a session at its defaults, a thread each. A frame is handed over when it has been spoken, or as soon after as
the library has done with the one before: how long after is the session's lag.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
from moonshine_voice.moonshine_api import ModelArch
from moonshine_voice.transcriber import Transcriber, TranscriptEventListener
from moonshine_voice.utils import get_assets_path

RATE = 16_000
HEAD_START_S = 1.0


class Listener(TranscriptEventListener):
    def __init__(self):
        self.heard = []

    def on_line_started(self, event):
        self.heard.append(["started", time.monotonic(), event.line.line_id])

    def on_line_text_changed(self, event):
        self.heard.append(["words", time.monotonic(), event.line.line_id])

    def on_line_completed(self, event):
        line = event.line
        self.heard.append(["done", time.monotonic(), line.line_id, line.text, line.start_time + line.duration])


class Session(threading.Thread):
    def __init__(self, transcriber, frames, script, zero):
        super().__init__(daemon=True)
        self.listener = Listener()
        self.lag = 0.0
        self.zero = zero + script["offset"]
        self._script = script
        self._frames = frames
        self._stream = transcriber.create_stream()
        self._stream.add_listener(self.listener)
        self._stream.start()

    def run(self):
        for (clip, number), arrival in zip(self._script["frames"], self._script["arrivals"], strict=True):
            due = self.zero + arrival
            time.sleep(max(0.0, due - time.monotonic()))
            self._stream.add_audio(self._frames[clip][number].tolist(), RATE)
            self.lag = max(self.lag, time.monotonic() - due)


def main(folder):
    plan = json.loads((folder / "plan.json").read_text())
    audio = np.fromfile(folder / "clips.f32", "<f4")
    frames = {int(clip): audio[first:last].reshape(-1, plan["frame_samples"]) for clip, first, last in plan["clips"]}
    transcriber = Transcriber(str(Path(get_assets_path()) / "tiny-en"), ModelArch.TINY)
    zero = time.monotonic() + HEAD_START_S
    sessions = [Session(transcriber, frames, script, zero) for script in plan["sessions"]]
    for session in sessions:
        session.start()
    end = zero + plan["seconds"] + plan["patience_s"]
    for session in sessions:
        session.join(max(0.0, end - time.monotonic()))
    told = [
        {"zero": one.zero, "lag": one.lag, "unfinished": one.is_alive(), "heard": one.listener.heard}
        for one in sessions
    ]
    (folder / "heard.json").write_text(json.dumps({"cpu_s": time.process_time(), "sessions": told}))
    os._exit(0)  # what is behind would go on for long


if __name__ == "__main__":
    main(Path(sys.argv[1]))
