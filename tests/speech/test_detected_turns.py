"""server_vad on real speech: words, the order of events, times on the audio clock, in every format and any chunking."""

import numpy as np
import pytest

from listening import (
    BECKETT,
    COMPLETED,
    TWO_CITIES,
    check,
    check_times,
    configure,
    error_rate,
    hear,
    server_vad,
    silence,
    words,
)

PADDING_MS = 300
WINDOW_MS = 32
PHRASES = ("do you hear me", "yes", "thats a good story", "what are you talking about", "from that ditch", "no")

FORMATS = [*(("pcm16", rate) for rate in (8_000, 16_000, 24_000, 48_000)), ("g711_ulaw", 8_000), ("g711_alaw", 8_000)]


def loud_stretches(audio, gap_ms=200):
    """(start, end) in ms of each stretch that is louder than a tenth of the loud parts, by frames of 10 ms."""
    frames = audio[: audio.size // 160 * 160].reshape(-1, 160)
    level = np.sqrt((frames**2).mean(axis=1))
    found = []
    for at in (np.flatnonzero(level > 0.1 * np.percentile(level, 95)) * 10).tolist():
        if found and at - found[-1][1] <= gap_ms:
            found[-1][1] = at + 10
        else:
            found.append([at, at + 10])
    return [(start, end) for start, end in found if end - start > 50]


@pytest.mark.parametrize("silence_ms", [None, 500])
def test_words_order_and_times(server, recording, dialect, silence_ms):
    audio = recording("two_cities")
    detection = {"type": "server_vad"} if silence_ms is None else server_vad(silence_ms)
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=detection)
        turns = check(hear(wire, audio, sizes=(640,)), dialect)
    assert len(turns) in (range(11, 18) if silence_ms is None else range(6, 10))
    assert error_rate(TWO_CITIES, turns) <= 0.12
    assert words(turns[0].text)[:12] == words("it was the best of times it was the worst of times")
    assert words(turns[-1].text)[-5:] == words("superlative degree of comparison only")
    check_times(turns, audio.size // 16)
    onsets, ends = zip(*loud_stretches(audio), strict=True)
    waited, before = silence_ms or 200, 0
    for turn in turns:
        start, end = turn.times
        assert start == before or min(abs(start + PADDING_MS - onset) for onset in onsets) <= 150
        assert any(0 <= end - waited - loud <= 250 for loud in ends)
        before = end - waited


def test_a_dialogue_keeps_its_turns_apart(server, recording, dialect):
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=server_vad(200))
        turns = check(hear(wire, recording("endgame_nagg_nell"), sizes=(3200, 8000)), dialect)
    assert len(turns) >= 12
    text = iter([" ".join(words(turn.text)) for turn in turns])
    for phrase in PHRASES:
        assert any(phrase in turn for turn in text), phrase


@pytest.fixture(scope="module")
def plain(server, recording):
    """The turns of a sample that is sent as the models take it."""
    with server.session() as wire:
        configure(wire, "ga", detection=server_vad(500))
        return check(hear(wire, recording("beckett")), "ga")


@pytest.mark.parametrize(("encoding", "rate"), FORMATS)
def test_any_format_gives_the_same_turns(server, recording, plain, dialect, encoding, rate):
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=server_vad(500), rate=rate, encoding=encoding)
        turns = check(hear(wire, recording("beckett", rate), rate=rate, encoding=encoding, sizes=(rate // 5,)), dialect)
    assert error_rate(BECKETT, turns) <= 0.25
    check_times(turns, 11_000)
    apart = np.array([turn.times for turn in turns]) - [turn.times for turn in plain]
    assert np.abs(apart).max() <= 2 * WINDOW_MS


def test_any_chunking_gives_the_same_turns(server, recording):
    heard = []
    for sizes in [(640,), (3200,), (8000,), (1, 2, 3, 5, 641, 9999), (7777,), (10**7,)]:
        with server.session() as wire:
            configure(wire, "ga", detection=server_vad(200))
            turns = check(hear(wire, recording("beckett"), sizes=sizes), "ga")
        heard.append([(turn.times, words(turn.text)) for turn in turns])
    assert heard.count(heard[0]) == len(heard)


def test_times_are_on_the_audio_clock_of_the_session(server, recording):
    audio, ahead = recording("beckett"), silence(3.2)
    with server.session() as wire:
        configure(wire, "ga", detection=server_vad(200))
        first = check(hear(wire, audio), "ga")
        again = check(hear(wire, np.concatenate([ahead, audio])), "ga", after=first[-1])
    moved = np.array([turn.times for turn in again]) - [turn.times for turn in first]
    # The second time the detector knows the voice already, so it may differ by some windows.
    assert np.abs(moved - (audio.size + silence(1).size + ahead.size) / 16).max() <= 4 * WINDOW_MS


@pytest.mark.parametrize(("model", "kind"), [("whisper-1", "duration"), ("gpt-4o-transcribe", "tokens")])
def test_usage_is_that_of_the_model_family(server, recording, dialect, model, kind):
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=server_vad(500), transcription={"model": model})
        turns = check(hear(wire, recording("beckett")), dialect)
    for turn in turns:
        usage, (start, end) = turn.events[-1]["usage"], turn.times
        if kind == "duration":
            assert usage == {"type": "duration", "seconds": -(-(end - start) // 1000)}
            continue
        heard, said = usage["input_token_details"], usage["output_tokens"]
        assert (usage["type"], heard["text_tokens"]) == ("tokens", 0)
        assert heard["audio_tokens"] == pytest.approx((end - start) / 100, abs=1)
        assert usage["input_tokens"] == heard["audio_tokens"]
        assert usage["total_tokens"] == usage["input_tokens"] + said
        assert len(words(turn.text)) <= said <= len(turn.text)


def test_logprobs_come_when_they_are_asked_for(server, recording, dialect):
    with server.session(dialect) as wire:
        asked = ["item.input_audio_transcription.logprobs"]
        configure(wire, dialect, detection=server_vad(500), include=asked)
        turns = check(hear(wire, recording("beckett")), dialect)
        configure(wire, dialect, detection=server_vad(500), include=[])
        without = check(hear(wire, recording("beckett")), dialect, after=turns[-1])
    for turn in turns:
        tokens = [token for event in turn.deltas for token in event["logprobs"]]
        assert tokens == turn.events[-1]["logprobs"]
        assert "".join(token["token"] for token in tokens) == turn.text
        for event in turn.deltas:
            assert "".join(token["token"] for token in event["logprobs"]) == event["delta"]
        assert b"".join(bytes(token["bytes"]) for token in tokens).decode() == turn.text
        assert all(-20 < token["logprob"] <= 0 for token in tokens)
    assert not any("logprobs" in event for turn in without for event in turn.events if event["type"] == COMPLETED)
    assert not any("logprobs" in event for turn in without for event in turn.deltas)
