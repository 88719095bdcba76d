"""`hark doctor`: for people and for programs, with what stands in the environment."""

import json
import os
import subprocess
import sys

import pytest

from hark.cli.doctor import _key_from_outside
from hark.cli.main import main
from hark.config import Settings
from serving import Server

KEY = "sk-doctor-0123456789"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    server = Server(api_key=KEY, event_log=str(tmp_path_factory.mktemp("events")))
    yield server
    server.stop()


@pytest.fixture
def run(monkeypatch, tmp_path, capsys, samples):
    """The exit code and what was printed, on standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    for name in ("HARK_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def ran(*arguments, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.argv", ["hark", "doctor", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return ran


def test_a_healthy_server(run, keyed):
    code, out, complaints = run(keyed.url, "--api-key", KEY)
    assert (code, complaints) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"hark doctor {keyed.url}"
    assert lines[-1] == "Nothing is broken."
    assert all(line.startswith((" ✓ ", " – ")) for line in lines[2:-2])
    assert any(line.startswith(" ✓ WebRTC") for line in lines)
    assert KEY not in out


@pytest.mark.parametrize("name", ["HARK_API_KEY", "OPENAI_API_KEY"])
def test_the_environment_of_a_client(run, keyed, name):
    code, out, _ = run("--json", OPENAI_BASE_URL=f"{keyed.url}/v1", **{name: KEY})
    report = json.loads(out)
    assert (code, report["healthy"], report["finding"], report["url"]) == (0, True, None, f"{keyed.url}/v1")
    assert {step["outcome"] for step in report["steps"]} == {"ok", "skipped"}
    assert KEY not in out


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_key_in_the_url_is_not_shown(run, keyed, flags):
    code, out, complaints = run(f"{keyed.url.replace('http', 'ws')}/v1/realtime?api-key={KEY}", *flags)
    assert (code, complaints) == (0, "")
    assert "/v1/realtime?api-key=sk***89" in out
    assert KEY not in out


def test_a_terminal_without_unicode(keyed):
    start = "from hark.cli.main import main; main()"
    command = [sys.executable, "-c", start, "doctor", keyed.url, "--api-key", "sk-wrong-0123456789"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.endswith("Broken: wrong-key.\n")


@pytest.mark.parametrize(
    ("host", "key"), [("api.openai.com", "openai"), ("127.0.0.1", "own"), ("openai.com.example", "own")]
)
def test_a_key_of_hark_is_not_shown_to_openai(monkeypatch, host, key):
    monkeypatch.setenv("OPENAI_API_KEY", "openai")
    assert _key_from_outside(Settings(_env_file=None, api_key="own"), host) == key
    assert _key_from_outside(Settings(_env_file=None), host) == "openai"


def test_what_is_broken(run, keyed):
    code, out, _ = run(keyed.url, "--api-key", "sk-wrong-0123456789")
    assert code == 1
    assert " ✗ key " in out
    for label in ("name  wrong-key", "means ", "mend  "):
        assert f"             {label}" in out
    assert out.endswith("Broken: wrong-key.\n")
    assert "sk-wrong-0123456789" not in out


def test_a_finding_is_explained_once(run, today):
    code, out, _ = run(today.url, "--api-key", today.key)
    assert code == 0
    assert out.count("The client speaks the beta dialect") == 1
    assert "name  beta-switched-off, as above" in out
    assert out.endswith("notes beside it.\n")


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_log(run, tmp_path, flags):
    path = tmp_path / "events.jsonl"
    created = {"type": "session.created", "session": {"audio": {"input": {"turn_detection": None}}}}
    events = [created, {"type": "input_audio_buffer.append", "audio": "AAAA"}]
    path.write_text("".join(json.dumps({"event": event}) + "\n" for event in events))
    code, out, _ = run("--log", str(path), *flags)
    assert code == 1
    if flags:
        assert json.loads(out)["finding"] == "never-committed"
    else:
        assert out.endswith("Broken: never-committed.\n")


WRONG = {
    "no address": (("nonsense://x",), "Expected the address of a server"),
    "a port that is none": (("http://127.0.0.1:99999",), "Expected the address of a server"),
    "no such log": (("--log", "not-there"), "Cannot read not-there: No such file or directory."),
    "both": (
        ("http://127.0.0.1:1", "--log", "x"),
        "Expected a URL, to ask a server, or --log, to read a log; got both.",
    ),
    "no such recording": (("http://127.0.0.1:1", "--file", "not-there.wav"), "not-there.wav"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_command_line(run, case):
    arguments, complaint = WRONG[case]
    code, out, complaints = run(*arguments)
    assert (code, out) == (2, "")
    assert complaints.startswith("hark doctor: ")
    assert complaint in complaints


def test_without_a_recording_speech_is_left_out(run, keyed, tmp_path):
    code, out, _ = run(keyed.url, "--api-key", KEY, HARK_MODELS_DIR=str(tmp_path))
    assert code == 0
    assert " – speech    there is no recording to send: hark pull fetches one, or name a --file" in out
