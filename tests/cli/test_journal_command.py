"""`hark journal`: what was written down is listed, shown in every form, exported and erased."""

import json
import stat
import time
from contextlib import closing
from datetime import datetime

import pytest

from hark.cli.main import main
from hark.core.messages import SpeakerSegment, Word
from hark.journal.records import Closed, Entry
from hark.journal.store import FILE, Store, put, transaction
from journalling import begun, item, session

DAY_S = 86_400
WORDS = (Word("One,", 500, 800), Word("two.", 5_000, 5_400), Word("Three", 5_500, 5_900), Word("four.", 12_000, 12_400))
TALK = "One, two. Three four."


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "kept")


@pytest.fixture
def hark(store, monkeypatch, capsys):
    """Runs a command on the store; the exit code, and what it wrote to both streams."""
    monkeypatch.setenv("HARK_JOURNAL", str(store.path.parent))
    monkeypatch.setenv("COLUMNS", "250")

    def run(*words):
        monkeypatch.setattr("sys.argv", ["hark", "journal", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def talks(store):
    """Two sessions: of yesterday, with a turn that failed and one that never ended, and of eight days ago."""
    now = time.time()
    one = session(opened_at=now - DAY_S)
    two = session("sess_2", key_id="k2", key_name="desk", opened_at=now - 8 * DAY_S)
    turn = item(audio_start_ms=400, audio_end_ms=12_500, transcript=TALK, words=WORDS, recorded_at=now - DAY_S)
    parts = (
        SpeakerSegment("item_1", "s0", "A", 0, 900, "hello"),
        SpeakerSegment("item_1", "s1", "B", 900, 2_000, "bye"),
    )
    spoken = item(
        audio_start_ms=0, audio_end_ms=2_000, transcript="hello bye", segments=parts, recorded_at=now - 8 * DAY_S
    )
    silent = item("item_0", transcript="", recorded_at=now)
    failed = begun("item_2", failure="server_error", recorded_at=now)
    records = [Entry(one, silent), Entry(one, turn), Entry(one, failed), Entry(one, begun("item_3", recorded_at=now))]
    with closing(store.open()) as database, transaction(database):
        for record in [*records, Entry(two, spoken), Closed("sess_2", two.opened_at + 60)]:
            put(database, record)
    return {"sess_1": one, "sess_2": two}


def test_sessions_are_listed(hark, talks):
    code, out, err = hark("list")
    rows = [line.split() for line in out.splitlines()]
    assert code == 0
    assert [row[0] for row in rows] == ["session", "sess_2", "sess_1"]
    opened = datetime.fromtimestamp(talks["sess_1"].opened_at).astimezone().strftime("%Y-%m-%d %H:%M:%S").split()
    assert rows[2] == ["sess_1", *opened, "phone", "websocket", "13.1", "4", "2", *TALK.split()]
    assert err.startswith("2 in ")


def test_at_80_columns_an_id_can_still_be_copied(hark, store, monkeypatch):
    with closing(store.open()) as database, transaction(database):
        for number in range(2):
            one = session(f"sess_{number:022d}", key_name="the desk phone" * number or "a", opened_at=time.time())
            put(database, Entry(one, item(f"item_{number}", transcript="so many words " * 9, recorded_at=time.time())))
    for columns in (80, 100, 120, 140):
        monkeypatch.setenv("COLUMNS", str(columns))
        code, out, _ = hark("list")
        words = out.split()
        assert code == 0
        assert {f"sess_{number:022d}" for number in range(2)} <= set(words)
        assert {"a", "phone", "websocket"} <= set(words)
        assert "so many words so many" in " ".join(words)
        assert max(len(line.rstrip()) for line in out.splitlines()) <= columns


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        (["--since", "7d"], ["sess_1"]),
        (["--until", "36h"], ["sess_2"]),
        (["--key", "desk"], ["sess_2"]),
        (["--key", "nobody"], []),
        (["--since", "2020-01-01", "--until", "2020-01-01T12:30+02:00"], []),
        ([], ["sess_2", "sess_1"]),
    ],
)
def test_some_are_listed_for_programs(hark, talks, flags, shown):
    code, out, _ = hark("list", "--json", *flags)
    listed = json.loads(out)
    assert code == 0
    assert [each["id"] for each in listed] == shown
    if "sess_1" in shown:
        told = {"items": 4, "missing": 2, "first": TALK, "key_name": "phone", "closed_at": None}
        assert listed[-1].items() >= told.items()


def test_a_session_is_shown_with_its_gaps(hark, talks):
    code, out, err = hark("show", "sess_1")
    assert code == 0
    assert out.splitlines() == [
        TALK,
        "[item_2, spoken at 1970-01-01T00:16:40.500Z, has no transcript: server_error]",
        "[item_3, spoken at 1970-01-01T00:16:40.500Z, has no transcript: unfinished]",
    ]
    assert err == "sess_1: items without a transcript: 2 (server_error, unfinished)\n"


def test_subtitles_follow_the_words(hark, talks):
    code, out, _ = hark("show", "sess_1", "--format", "srt")
    assert code == 0
    assert out == ("1\n00:00:00,500 --> 00:00:05,400\nOne, two.\n\n2\n00:00:05,500 --> 00:00:12,400\nThree four.\n")
    code, out, _ = hark("show", "sess_1", "--format", "vtt")
    assert out.startswith(
        "WEBVTT\n\nNOTE item_2, spoken at 1970-01-01T00:16:40.500Z, has no transcript: server_error\n\nNOTE "
    )
    assert "\n\n00:00:00.500 --> 00:00:05.400\nOne, two.\n" in out


def test_speakers_have_lines_of_their_own(hark, talks):
    assert hark("show", "sess_2")[1] == "A: hello\nB: bye\n"
    assert hark("show", "sess_2", "--format", "srt")[1] == (
        "1\n00:00:00,000 --> 00:00:00,900\nA: hello\n\n2\n00:00:00,900 --> 00:00:02,000\nB: bye\n"
    )


def test_json_has_all(hark, talks):
    told = json.loads(hark("show", "sess_1", "--format", "json")[1])
    silent, turn, failed, unfinished = told["items"]
    assert (told["id"], told["key_id"], told["closed_at"]) == ("sess_1", "k1", None)
    assert (silent["transcript"], turn["transcript"], turn["start_ms"], turn["end_ms"]) == ("", TALK, 400, 12_500)
    assert turn["words"][1] == {"word": "two.", "start_ms": 5_000, "end_ms": 5_400}
    assert "transcript" not in failed | unfinished
    assert (failed["missing"], unfinished["missing"]) == ("server_error", "unfinished")
    lines = [json.loads(line) for line in hark("show", "sess_1", "--format", "jsonl")[1].splitlines()]
    session_of = {name: value for name, value in told.items() if name != "items"}
    assert lines == [{"session": session_of, **each} for each in told["items"]]


def test_files_are_for_their_owner(hark, talks, tmp_path):
    target = tmp_path / "talk.srt"
    target.write_text("old")
    assert hark("show", "sess_2", "--format", "srt", "-o", target)[:2] == (0, "")
    assert "A: hello" in target.read_text()
    code, _, err = hark("export", tmp_path / "all", "--format", "vtt")
    assert code == 0
    assert "Files written: 2" in err
    files = sorted((tmp_path / "all").iterdir())
    assert [file.name.partition("-sess")[2] for file in files] == ["_2.vtt", "_1.vtt"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in [target, *files]} == {0o600}
    assert stat.S_IMODE((tmp_path / "all").stat().st_mode) == 0o700
    assert "Files written: 1" in hark("export", tmp_path / "some", "--since", "7d")[2]
    assert [file.suffix for file in (tmp_path / "some").iterdir()] == [".txt"]


def test_sessions_are_erased(hark, talks, store):
    code, _, err = hark("delete", "sess_2")
    assert (code, err) == (0, f"Sessions deleted: 1, of {store.path}\n")
    code, _, err = hark("delete", "sess_1", "sess_2")
    assert code == 1
    assert "Sessions deleted: 1" in err
    assert "There is no session sess_2" in err
    assert store.listed() == []
    assert TALK.encode() not in store.path.read_bytes()


def test_old_ones_are_erased(hark, talks, store):
    assert hark("purge", "--older-than", "7")[2] == f"Items deleted: 1, of {store.path}\n"
    assert [each.session.id for each in store.listed()] == ["sess_1"]
    assert hark("purge", "--older-than", "0")[2].startswith("Items deleted: 4,")
    assert store.listed() == []


def test_what_is_not_there(hark, store, tmp_path, monkeypatch):
    code, _, err = hark("list")
    assert code == 1
    assert f"There is no journal {store.path}. hark serve --journal {store.path.parent} makes one." in err
    assert not store.path.parent.exists()
    monkeypatch.delenv("HARK_JOURNAL")
    assert "Expected the folder of a journal: --journal FOLDER, or HARK_JOURNAL" in hark("list")[2]
    store.check()
    code, out, err = hark("show", "sess_9", "--journal", store.path.parent)
    assert (code, out) == (1, "")
    assert "There is no session sess_9 in" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["list", "--since", "yesterday"],
            1,
            "--since: expected a date, a time or an age: 2026-11-21, 2026-11-21T14:30",
        ),
        (["list", "--until", "2026-13-01"], 1, "--until: expected a date"),
        (["purge", "--older-than", "-1"], 2, "--older-than"),
        (["show", "sess_1", "--format", "doc"], 2, "--format"),
        (["show", "sess_1", "-o", "/nowhere/at/all"], 1, "Cannot write /nowhere/at/all: No such file or directory."),
        (["export", "/dev/null/x"], 1, "Cannot make the folder /dev/null/x: Not a directory."),
    ],
)
def test_wrong_use_is_told(hark, talks, words, code, said):
    ended, out, err = hark(*words)
    assert (ended, out) == (code, "")
    assert said in " ".join(err.split())
    assert "Traceback" not in err


def test_a_file_that_is_no_journal_is_told(hark, store):
    store.path.parent.mkdir()
    (store.path.parent / FILE).write_text("no database " * 100)
    code, _, err = hark("list")
    assert code == 1
    assert "cannot be used: file is not a database" in " ".join(err.split())
