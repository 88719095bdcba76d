"""Wrong use of the command line: one line that says what was expected and what came, and exit code 2, or 1."""

import pytest

from hark.cli.main import main


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("serve --port 70000", 2, "--port: input should be less than or equal to 65535; got '70000'."),
        ("serve --max-session-minutes 0", 2, "--max-session-minutes: input should be greater than or equal to 1"),
        ("serve --log-level loud", 2, "--log-level: input should be 'debug', 'info', 'warning' or 'error'"),
        ("serve --prot 1", 2, "Unknown option: --prot. Did you mean --port?"),
        ("serve stray", 2, "stray"),
        ("bogus", 2, "Available commands: serve, transcribe, pull, models, keys, journal, ray, doctor, ..."),
        ("ray config --port x", 2, "--port"),
        ("transcribe", 2, "FILE requires an argument"),
        ("pull nothing-like-it", 1, "Expected: moonshine-tiny-en, silero-vad, smart-turn, samples"),
        ("serve --host 0.0.0.0", 1, "Set one with --api-key or HARK_API_KEY"),
        ("serve --model gpt-5", 1, "There are: "),
        ("serve --aliases fast", 1, "--aliases fast: expected NAME=MODEL"),
        ("serve --aliases fast=gpt-5", 1, "--aliases fast=gpt-5: no such model is installed. There are: "),
        ("serve --transcription-model gpt-5", 1, "--transcription-model gpt-5: no such model name. There are: "),
        ("serve --session-model whisper-1", 1, "--session-model whisper-1: no model of a realtime session."),
        ("serve --voice-model moonshine-tiny-en", 1, "There are: scripted-vad, silero-vad."),
    ],
)
def test_wrong_use_is_told_in_one_line(command, code, said, monkeypatch, capsys):
    assert _run(command, monkeypatch) == code
    out, err = capsys.readouterr()
    assert not out
    told = " ".join(err.split())
    assert told.startswith("hark: ")
    assert said in told
    assert "pydantic" not in told
    assert "Traceback" not in told


def test_a_wrong_variable_is_named_as_a_variable(monkeypatch, capsys):
    monkeypatch.setenv("HARK_PORT", "eight")
    assert _run("serve", monkeypatch) == 2
    assert capsys.readouterr().err.startswith("hark: HARK_PORT: input should be a valid integer")


def _run(command, monkeypatch):
    monkeypatch.setattr("sys.argv", ["hark", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code
