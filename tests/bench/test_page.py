"""The tables of docs/performance.md: all of a run's figures, whatever it left out, and nothing else of the page."""

import pytest

from documents import page
from hark.bench.page import BEGIN, END, written
from hark.errors import OperatorError

RUN = {
    "machine": "4 x A", "cores": 4, "python": "3.11.7", "hark": "0.1.0", "clips": 45, "clip_seconds": 277.6,
    "run_seconds": 840,
    "final_ms_turns": 20, "final_ms_median": 1.2, "final_ms_p95": 84.4,
    "final_ms_by_length": [{"from_s": 3, "to_s": 6, "turns": 9, "median": 1.0, "max": 40.0}],
    "final_200_ms_turns": 12, "final_200_ms_median": 90.0, "final_200_ms_p95": 200.0,
    "final_200_ms_median_to_6_s": 77.0,
    "sessions_at_p95_1s": 120, "plain_sessions_at_p95_1s": 30, "peer_sessions_at_p95_1s": 0, "times_peer": 120.0,
    "sherpa_sessions_at_p95_1s": 50, "times_sherpa": 2.4, "times_plain": 4.0,
    "ceiling_sessions": 190.4, "share_of_ceiling": 0.63,
    "word_error_rate_loaded": 0.051, "word_error_rate_unloaded": 0.049, "transcription_cpu_s_per_speech_s": 0.0201,
    "frontend_ms_per_audio_s": 2.15, "frontend_ms_per_audio_s_20ms": 3.4,
    "scripted_added_ms_p99": 21.3, "idle_kb_per_session": 46.5, "idle_cpu_ms_per_session_s": 0.006,
}  # fmt: skip


def rows(run):
    text = written(f"before\n{BEGIN}\nold\n{END}\nafter\n", run)
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines() if "|" in line]


def test_every_figure_has_its_place():
    found = rows(RUN)
    assert ("**Hark**", "**120**", "") in found
    assert ("moonshine-voice 0.0.73, its own streaming", "0", "120.0 times as many") in found
    assert ("sherpa-onnx 2.0.1, its server for whole utterances", "50", "2.4 times as many") in found
    assert ("the ceiling: each turn transcribed once", "190", "63% of it") in found
    assert ("`speech_stopped` → `completed`, `server_vad` with 500 ms", "20", "1.2 ms", "84 ms") in found
    assert ("3 to 6 s", "9", "1.0 ms", "40 ms") in found
    assert ("word error rate at that many sessions, and of the same clips with six", "5.1%, 4.9%") in found
    assert ("500 sessions of the scripted model on two cores: p99 of added delay", "21 ms") in found


def test_what_was_left_out_is_said_to_be():
    short = {key: RUN[key] for key in ("machine", "cores", "python", "hark", "clips", "clip_seconds", "run_seconds")}
    found = rows(short)
    assert ("**Hark**", "**not measured**", "") in found
    assert not any("word error rate" in row[0] for row in found)


def test_every_table_is_as_wide_as_its_head():
    widths = [len(row) for row in rows(RUN)]
    heads = [place for place, row in enumerate(rows(RUN)) if row[0] == "---"]
    assert len(heads) == 4
    for first, last in zip(heads, [*(place - 1 for place in heads[1:]), len(widths)], strict=True):
        assert len(set(widths[first - 1 : last])) == 1


def test_the_real_page_has_a_place_for_them():
    assert "| **Hark** | **120** |" in written(page("docs/performance.md"), RUN)
    with pytest.raises(OperatorError, match="two marks"):
        written("# A page\n", RUN)
