"""Whole runs by WebRTC calls: Hark with the scripted models, real packets. There a codec spares turns, not words."""

import asyncio

import httpx
import numpy as np
import pytest

from hark.audio.opus import Opus
from hark.bench.clips import Clip
from hark.bench.heard import Stopped, Transcript, Trouble
from hark.bench.measures import items_of, sum_up
from hark.bench.player import Stock, Target, play
from hark.bench.protocols import Sending
from hark.bench.schedule import PAUSE, Plan, Script
from hark.bench.webrtc import DELAY, Calls, calls_url
from hark.errors import CallerError
from serving import Server

PAUSES = (0.6, 0.7)


def tone(seconds):
    """After 100 ms of silence."""
    sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 16_000)) / 16_000)
    audio = np.concatenate([np.zeros(1_600), sound]).astype(np.float32)
    return Clip(f"{seconds} s", audio, ((1_600, len(audio)),))


CLIPS = [tone(0.4), tone(0.6)]


def target(url, **sending):
    return Target(url, Calls, Sending(**{"frame_samples": 320} | sending))


def run(wanted, sessions=2, seconds=2.2, **options):
    plan = Plan(seconds, wanted.sending.frame_samples, PAUSES, 0.01)
    return asyncio.run(play(wanted, Stock(CLIPS, wanted), plan, sessions, patience_s=20, **options))


@pytest.mark.parametrize("frame_samples", [160, 320, 960])
def test_packets_hold_the_clip_and_come_out_as_late_as_said(frame_samples):
    sound = np.random.default_rng(1).standard_normal(16_000).cumsum()
    sound = ((sound - sound.mean()) / np.abs(sound).max() / 4).astype(np.float32)[
        : 16_000 // frame_samples * frame_samples
    ]
    made = Calls.encode(sound, (0, len(sound)), Sending(frame_samples=frame_samples))
    assert len(made) == len(sound) / frame_samples
    decoder = Opus()
    heard = np.frombuffer(b"".join(map(decoder.decode, made)), "<i2").astype(float)
    assert len(heard) == len(sound)
    steps = [float(np.diff(heard)[shift : shift + 8_000] @ np.diff(sound)[:8_000]) for shift in range(400)]
    assert abs(int(np.argmax(steps)) - DELAY) <= 1


def test_a_pause_is_one_packet_of_near_silence():
    [packet] = Calls.encode(np.full(320, 1e-4, np.float32), None, Sending(frame_samples=320))
    decoder = Opus()
    heard = np.frombuffer(b"".join(decoder.decode(packet) for _ in range(50)), "<i2")
    assert len(heard) == 16_000
    assert np.abs(heard).max() < 50


@pytest.mark.parametrize("frame_samples", [320, 960])
def test_hark_hears_every_turn_of_a_call(server, frame_samples):
    played = run(target(server.url, frame_samples=frame_samples))
    sums = sum_up(played, [None, None], silence_s=0.3, frame_s=frame_samples / 16_000)
    assert sums.turns == sum(len(one.script.turns) for one in played) >= 2
    assert (sums.missed, sums.failed, sums.refused, sums.behind) == (0, 0, 0, 0)
    assert (
        len(sums.stopped) == len(sums.done_after_stop) == len(sums.added) == len(sums.words_after_start) == sums.turns
    )
    for one in played:
        assert len(one.sent) == len(one.script.frames)
        assert min(one.lateness) > -0.005  # what an event loop rounds


def test_no_turn_ends_before_the_packets_of_its_silence_were_sent(server):
    """300 ms after the end of speech, less a window of voice scores, and less the packet that the latter ended in."""
    for one in run(target(server.url)):
        for turn, item in zip(one.script.turns, items_of(one.heard).values(), strict=True):
            assert item.stopped - one.ended(turn) >= 0.3 - 0.032 - 0.02
            # On the audio clock of the server, where speech ended is where the clip says, but for the codec.
            assert item.end_s - turn.speech_end / 16_000 == pytest.approx(0.3, abs=0.06)


def test_packets_are_as_uneven_as_the_script_says(server):
    late = tuple(0.02 * (number + 1) + (0.3 if number == 20 else 0.0) for number in range(40))
    late = tuple(np.maximum.accumulate(late))
    [one] = run(target(server.url), 1, 0.8, scripts=[Script((), ((PAUSE, 0),) * 40, late)])
    gaps = np.diff(one.sent)
    assert gaps[19] > 0.25
    assert one.heard == []


def test_what_a_server_refuses_is_told_in_its_words(serve):
    [one] = run(target(serve(api_key="sk-other").url), 1)
    [trouble] = one.heard
    assert trouble.message.startswith("HTTP 401 ")
    assert "key" in trouble.message
    assert one.sent == []


def test_a_session_that_cannot_be_is_told(server):
    [one] = run(target(server.url, model="klingon"), 1)
    assert "klingon" in one.heard[0].message


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nowhere.invalid"])
def test_no_server_is_told(url):
    [one] = run(target(url), 1)
    assert isinstance(one.heard[0], Trouble)
    assert one.sent == []


def test_a_call_that_the_server_ends_is_told():
    ended = Server()
    try:
        [one] = run(target(ended.url), 1, 30, on_second=ended.stop)
    finally:
        ended.stop()
    assert isinstance(one.heard[-1], Trouble)
    assert len(one.sent) < len(one.script.frames)


def test_what_is_asked_for_is_in_the_session(server):
    """A turn ends after the silence that was asked for, which is not the server's own."""
    [one] = run(target(server.url, silence_ms=900), 1, seconds=3.2)
    [stopped, *_] = [news for news in one.heard if isinstance(news, Stopped)]
    assert stopped.end_s - one.script.turns[0].speech_end / 16_000 > 0.8
    assert any(isinstance(news, Transcript) for news in one.heard)


def test_a_call_leaves_when_it_is_over(server):
    run(target(server.url), 2, 0.4, scripts=[Script((), ((PAUSE, 0),) * 5, (0.1,) * 5)] * 2)
    assert httpx.get(f"{server.url}/health").status_code == 200


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("http://here:8000", "http://here:8000/v1/realtime/calls"),
        ("wss://here/v1/", "https://here/v1/realtime/calls"),
        ("https://here/hark/v1", "https://here/hark/v1/realtime/calls"),
    ],
)
def test_where_offers_go(base, expected):
    assert calls_url(base) == expected


def test_what_is_no_address():
    with pytest.raises(CallerError, match="Expected the address of a server"):
        calls_url("here:8000")
