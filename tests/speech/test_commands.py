"""The commands as processes, with the real models: what stands on each output, and how the server ends."""

import json
import re
import signal
import subprocess

import pytest

from listening import BECKETT, HARK, STARTED, Process, configure, environment, send, server_vad, words

PATIENCE_S = 60
TIME = r"\d\d:\d\d:\d\d[.,]\d{3}"


def run(home, *arguments):
    """The command `hark` in an empty folder, started."""
    return subprocess.Popen(
        [HARK, *arguments], cwd=home, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_recording_becomes_text_and_files(server, samples, tmp_path):
    sample = str(samples / "beckett.wav")
    there = ("--url", server.url)
    started = [
        run(tmp_path, "transcribe", sample),
        run(tmp_path, "transcribe", sample, *there),
        *(run(tmp_path, "transcribe", sample, *there, "-o", f"out.{suffix}") for suffix in ("srt", "vtt", "json")),
    ]
    ended = [(*process.communicate(timeout=PATIENCE_S), process.returncode) for process in started]
    printed = ended[0][0]
    assert [(error, code) for _, error, code in ended] == [("", 0)] * 5
    assert [out for out, _, _ in ended] == [printed, printed, "", "", ""]
    assert words(printed)[:8] == words(BECKETT)[:8]
    told = json.loads((tmp_path / "out.json").read_text())
    turns = printed.splitlines()
    assert [turn["text"] for turn in told["turns"]] == turns
    assert told["duration"] == pytest.approx(9.963, abs=0.001)
    for suffix in ("srt", "vtt"):
        written = (tmp_path / f"out.{suffix}").read_text()
        assert len(re.findall(rf"^{TIME} --> {TIME}$", written, re.MULTILINE)) == len(turns)
        assert [line for line in written.splitlines() if line in turns] == turns
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "out.srt", "out.vtt"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_server_told_to_end_says_so_to_its_clients_and_ends(recording, samples, tmp_path, how):
    server = Process(tmp_path)
    with server.session() as talking, server.session() as idle:
        configure(talking, "ga", detection=server_vad(500))
        send(talking, recording("two_cities")[: 3 * 16_000])
        assert talking.receive()["type"] == STARTED
        server.end(how)
        # "Service restart": clients that can reconnect do (contract B.3).
        assert talking.ending()[1] == idle.ending()[1] == 1012
    server.stop()
