"""The command as people run it: against a server that runs, against one of its own, and with every wrong use."""

import json
import wave
from functools import partial
from xml.etree import ElementTree

import numpy as np
import pytest

from hark.bench import load
from hark.bench.clips import Wanted
from hark.bench.schedule import Plan
from hark.cli import bench
from hark.cli.bench import FAILED, WRONG_USE, bench_command
from hark.models.scripted import ScriptedScorer, amplitude


@pytest.fixture
def folder(tmp_path, monkeypatch, samples):
    """Two clips in the words of the scripted model, whose words are known. What tells speech there is its scorer. They
    are shorter than speech has to be, and so are pauses, for all is played in real time."""
    monkeypatch.setattr(bench, "silero", lambda _: ScriptedScorer())
    monkeypatch.setattr(bench, "Wanted", partial(Wanted, shortest=0.5))
    monkeypatch.setattr(bench, "Plan", partial(Plan, pauses=(0.6, 0.7)))
    monkeypatch.setattr(load, "BREATH_S", 0.0)
    (tmp_path / "clips").mkdir()
    for name, words in {"a": ["alpha", "golf"] * 2, "b": ["bravo"] * 4}.items():
        levels = [np.zeros(1_600), *(np.full(3_200, amplitude(word)) for word in words), np.zeros(4_800)]
        write(tmp_path / "clips" / f"{name}.wav", np.concatenate(levels))
        (tmp_path / "clips" / f"{name}.txt").write_text(" ".join(words))
    return tmp_path / "clips"


def write(path, sound):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((sound * 32_767).astype("<i2").tobytes())


def test_a_running_server_is_measured(folder, server, capsys, tmp_path):
    files = {"json_file": tmp_path / "a.json", "svg": tmp_path / "a.svg"}
    assert bench_command(folder, url=server.url, sessions=3, seconds=3, **files) == 0
    out, err = capsys.readouterr()
    assert "3 sessions, 3 s each" in out
    assert "0 without a transcript, 0 failed. 0 sessions refused" in out
    assert "Word error rate 0.0%" in out
    assert err.startswith("3 sessions: p95 ")
    told = json.loads(files["json_file"].read_text())
    assert told["most_sessions"] is None
    [level] = told["levels"]
    assert (level["sessions"], level["missed"], level["valid"]) == (3, 0, True)
    assert ElementTree.parse(files["svg"]).getroot().tag.endswith("svg")


def test_a_server_of_its_own_is_measured_with_its_processes(folder, capsys, monkeypatch):
    for name, model in {"MODEL": "scripted", "VOICE_MODEL": "scripted-vad", "TURN_MODEL": "none"}.items():
        monkeypatch.setenv(f"HARK_{name}", model)
    assert bench_command(folder, sessions=1, seconds=3) == 0
    out = capsys.readouterr().out
    assert "Server: " in out
    assert " cores, " in out


def test_calls_to_a_server_of_its_own_are_measured(folder, capsys, monkeypatch, tmp_path):
    """Tones, for which a codec has a use."""
    for name, model in {"MODEL": "scripted", "VOICE_MODEL": "scripted-vad", "TURN_MODEL": "none"}.items():
        monkeypatch.setenv(f"HARK_{name}", model)
    for path in folder.glob("*.txt"):
        path.unlink()
    for name, seconds in {"a": 0.8, "b": 0.6}.items():
        sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 16_000)) / 16_000)
        write(folder / f"{name}.wav", np.concatenate([np.zeros(1_600), sound, np.zeros(4_800)]))
    report = tmp_path / "calls.json"
    assert bench_command(folder, transport="webrtc", sessions=2, seconds=3, json_file=report) == 0
    out = capsys.readouterr().out
    assert "2 sessions over WebRTC, 3 s each" in out
    assert "0 without a transcript, 0 failed. 0 sessions refused" in out
    assert "Server: " in out
    told = json.loads(report.read_text())
    assert told["transport"] == "webrtc"
    [level] = told["levels"]
    assert level["turns"] >= 1
    # 300 ms of silence, less the windows and the packet in which they end; nobody can be as late as a minute
    assert 240 < level["final_ms"]["p50"] < 60_000


def test_the_search_says_the_most(folder, server, capsys, monkeypatch):
    monkeypatch.setattr(bench, "MOST", 2)
    assert bench_command(folder, url=server.url, start=1, seconds=3, limit_ms=20_000) == 0
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in err.splitlines()] == ["1 sessions", "2 sessions"]
    assert "Carried: 2 sessions with p95 of end of speech → completed under 20000 ms." in out


def test_a_late_load_generator_is_no_result(folder, server, capsys, monkeypatch):
    monkeypatch.setattr("hark.bench.measures.LATE_S", -1.0)
    assert bench_command(folder, url=server.url, start=1, seconds=3, limit_ms=1) == FAILED
    out, err = capsys.readouterr()
    assert "Carried" not in out
    assert err.count("1 sessions: p95") == 2  # tried once more
    assert "no result" in err


def test_a_session_that_is_refused_says_why(folder, serve, capsys):
    assert bench_command(folder, url=serve(api_key="sk-other").url, api_key="sk-wrong", sessions=1, seconds=3) == 0
    assert "1 sessions refused or ended" in (out := capsys.readouterr().out)
    assert "The server said: " in out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"url": "localhost:8000"}, "Expected the address of a server"),
        ({"protocol": "grpc"}, "Expected --protocol to be one of openai, sherpa"),
        ({"protocol": "vosk"}, "Expected --url with the address of a server that speaks vosk"),
        ({"sessions": 0}, "Expected --sessions from 1"),
        ({"start": 0}, "Expected --start from 1"),
        ({"limit_ms": 0}, "Expected --limit-ms from 1"),
        ({"percentile_of": 0}, "Expected --percentile from 1"),
        ({"percentile_of": 101}, "Expected --percentile from 1"),
        ({"silence_ms": 0}, "Expected --silence-ms from 1"),
        ({"frame_ms": 5}, "Expected --frame-ms from 10"),
        ({"rate": 4_000}, "Expected --rate from 8000"),
        ({"jitter_ms": -1}, "Expected --jitter-ms from 0"),
        ({"transport": "carrier-pigeon"}, "Expected --transport to be one of websocket, webrtc; got 'carrier-pigeon'"),
        ({"transport": "webrtc", "protocol": "vosk"}, "Expected --transport webrtc with --protocol openai alone"),
        ({"transport": "webrtc", "rate": 16_000}, "Expected no --rate with --transport webrtc"),
        ({"transport": "webrtc", "frame_ms": 100}, "Expected --frame-ms to be one of 10, 20, 40, 60 with"),
        ({"transport": "webrtc", "url": "localhost:8000"}, "Expected the address of a server"),
        ({"seconds": 1}, "Expected --seconds of at least 2"),
        ({"kind": "sung"}, None),
    ],
)
def test_wrong_use_is_told_before_anything_is_played(folder, capsys, options, complaint):
    if complaint is None:
        (folder / "manifest.jsonl").write_text('{"file": "a.wav", "kind": "read"}\n')
        complaint = "found none in"
    assert bench_command(folder, **options) == WRONG_USE
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err


def test_a_folder_that_is_none(capsys, tmp_path, samples):
    assert bench_command(tmp_path / "nowhere") == WRONG_USE
    assert "is none" in capsys.readouterr().err


def test_a_file_that_cannot_be_written(folder, server, capsys, tmp_path):
    assert bench_command(folder, url=server.url, sessions=1, seconds=3, json_file=tmp_path / "no" / "a.json") == FAILED
    assert "could not write" in capsys.readouterr().err
