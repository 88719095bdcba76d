"""The table of clients: what a row says of its tests and logs, and which rows a run replaces."""

import json

import pytest

import matrix
from eventlog import Connection
from matrix import BEGIN, END, HEAD, Row

OPENED = {"at": 0.0, "direction": "sent", "connect": {"transport": "websocket", "url": "/v1/realtime"}}
HEARD = {"type": "conversation.item.input_audio_transcription.delta", "event_id": "e", "item_id": "i", "delta": "a"}
CLOSED = {"at": 1.0, "direction": "sent", "close": {"code": 1000, "reason": ""}}
CUT = {"at": 1.0, "direction": "received", "close": {"code": 1011, "reason": ""}}
ERROR = {"type": "error", "event_id": "e", "error": {"type": "invalid_request_error", "message": "no"}}


def received(event):
    return {"at": 0.5, "direction": "received", "event": event}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([received(HEARD), CLOSED], "words right, clean end, every event valid"),
        ([received(HEARD | {"item_id": None}), CLOSED], "words right, clean end, events invalid"),
        ([received({"type": "hark.voice_activity"}), CLOSED], "words right, clean end, every event valid"),
        ([received(ERROR), CLOSED], "words right, no clean end, every event valid"),
        ([received(HEARD), CUT], "words right, no clean end, every event valid"),
        ([received(HEARD)], "words right, no clean end, every event valid"),
        ([CLOSED], "words right"),
    ],
)
def test_a_row_says_what_its_log_shows(tmp_path, lines, said):
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in [OPENED, *lines]))
    row = Row("client", "WebSocket", "all")
    row.logs.add(log)
    assert row.outcome() == said
    row.passed = False
    assert row.outcome() == "fails"


@pytest.mark.parametrize(
    ("session", "dialect", "valid"),
    [
        ({"type": "transcription", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}}, "ga", True),
        ({"type": "transcription", "audio": {"input": {"format": {"type": "audio/mp3"}}}}, "ga", False),
        ({"input_audio_format": {"type": "pcm16", "rate": 8_000}}, "beta", True),
        ({"input_audio_format": 16_000}, "beta", False),
    ],
)
def test_only_what_is_listed_is_excused(tmp_path, session, dialect, valid):
    log = tmp_path / "log.jsonl"
    kind = "session.updated" if dialect == "ga" else "transcription_session.updated"
    log.write_text(json.dumps(received({"type": kind, "event_id": "e", "session": session})) + "\n")
    found = Connection(log)
    assert found.dialect == dialect
    assert (found.faults == []) == valid


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page with a row of each of two test files that there are, and of one that is gone."""
    (tmp_path / "tests").mkdir()
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / "tests" / name).touch()
    path = tmp_path / "clients.md"
    rows = [Row(name, "HTTP", "old").line(f"tests/test_{name}.py") for name in "abc"]
    path.write_text(f"# Clients\n\nProse.\n\n{BEGIN}{HEAD}{''.join(rows)}{END}Last words.\n")
    monkeypatch.setattr(matrix, "PAGE", path)
    monkeypatch.setattr(matrix, "ROOT", tmp_path)
    return path


def test_a_run_replaces_the_rows_of_its_files_alone(page):
    new = Row("a", "HTTP", "new")
    assert matrix.rewrite({"tests/test_a.py": {"a": new}})
    kept = Row("b", "HTTP", "old").line("tests/test_b.py")
    rows = new.line("tests/test_a.py") + kept
    assert page.read_text() == f"# Clients\n\nProse.\n\n{BEGIN}{HEAD}{rows}{END}Last words.\n"
    assert not matrix.rewrite({"tests/test_a.py": {"a": new}})
    assert matrix.rewrite({"tests/test_a.py": {}})
    assert f"{HEAD}{kept}{END}" in page.read_text()


def test_versions_are_read_where_a_client_is(tmp_path):
    package = tmp_path / "@some" / "client"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"version": "1.2.3"}')
    info = tmp_path / "lib" / "python3.99" / "site-packages" / "a_client-4.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a-client\nVersion: 4.5\n")
    assert [matrix.version(name, tmp_path) for name in ("@some/client", "a-client", "another")] == [
        "1.2.3", "4.5", "not there",
    ]  # fmt: skip
