"""Who spoke, as clients are told it: of files and live, with models that tell voices by their pitch."""

import logging

import numpy as np
import pybase64
import pytest

import hark.compute.scheduler as scheduler
import sherpa_standins as standins
from hark.audio.formats import decode, encode
from hark.models.sherpa.speakers import NAME
from serving import COMPLETED, Server, base64, speech
from uploading import encoded, post, wav

SEGMENT = "conversation.item.input_audio_transcription.segment"
DIARIZE = [("model", "gpt-4o-transcribe-diarize"), ("chunking_strategy", "auto"), ("response_format", "diarized_json")]
FIRST = ("alpha", "bravo", "charlie", "alpha", "bravo", "charlie")
SECOND = ("delta", "echo", "foxtrot", "golf", "hotel")


@pytest.fixture
def server(serve):
    return serve(speaker_model="scripted-speakers")


def voice(*words, high=False, rate=16_000, **options):
    """The words as wire bytes, the other voice of another pitch."""
    audio = decode(speech(*words, rate=rate, **options), "pcm16")
    if high:
        audio = audio * np.where(np.arange(len(audio)) % (rate // 2_000) < rate // 4_000, 1, -1).astype(np.float32)
    return encode(audio, "pcm16")


def conversation(rate=16_000):
    parts = [voice(*FIRST, rate=rate, pause_s=0.9), voice(*SECOND, high=True, rate=rate, pause_s=0.9)]
    return [*parts, voice(*reversed(FIRST), rate=rate, pause_s=0.9)]


def reference(*words, high=False):
    return "data:audio/wav;base64," + pybase64.b64encode_as_string(wav(voice(*words, high=high, pause_s=1.0)))


# ---- files


def test_a_file_s_segments_say_who_spoke(server):
    told = post(server, *DIARIZE, file=wav(b"".join(conversation()))).json()
    assert [(each["id"], each["speaker"], each["text"]) for each in told["segments"]] == [
        ("seg_0", "A", " " + " ".join(FIRST)),
        ("seg_1", "B", " " + " ".join(SECOND)),
        ("seg_2", "A", " " + " ".join(reversed(FIRST))),
    ]
    assert "".join(each["text"] for each in told["segments"]).strip() == told["text"]
    for one, other in zip(told["segments"], told["segments"][1:], strict=False):
        assert one["start"] < one["end"] <= other["start"]
    assert told["segments"][0]["start"] < 0.2
    assert told["segments"][1]["start"] == pytest.approx(len(conversation()[0]) / 32_000, abs=0.4)


def test_a_stream_tells_the_same_segments(server):
    file = wav(b"".join(conversation()))
    whole = post(server, *DIARIZE, file=file).json()
    lines = post(server, *DIARIZE, ("stream", "true"), file=file).text.split("\n\n")
    frames = [line for line in lines if '"transcript.text.segment"' in line]
    assert len(frames) == 3
    for frame, segment in zip(frames, whole["segments"], strict=True):
        assert f'"speaker":"{segment["speaker"]}"' in frame
        assert segment["text"] in frame
    assert not any('"transcript.text.delta"' in line for line in lines)


def test_any_other_name_tells_speakers_too_if_that_form_is_asked_for(server):
    told = post(server, ("model", "scripted"), ("response_format", "diarized_json"), file=wav(b"".join(conversation())))
    assert [each["speaker"] for each in told.json()["segments"]] == ["A", "B", "A"]


def test_known_speakers_have_their_names(server):
    known = [
        *(("known_speaker_names[]", name) for name in ("agent", "customer")),
        ("known_speaker_references[]", reference(*SECOND, *SECOND, high=True)),
        ("known_speaker_references[]", reference(*FIRST, *FIRST)),
    ]
    told = post(server, *DIARIZE, *known, file=wav(b"".join(conversation()))).json()
    assert [each["speaker"] for each in told["segments"]] == ["customer", "agent", "customer"]
    one = [("known_speaker_names[]", "agent"), known[2]]
    told = post(server, *DIARIZE, *one, file=wav(b"".join(conversation()))).json()
    assert [each["speaker"] for each in told["segments"]] == ["A", "agent", "A"]


def test_a_reference_may_be_of_any_container(server):
    audio = voice(*SECOND, *SECOND, high=True, rate=48_000, pause_s=1.0)
    flac = "data:audio/flac;base64," + pybase64.b64encode_as_string(encoded(audio, "flac", "flac"))
    known = [("known_speaker_names[]", "agent"), ("known_speaker_references[]", flac)]
    told = post(server, *DIARIZE, *known, file=wav(b"".join(conversation()))).json()
    assert [each["speaker"] for each in told["segments"]] == ["A", "agent", "A"]


@pytest.mark.parametrize(
    ("names", "references", "said"),
    [
        (["a"], [], "got 1 names and 0 recordings"),
        ([], [reference(*FIRST)], "got 0 names and 1 recordings"),
        (["a", "a"], [reference(*FIRST)] * 2, "each name once"),
        (["a"], ["https://a.example/a.wav"], "expected data URLs such as"),
        (["a"], ["data:audio/wav;base64,%%%"], "expected data URLs such as"),
        (["a"], ["data:audio/wav;base64,AAAA"], "The recording of 'a' cannot be read"),
        (["a"], [reference("alpha")], "Expected 2 to 10 seconds of audio"),
        (["a"], [reference(*FIRST * 10)], "Expected 2 to 10 seconds of audio"),
    ],
)
def test_wrong_references_are_refused(server, names, references, said):
    fields = [("known_speaker_names[]", name) for name in names]
    fields += [("known_speaker_references[]", url) for url in references]
    answer = post(server, *DIARIZE, *fields)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert said in error["message"]
    assert (error["code"], error["param"]) == ("invalid_value", "known_speaker_references")


def test_where_nobody_is_told_apart_references_are_ignored(server):
    assert post(server, ("model", "whisper-1"), ("known_speaker_names[]", "a")).status_code == 200


# ---- live


@pytest.mark.parametrize("dialect", ["ga", "beta"])
def test_live_segments_come_before_their_item_is_completed(server, dialect):
    with server.session(dialect) as wire:
        if dialect == "ga":
            asked = {"type": "transcription", "audio": {"input": {"transcription": {"model": DIARIZE[0][1]}}}}
            wire.send("session.update", session=asked)
        else:
            wire.send("transcription_session.update", session={"input_audio_transcription": {"model": DIARIZE[0][1]}})
        told = []
        for part in conversation(24_000):
            wire.send("input_audio_buffer.append", audio=base64(part))
            events = wire.until(COMPLETED)
            [segment] = [event for event in events if event["type"] == SEGMENT]
            assert segment["item_id"] == events[-1]["item_id"]
            assert segment["text"].strip() == events[-1]["transcript"]
            told.append(segment)
    assert [each["speaker"] for each in told] == ["A", "B", "A"]
    assert len({each["id"] for each in told}) == 3
    assert {"event_id", "content_index", "start", "end"} <= told[0].keys()
    assert told[0]["start"] < told[0]["end"] <= told[1]["start"]


def test_without_a_model_everybody_is_a_and_the_log_says_so_once(serve, caplog):
    with caplog.at_level(logging.WARNING, scheduler.log.name):
        server = Server(speaker_model="none")
        try:
            for _ in range(2):
                told = post(server, *DIARIZE, file=wav(b"".join(conversation()))).json()
                assert [each["speaker"] for each in told["segments"]] == ["A"] * 3
        finally:
            server.stop()
    assert sum("speakers are not told apart" in record.message for record in caplog.records) == 1


def test_voices_by_sherpa_onnx(tmp_path):
    """The whole way with the model that is the default, or one like it: two voices made of noise."""
    standins.voices(tmp_path / NAME)
    hush = np.zeros(16_000, np.float32)
    talk = [standins.low(3), hush, standins.high(3), hush, standins.low(2, seed=5), hush]
    server = Server(speaker_model=NAME, models_dir=tmp_path)
    try:
        told = post(server, *DIARIZE, file=wav(encode(np.concatenate(talk), "pcm16"))).json()
    finally:
        server.stop()
    assert [each["speaker"] for each in told["segments"]] == ["A", "B", "A"]
