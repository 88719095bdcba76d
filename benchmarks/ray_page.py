"""The figures of `ray_cost.py` as the tables of docs/scaling.md.

Rule: what stands between the two marks comes from one report and from nothing else; what that lacks is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
BEGIN: Final = "<!-- ray capacity -->\n"
END: Final = "<!-- end of ray capacity -->"
SHOWN: Final = (("gateways", "gateways"), ("workers", "workers"), ("haproxy", "HAProxy"), ("ray", "the rest of Ray"))
Figures = dict[str, Any]


def write(report: Figures) -> None:
    """Put the tables into the page, which has a place for them."""
    before, begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} has no place for the tables, which are to stand between {BEGIN.strip()} and {END}")
    PAGE.write_text(before + BEGIN + "\n".join((*lines(report), "")) + END + after, "utf-8")


def lines(report: Figures) -> Iterator[str]:
    """What stands between the marks."""
    yield (
        f"{report['machine']}, {report['cores']} cores used, Python {report['python']}, version {report['hark']}. "
        "Servers, cluster and load generator share these cores."
    )
    if rows := report.get("latency"):
        yield from _latency(rows, report["others"])
    if rows := report.get("capacity"):
        yield from _capacity(rows)
        yield from _cpu(rows, report["cores"])


def _latency(rows: Figures, others: int) -> Iterator[str]:
    yield from (
        "",
        "| until the final result, p50 / p95 in ms | of | embedded | one worker on Ray | Ray adds, pair by pair |",
        "|---|---:|---:|---:|---:|",
    )
    names = {
        "scripted": "a model that answers at once, manual commits of 1 to 8 s",
        "scripted_loaded": f"the same while {others} others talk",
        "real": "`moonshine-tiny-en`, manual commits of 1 to 8 s",
        "real_loaded": f"the same while {others} others talk",
    }
    stopped = {
        key: f"`server_vad` with {key.rpartition('_')[2]} ms: `speech_stopped` → `completed`, eight talk"
        for key in rows
        if key.startswith("stopped_")
    }
    for key, name in (names | stopped).items():
        if row := rows.get(key):
            yield f"| {name} | {row['pairs']} | {' | '.join(_both(row[k]) for k in _KINDS)} |"


_KINDS: Final = ("embedded_ms", "ray_ms", "added_ms")


def _both(values: dict[str, float | None]) -> str:
    return " / ".join("never" if values[share] is None else f"{values[share]:.1f}" for share in ("p50", "p95"))


def _capacity(rows: Figures) -> Iterator[str]:
    yield from (
        "",
        "| most sessions with p95 under 1 s | sessions | p95 | cores busy, of it other programs | little was left of |",
        "|---|---:|---:|---:|---|",
    )
    for row in rows["ray"]:
        yield _sessions(f"two gateways, {_count(row['threads'], 'replica')}", row)
    for row in rows["embedded"]:
        yield _sessions(f"one server, {_count(row['threads'], 'thread')}", row)


def _sessions(name: str, row: Figures) -> str:
    if not row["sessions"]:
        why = "the load generator was late" if row["sessions"] is None else "not one was carried"
        return f"| {name} | {'–' if row['sessions'] is None else 0} | | | {why} |"
    cpu = row["cpu"]
    busy = f"{cpu['busy_cores']:.1f}, {cpu['others_cores']:.1f}"
    return f"| {name} | {row['sessions']} | {row['final_ms']['p95']:.0f} ms | {busy} | {row['limit']} |"


def _cpu(rows: Figures, cores: int) -> Iterator[str]:
    heads = [head for _, head in SHOWN]
    yield from (
        "",
        f"| CPU at that many, in ms for a second of audio | {' | '.join(heads)} | load generator |",
        "|---|" + "---:|" * (len(heads) + 1),
    )
    for kind, name in (("ray", "replica"), ("embedded", "thread")):
        for row in rows[kind]:
            if cpu := row.get("cpu"):
                shown = [f"{cpu[f'{group}_ms']:.1f}" for group, _ in (*SHOWN, ("generator", ""))]
                before = "two gateways" if kind == "ray" else "one server"
                yield f"| {before}, {_count(row['threads'], name)} | {' | '.join(shown)} |"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
