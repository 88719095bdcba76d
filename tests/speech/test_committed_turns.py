"""turn_detection null on real speech: the client says where a turn ends, and may ask for it back or delete it."""

import numpy as np
import pybase64
import pytest

from hark.audio.formats import decode
from listening import (
    BECKETT,
    COMMITTED,
    COMPLETED,
    DELTA,
    ITEM_EVENTS,
    STARTED,
    STOPPED,
    TWO_CITIES,
    check,
    configure,
    error_rate,
    finish,
    hear,
    send,
    server_vad,
    turns_of,
    words,
)

EMPTY = "input_audio_buffer_commit_empty"


def commit(wire):
    """The events of the turn that is ended here."""
    wire.send("input_audio_buffer.commit")
    return wire.until(COMPLETED)


@pytest.mark.parametrize(("encoding", "rate"), [("pcm16", 8_000), ("pcm16", 24_000), ("g711_ulaw", 8_000)])
def test_each_commit_makes_a_turn(server, recording, dialect, encoding, rate):
    audio = recording("beckett", rate)
    # Between "No matter." and "Try again."
    first, second = audio[: round(4.5 * rate)], audio[round(4.5 * rate) :]
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=None, rate=rate, encoding=encoding)
        send(wire, first, encoding=encoding, sizes=(960, 77))
        events = commit(wire)
        send(wire, second, encoding=encoding, sizes=(4800,))
        turns = check(events + commit(wire), dialect, detected=False)
    assert [words(turn.text)[0] for turn in turns] == ["ever", "try"]
    assert error_rate(BECKETT, turns) <= 0.17
    assert turns[0].times == pytest.approx((0, 4_500), abs=1)
    assert turns[1].times == pytest.approx((4_500, audio.size * 1_000 / rate), abs=1)


def test_a_long_turn_is_whole(server, recording, dialect):
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=None)
        send(wire, recording("two_cities"), sizes=(8_000,))
        turns = check(commit(wire), dialect, detected=False)
    assert len(turns) == 1
    assert error_rate(TWO_CITIES, turns) <= 0.1


def test_a_commit_of_nothing_is_refused_and_the_session_lives_on(server, recording, dialect):
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=None)
        send(wire, recording("beckett")[:1_500])
        refused = wire.ask("input_audio_buffer.commit", event_id="mine")["error"]
        assert (refused["code"], refused["event_id"]) == (EMPTY, "mine")
        assert "buffer only has 93.75ms of audio" in refused["message"]
        send(wire, recording("beckett")[1_500:])
        assert error_rate(BECKETT, check(commit(wire), dialect, detected=False)) <= 0.17
        assert wire.ask("input_audio_buffer.commit")["error"]["code"] == EMPTY


def test_a_commit_ends_the_turn_that_was_detected(server, recording, dialect):
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=server_vad(500))
        send(wire, recording("two_cities")[: 3 * 16_000])
        events = commit(wire)
        (turn,) = turns_of(events)
        later = check(hear(wire, recording("beckett")), dialect, after=turn)
    assert turn.kinds[0] == STARTED
    assert STOPPED not in turn.kinds
    assert [kind for kind in turn.kinds if kind != DELTA][1:] == [COMMITTED, *ITEM_EVENTS[dialect], COMPLETED]
    assert words(turn.text)[:6] == words("it was the best of times")
    assert turn.times[1] == 3_000
    assert error_rate(BECKETT, later) <= 0.25


@pytest.mark.parametrize(("encoding", "rate"), [("pcm16", 16_000), ("pcm16", 24_000), ("g711_alaw", 8_000)])
def test_a_turn_can_be_had_back_and_deleted(server, recording, dialect, encoding, rate):
    audio = recording("beckett", rate)
    with server.session(dialect) as wire:
        configure(wire, dialect, detection=server_vad(200), rate=rate, encoding=encoding)
        turns = check(hear(wire, audio, encoding=encoding, rate=rate), dialect)
        for turn in turns:
            told = wire.ask("conversation.item.retrieve", item_id=turn.item_id)["item"]
            (part,) = told["content"]
            assert (told["id"], part["type"], part["transcript"]) == (turn.item_id, "input_audio", turn.text)
            kept = decode(pybase64.b64decode(part["audio"]), encoding)
            sent = audio[round(turn.times[0] * rate / 1_000) :][: kept.size]
            assert kept.size == pytest.approx((turn.times[1] - turn.times[0]) * rate / 1_000, abs=rate / 1_000)
            assert np.corrcoef(kept[: sent.size], sent)[0, 1] > 0.97
        gone = turns[0].item_id
        deleted = wire.ask("conversation.item.delete", item_id=gone)
        assert (deleted["type"], deleted["item_id"]) == ("conversation.item.deleted", gone)
        for event in ("retrieve", "delete"):
            refused = wire.ask(f"conversation.item.{event}", item_id=gone)["error"]
            assert (refused["code"], refused["param"]) == ("item_not_found", "item_id")
        assert wire.ask("conversation.item.retrieve", item_id=turns[1].item_id)["item"]["id"] == turns[1].item_id
        assert finish(wire)[-1]["type"].endswith("session.updated")
