"""From the figures of `make bench` to the tables of docs/performance.md.

Rule: what stands between the two marks of the page comes from one run and from nothing else, the bars that it has to
keep included. What a run left out is said to be left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from hark.errors import OperatorError

BEGIN: Final = "<!-- bench: do not edit between these lines; `make bench-page JSON=FILE` writes them -->"
END: Final = "<!-- end of bench -->"
Run: TypeAlias = Mapping[str, Any]


def written(page: str, run: Run) -> str:
    """The page with the tables of `run`. Raises OperatorError if it has no place for them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise OperatorError("Expected a page with the two marks between which the tables of `make bench` stand.")
    return "\n".join((f"{before}{BEGIN}\n", *tables(run), f"\n{END}{after}"))


def tables(run: Run) -> Iterator[str]:
    """The lines between the marks."""
    unknown = run.get("sessions_at_p95_1s") and run.get("word_error_rate_loaded") is None
    words = ", whose words are not known" if unknown else ""
    yield (
        f"{run['machine']}, {run['cores']} cores used, Python {run['python']}, version {run['hark']}; {run['clips']} "
        f"clips, {run['clip_seconds']:.0f} s of speech{words}. The run took {run['run_seconds'] / 60:.0f} minutes."
    )
    yield from _table("one session, `moonshine-tiny-en`", ("turns", "median", "p95"), _latencies(run))
    yield from _table("length of the turn, at 500 ms", ("turns", "median", "most"), _lengths(run))
    yield from _table("most sessions with p95 under 1 s", ("sessions", "Hark carries"), _capacities(run))
    yield from _table("what else was measured", ("",), _others(run))


def _table(head: str, columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield from ("", f"| {' | '.join((head, *columns))} |", "|---" + "|---:" * len(columns) + "|")
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _latencies(run: Run) -> Iterator[tuple[str, ...]]:
    for silence, key in ((500, "final_ms"), (200, "final_200_ms")):
        name = f"`speech_stopped` → `completed`, `server_vad` with {silence} ms"
        yield name, _count(run, f"{key}_turns"), _ms(run, f"{key}_median"), _ms(run, f"{key}_p95")
    yield "the same with 200 ms, turns up to 6 s", "", _ms(run, "final_200_ms_median_to_6_s"), ""


def _lengths(run: Run) -> Iterator[tuple[str, ...]]:
    for row in run.get("final_ms_by_length", ()):
        yield f"{row['from_s']} to {row['to_s']} s", str(row["turns"]), _said(row["median"]), _said(row["max"])


def _capacities(run: Run) -> Iterator[tuple[str, ...]]:
    yield "**Hark**", f"**{_count(run, 'sessions_at_p95_1s')}**", ""
    yield "Hark without batching and early finish", _count(run, "plain_sessions_at_p95_1s"), _times(run, "times_plain")
    yield "moonshine-voice 0.0.73, its own streaming", _count(run, "peer_sessions_at_p95_1s"), _times(run, "times_peer")
    name = "sherpa-onnx 2.0.1, its server for whole utterances"
    yield name, _count(run, "sherpa_sessions_at_p95_1s"), _times(run, "times_sherpa")
    share = run.get("share_of_ceiling")
    ceiling = run.get("ceiling_sessions")
    said = "not measured" if ceiling is None else f"{ceiling:.0f}"
    yield "the ceiling: each turn transcribed once", said, "" if share is None else f"{share:.0%} of it"


def _others(run: Run) -> Iterator[tuple[str, ...]]:
    loaded, calm = run.get("word_error_rate_loaded"), run.get("word_error_rate_unloaded")
    if loaded is not None and calm is not None:
        yield "word error rate at that many sessions, and of the same clips with six", f"{loaded:.1%}, {calm:.1%}"
    if (seconds := run.get("transcription_cpu_s_per_speech_s")) is not None:
        yield "CPU to transcribe a second of speech once", f"{1000 * seconds:.0f} ms"
    for key, name in (
        ("frontend_ms_per_audio_s", "CPU of all but transcription for a second of audio, 100 ms appends"),
        ("frontend_ms_per_audio_s_20ms", "the same, 20 ms appends"),
        ("scripted_added_ms_p99", "500 sessions of the scripted model on two cores: p99 of added delay"),
    ):
        yield name, _ms(run, key)
    if (memory := run.get("idle_kb_per_session")) is not None:
        yield "an idle session: memory", f"{memory:.0f} kB"
    if (spent := run.get("idle_cpu_ms_per_session_s")) is not None:
        yield "an idle session: CPU in a second", f"{spent:.3f} ms"


def _count(run: Run, key: str) -> str:
    value = run.get(key)
    return "not measured" if value is None else str(value)


def _ms(run: Run, key: str) -> str:
    return _said(run.get(key))


def _said(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.{1 if value < 10 else 0}f} ms"


def _times(run: Run, key: str) -> str:
    value = run.get(key)
    return "" if value is None else f"{value:.1f} times as many"


def main(page: Path, figures: Path) -> None:
    page.write_text(written(page.read_text("utf-8"), json.loads(figures.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
