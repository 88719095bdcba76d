"""The command as people run it: a real file, a real server, what stands on each output, and the exit code."""

import io
import json
import sys
import wave
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hark.cli.transcribe import FAILED, WRONG_USE, transcribe_command
from hark.models.scripted import amplitude


@pytest.fixture
def recording(tmp_path, monkeypatch):
    monkeypatch.setenv("HARK_MODEL", "scripted")
    monkeypatch.setenv("HARK_VOICE_MODEL", "scripted-vad")
    monkeypatch.setenv("HARK_API_KEY", "sk-of-another-server")
    words = [np.full(3_200, amplitude(word), np.float32) for word in ("alpha", "golf")]
    pause = np.zeros(12_800, np.float32)
    sound = np.concatenate([pause, *words, pause, words[0], pause])
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((sound * 32_767).astype("<i2").tobytes())
    return path


def test_the_text_alone_is_printed(recording, capsys):
    assert transcribe_command(recording) == 0
    assert capsys.readouterr() == ("alpha golf\nalpha\n", "")


def test_live_prints_a_line_a_turn(recording, capsys):
    assert transcribe_command(recording, live=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[9:] for line in lines] == ["alpha golf", "alpha"]
    assert lines[0].startswith("00:00.")


def test_a_file_is_written_by_its_suffix(recording, capsys, tmp_path):
    output = tmp_path / "out.json"
    assert transcribe_command(recording, output=output) == 0
    told = json.loads(output.read_text())
    assert (told["text"], told["duration"], len(told["turns"])) == ("alpha golf alpha", 3.0, 2)
    assert capsys.readouterr().out == ""


def test_standard_input_is_a_file_too(recording, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(recording.read_bytes())))
    assert transcribe_command(Path("-")) == 0
    assert capsys.readouterr().out == "alpha golf\nalpha\n"


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("missing.wav", {}, "No such file"),
        ("broken.wav", {}, "FFmpeg cannot read"),
        ("a.wav", {"output": "out.doc"}, "ends in .txt, .srt, .vtt, .json"),
        ("a.wav", {"output": "nowhere/out.srt"}, "folder that exists"),
        ("a.wav", {"url": "localhost:8000"}, "Expected the address of a server"),
    ],
)
def test_wrong_use_is_told_before_any_work(recording, capsys, name, options, complaint):
    (recording.parent / "broken.wav").write_text("no sound")
    if "output" in options:
        options = {"output": recording.parent / options["output"]}
    assert transcribe_command(recording.parent / name, **options) == WRONG_USE
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err


def test_no_server_at_the_url_is_a_failure(recording, capsys):
    assert transcribe_command(recording, url="http://127.0.0.1:1") == FAILED
    assert "hark serve" in capsys.readouterr().err


def test_a_recording_without_speech_is_told(recording, capsys):
    with wave.open(str(recording), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16_000))
    assert transcribe_command(recording) == 0
    assert capsys.readouterr() == ("", "hark transcribe: no speech was found in 1.0 s of audio.\n")


def test_the_key_for_a_running_server_may_come_from_the_environment(recording, capsys, serve, monkeypatch):
    url = serve(api_key="sk-of-another-server").url
    assert transcribe_command(recording, url=url) == 0
    assert capsys.readouterr().out == "alpha golf\nalpha\n"
    monkeypatch.setenv("HARK_API_KEY", "sk-wrong")
    assert transcribe_command(recording, url=url) == FAILED
    assert "Incorrect API key provided" in capsys.readouterr().err
