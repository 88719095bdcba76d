"""What `hark bench --transport webrtc` measures, with real models and real speech."""

import asyncio

import numpy as np

from hark.bench.clips import Clip, silero, voiced_stretches
from hark.bench.measures import percentile, sum_up
from hark.bench.player import Stock, Target, play
from hark.bench.protocols import Sending
from hark.bench.schedule import Plan
from hark.bench.webrtc import Calls
from hark.models.files.pull import models_folder


def test_speech_comes_through_packets_encoded_beforehand(server, recording):
    """The words of a call are those of the recording, and the end of speech is where it was heard to be."""
    audio = recording("beckett")[:51_200]  # two of its six short sentences
    clip = Clip("beckett", audio, voiced_stretches(audio, silero(models_folder())), "ever tried ever failed")
    target = Target(server.url, Calls, Sending(silence_ms=300, frame_samples=320))
    stock = Stock([clip], target)
    seconds = np.ceil(clip.seconds) + 2
    played = asyncio.run(play(target, stock, Plan(seconds, 320, (0.6, 0.7)), 1, patience_s=30))
    sums = sum_up(played, stock.transcripts, silence_s=0.3, frame_s=0.02)
    assert (sums.turns, sums.missed, sums.failed, sums.refused, sums.behind) == (1, 0, 0, 0, 0)
    assert sums.words.rate <= 0.2
    # No earlier than the silence that was asked for, less what the voice detector sees of it beforehand.
    assert 0.2 < percentile(sums.stopped, 0.5) < 10
    assert sums.words_after_start
