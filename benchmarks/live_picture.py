"""Draw docs/live.svg: a recording of the live transcript, each word appearing when it did.

    python benchmarks/live_picture.py docs/live.svg [--clip samples/two_cities.wav] [--seconds 24]

The clip is played in real time to a server of its own, and what `hark transcribe --live` shows is written down with its
times: words as their deltas came, and the end of each turn. The picture plays back at the same speed wherever SVG
animations run, and shows the finished transcript where they do not.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path

from hark.app import running
from hark.audio.files import stream_audio
from hark.cli.live import clock
from hark.client import connect, stream
from hark.client.events import TranscriptDelta
from hark.config import Settings
from hark.core.settings import TurnDetectionPatch
from hark.core.work import SAMPLE_RATE, Audio
from hark.models.files.pull import models_folder

COLUMNS, LINE, CHARACTER, MARGIN = 86, 22, 8.43, 18
STYLE = """
    text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #d6dae0; white-space: pre }
    .time { fill: #63b3c4 } .dim { fill: #7d8590 } .go { fill: #6cc070 }
    .w { animation: come .25s both } @keyframes come { from { fill-opacity: 0 } }
"""

Word = tuple[float, str]  # seconds since the start of the audio, text


async def record(clip: Path, seconds: float) -> list[tuple[int, list[Word]]]:
    """(start_ms, words) of each turn."""
    turns: dict[str, list[Word]] = {}
    starts: dict[str, int] = {}
    detection = TurnDetectionPatch(type="server_vad", silence_duration_ms=500)
    async with (
        running(Settings(host="127.0.0.1", port=0, api_key=None)) as url,
        connect(url, turn_detection=detection) as client,
    ):
        began = time.monotonic()
        async for event in stream(client, first(clip, seconds), pace=1.0):
            turn = client.conversation.about(event)
            if turn is not None and isinstance(event, TranscriptDelta):
                turns.setdefault(turn.item_id, []).append((time.monotonic() - began, event.delta))
                starts[turn.item_id] = turn.start_ms or 0
    return [(starts[item], words) for item, words in turns.items()]


def first(clip: Path, seconds: float) -> Iterator[Audio]:
    left = int(seconds * SAMPLE_RATE)
    for piece in stream_audio(clip):
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


def draw(turns: list[tuple[int, list[Word]]], seconds: float, title: str) -> str:
    rows: list[str] = []
    y = MARGIN + 2 * LINE + 6
    for start_ms, words in turns:
        head = f"{clock(start_ms / 1000)}  "
        column, line = len(head), [f'<tspan class="w time" style="animation-delay:{words[0][0]:.2f}s">{head}</tspan>']
        for at, text in ((at, word) for at, delta in words for word in split(delta)):
            if column + len(text.rstrip()) > COLUMNS:
                rows.append(row(y, line))
                y, column, line = y + LINE, len(head), [" " * len(head)]
            shown = text.lstrip() if column == len(head) else text
            line.append(f'<tspan class="w" style="animation-delay:{at:.2f}s">{escape(shown)}</tspan>')
            column += len(shown)
        rows.append(row(y, line))
        y += LINE
    y += 8
    width = round(COLUMNS * CHARACTER + 2 * MARGIN)
    bar = width - 2 * MARGIN - 12 * CHARACTER
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 14}" width="{width}" role="img"
     aria-label="A terminal in which the transcript of a reading appears word by word while it is played">
  <style>{STYLE}    .bar {{ animation: grow {seconds:.1f}s linear }} @keyframes grow {{ from {{ width: 0 }} }}
  </style>
  <rect width="100%" height="100%" rx="9" fill="#15181d"/>
  <circle cx="20" cy="17" r="5" fill="#e8665e"/>
  <circle cx="37" cy="17" r="5" fill="#e5b454"/>
  <circle cx="54" cy="17" r="5" fill="#63b866"/>
  {row(MARGIN + LINE + 4, [f'<tspan class="dim">$ </tspan>{escape(title)}'])}
  {"".join(f"{one}" for one in rows)}
  {row(y, ['<tspan class="go">●</tspan><tspan class="dim"> listening</tspan>'])}
  <rect x="{MARGIN + 12 * CHARACTER:.0f}" y="{y - 7}" width="{bar:.0f}" height="4" rx="2" fill="#2b3038"/>
  <rect class="bar" x="{MARGIN + 12 * CHARACTER:.0f}" y="{y - 7}" width="{bar:.0f}" height="4" rx="2" fill="#63b3c4"/>
</svg>
"""


def split(delta: str) -> list[str]:
    """A delta as words with their leading spaces."""
    words = delta.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])] if words[0] else [f" {word}" for word in words[1:]]


def row(y: float, parts: list[str]) -> str:
    return f'<text x="{MARGIN}" y="{y}" xml:space="preserve">{"".join(parts)}</text>\n  '


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--clip", type=Path, default=models_folder(None) / "samples" / "two_cities.wav")
    parser.add_argument("--seconds", type=float, default=24.3)
    options = parser.parse_args()
    turns = asyncio.run(record(options.clip, options.seconds))
    options.picture.write_text(draw(turns, options.seconds, f"hark transcribe --live {options.clip.name}"))


if __name__ == "__main__":
    main()
