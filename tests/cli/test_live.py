"""What stands on the screen: the real terminal codes, read back by a small screen."""

import io
import re

from rich.console import Console

from hark.cli.live import LiveView, StatusLine, clock
from hark.client import Turn

LONG = "The birch canoe slid on the smooth planks and these days a chicken leg is a rare dish. " * 3


def screen(codes: str) -> list[str]:
    """The lines that a terminal shows after these codes: those that rich's live display uses, and no others."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[\d;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", codes):
        match part[-1] if part[0] == "\x1b" else part:
            case "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            case "\r":
                column = 0
            case "A":
                row = max(row - int(re.findall(r"\d+", part)[0]), 0)
            case "K":
                lines[row] = ""
            case "m" | "h" | "l":
                pass
            case text:
                assert not text.startswith("\x1b"), f"unknown code {part!r}"
                lines[row] = lines[row][:column] + text + lines[row][column + len(text) :]
                column += len(text)
    return [line.rstrip() for line in lines]


def terminal(width=60, height=12) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None, _environ={})


def drawn(console: Console) -> list[str]:
    return screen(console.file.getvalue())


def status(at=2.0, total=10.0) -> StatusLine:
    return StatusLine("listening", lambda: at, total)


def refresh(view: LiveView) -> None:
    """Draw now, and do not wait for the thread that draws ten times a second."""
    view._live.refresh()


def test_the_clock_grows_hours_when_it_needs_them():
    assert [clock(seconds) for seconds in (0, 12.3, 59.96, 3599.9, 3612.3)] == [
        "00:00.0",
        "00:12.3",
        "00:59.9",
        "59:59.9",
        "1:00:12.3",
    ]


def test_the_growing_turn_stands_under_the_finished_ones_and_above_the_status():
    console = terminal()
    with LiveView(status(), console) as view:
        view.show(Turn(item_id="a", start_ms=100, text="open the"))
        refresh(view)
        view.show(Turn(item_id="a", start_ms=100, text="open the gate", final="Open the gate."))
        view.show(Turn(item_id="b", start_ms=12_300, text="and"))
        refresh(view)
        lines = drawn(console)
        assert lines[:2] == ["00:00.1  open the gate", "00:12.3  and …"]
        assert lines[2].startswith("● listening  ━")
        assert lines[2].endswith("00:02 / 00:10")


def test_at_the_end_only_the_transcript_is_left():
    console = terminal()
    with LiveView(status(), console) as view:
        for text in ("one", "one two", "one two three"):
            view.show(Turn(item_id="a", start_ms=0, text=text))
            refresh(view)
        view.show(Turn(item_id="a", start_ms=0, text="one two three", final="one two three"))
    assert [line for line in drawn(console) if line] == ["00:00.0  one two three"]


def test_a_long_turn_wraps_beside_its_time_and_is_drawn_once():
    console = terminal(width=50)
    with LiveView(status(), console) as view:
        for size in range(20, len(LONG), 20):
            view.show(Turn(item_id="a", start_ms=0, text=LONG[:size]))
            refresh(view)
        view.show(Turn(item_id="a", start_ms=0, text=LONG, final=LONG))
    lines = [line for line in drawn(console) if line]
    assert " ".join(line[9:] for line in lines).split() == LONG.split()
    assert lines[0].startswith("00:00.0  The")
    assert all(line.startswith(" " * 9) for line in lines[1:])


def test_a_growing_turn_taller_than_the_terminal_shows_its_end():
    console = terminal(width=24, height=6)
    with LiveView(status(), console) as view:
        view.show(Turn(item_id="a", start_ms=0, text=LONG + "the end"))
        refresh(view)
        lines = [line for line in drawn(console) if line]
        assert len(lines) <= 5
        assert lines[-2].endswith("the end …")
        view.show(Turn(item_id="a", start_ms=0, text=LONG, final=LONG))
    said = " ".join(line for line in drawn(console) if line).split()
    assert said == ["00:00.0", *LONG.split()]


def test_no_line_is_wider_than_a_narrow_terminal():
    console = terminal(width=18, height=8)
    with LiveView(status(), console) as view:
        view.show(Turn(item_id="a", start_ms=0, text="incomprehensibilities abound"))
        refresh(view)
        lines = drawn(console)
        assert max(map(len, lines)) <= 18
        assert "00:02 / 00:10" in lines


def test_an_interrupted_turn_stays_on_the_screen():
    console = terminal()
    with LiveView(status(), console) as view:
        view.show(Turn(item_id="a", start_ms=0, text="cut"))
    assert [line for line in drawn(console) if line] == ["00:00.0  cut …"]


def test_a_failed_turn_says_why_and_an_empty_one_nothing():
    console = terminal()
    with LiveView(status(), console) as view:
        view.show(Turn(item_id="a", start_ms=0, final=""))
        view.show(Turn(item_id="b", start_ms=500, text="half", failed="The model failed."))
    assert [line for line in drawn(console) if line] == ["00:00.5  (not transcribed: The model failed.)"]


def test_without_a_terminal_each_finished_turn_is_one_plain_line():
    file = io.StringIO()
    with LiveView(status(), Console(file=file, width=20, _environ={})) as view:
        view.show(Turn(item_id="a", start_ms=0, text="[b]one"))
        view.show(Turn(item_id="a", start_ms=0, text=LONG.strip(), final=LONG.strip()))
        view.show(Turn(item_id="b", start_ms=0, text="[b]", final="[b]"))
        assert file.getvalue() == f"00:00.0  {LONG.strip()}\n00:00.0  [b]\n"
    assert "\x1b" not in file.getvalue()


def test_the_status_needs_no_total():
    console = terminal()
    console.print(status(total=None))
    assert drawn(console)[0] == "● listening  00:02"


def test_when_all_audio_is_sent_the_status_says_so():
    console = terminal()
    console.print(status(at=10.2))
    assert drawn(console)[0].startswith("● finishing")
