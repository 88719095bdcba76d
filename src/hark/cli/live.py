"""The transcript as it comes, in a terminal: finished turns scroll up, the growing one stands under them, and below it
one line says how far the audio has come.

Rule: a finished turn is printed once and never touched again; only the lines under it are drawn anew. Where the output
is no terminal there are no control codes: a line a turn, when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from hark.client import Turn

FRAMES_PER_SECOND: Final = 10
# Left free at the end of the status line: a terminal echoes ^C there, and at the edge that would start a new line.
ECHO_COLUMNS: Final = 4
# Narrower than this, the text runs on under its time instead of beside it, and there is no bar.
NARROW: Final = 40


def clock(seconds: float) -> str:
    """00:12.3, and 1:00:12.3 from an hour on."""
    tenths = int(seconds * 10 + 1e-6)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:" if hours else "") + f"{minutes:02}:{tenths // 10:02}.{tenths % 10}"


def plain_line(turn: Turn) -> str:
    """A turn on one line, however long."""
    words = turn.text.strip() if turn.failed is None else f"(not transcribed: {turn.failed})"
    return f"{clock((turn.start_ms or 0) / 1000)}  {words}"


class TurnLine:
    """A turn, wrapped beside its time. One that has not ended shows that there is more to come."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        turn, width = self._turn, options.max_width
        time, text = plain_line(turn).split("  ", 1)
        words = Text(text, style="red" if turn.failed is not None else "")
        if not turn.ended:
            words.append(" …" if text else "…", style="dim")
        head = Text(f"{time}  ", style="cyan")
        if width < NARROW:
            yield from (head + words).wrap(console, width, overflow="fold")
            return
        indent = Text(" " * len(head))
        for number, line in enumerate(words.wrap(console, width - len(head), overflow="fold")):
            yield (indent if number else head) + line


class StatusLine:
    """How far the audio has come. `position` is asked at each drawing; it and `total` are in seconds, the latter None
    where the length of the audio is unknown."""

    def __init__(self, label: str, position: Callable[[], float], total: float | None) -> None:
        self._label = label
        self._position = position
        self._total = total

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        at, total = self._position(), self._total
        label = self._label
        if total is not None and at >= total:
            at, label = total, "finishing"
        name = Text.assemble(("● ", "green"), (label, "dim"))
        time = Text(clock(at)[:-2] + (f" / {clock(total)[:-2]}" if total is not None else ""), style="dim")
        width = max(options.max_width - ECHO_COLUMNS, 1)
        if total is not None and width >= NARROW:
            row = Table.grid(expand=True, padding=(0, 2, 0, 0))
            row.width = width
            row.add_column()
            row.add_column(ratio=1)
            row.add_column()
            row.add_row(name, ProgressBar(total=total, completed=at), time)
            yield row
            return
        line = name + "  " + time
        if line.cell_len > width:
            line = time
        line.truncate(width)
        yield line


class LiveView:
    """A context manager; tell it of each turn that changed. `console` is where it draws, standard output if None."""

    def __init__(self, status: StatusLine, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._status = status
        self._growing: tuple[Turn, ...] = ()  # replaced, never changed: rich draws from a thread of its own
        self._live: Live | None = None
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=lambda: Below(self._growing, self._status),
                console=self.console,
                refresh_per_second=FRAMES_PER_SECOND,
                transient=True,
            )

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            left, self._growing = self._growing, ()
            self._live.stop()
            for turn in left:  # cut off: what was said so far stays on the screen
                if turn.text:
                    self.console.print(TurnLine(turn))

    def show(self, turn: Turn) -> None:
        """Draw `turn` as it is now; print it if it has ended. One without words is not worth a line."""
        others = tuple(other for other in self._growing if other.item_id != turn.item_id)
        if not turn.ended:
            place = next((i for i, other in enumerate(self._growing) if other.item_id == turn.item_id), len(others))
            self._growing = (*others[:place], turn, *others[place:])
            return
        self._growing = others
        if self._live is not None and (turn.final or turn.failed is not None):
            self.console.print(TurnLine(turn))
            self._live.refresh()  # or the turn would stand below as well until the next frame
        elif turn.final:
            self.console.out(plain_line(turn), highlight=False)


class Below:
    """What stands under the finished turns. Of more lines than the terminal has, the last ones are shown."""

    def __init__(self, growing: Iterable[Turn], status: StatusLine) -> None:
        self._growing = growing
        self._status = status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [line for turn in self._growing for line in console.render_lines(TurnLine(turn), options, pad=False)]
        room = max(options.size.height - 2, 0)
        for line in lines[max(len(lines) - room, 0) :]:
            yield from line
            yield Segment.line()
        yield self._status
