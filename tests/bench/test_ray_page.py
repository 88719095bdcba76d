"""The tables of what Ray costs, out of the figures of a run."""

import pytest

import ray_page

WAITS = {"p50": 20.04, "p95": 31.0}
LATENCY = {
    "scripted": {
        "pairs": 104, "embedded_ms": WAITS, "ray_ms": {"p50": 23.0, "p95": None}, "added_ms": {"p50": 2.9, "p95": 9.0},
    }
}  # fmt: skip
CPU = {f"{group}_ms": 4.0 for group in ("gateways", "workers", "haproxy", "ray", "generator")}
CARRIED = {
    "threads": 1, "sessions": 120, "final_ms": {"p95": 900.2}, "limit": "the workers' threads",
    "cpu": CPU | {"busy_cores": 2.25, "others_cores": 0.04},
}  # fmt: skip
REPORT = {
    "machine": "4 x EPYC",
    "cores": 4,
    "python": "3.11",
    "hark": "0.1.0",
    "others": 20,
    "latency": LATENCY,
    "capacity": {"ray": [CARRIED], "embedded": [{"threads": 2, "sessions": None, "levels": []}]},
}


def test_what_was_measured_stands_in_the_tables():
    lines = list(ray_page.lines(REPORT))
    row = "| a model that answers at once, manual commits of 1 to 8 s | 104 | 20.0 / 31.0 | 23.0 / never | 2.9 / 9.0 |"
    assert row in lines
    assert "| two gateways, 1 replica | 120 | 900 ms | 2.2, 0.0 | the workers' threads |" in lines
    assert "| two gateways, 1 replica | 4.0 | 4.0 | 4.0 | 4.0 | 4.0 |" in lines


def test_a_late_load_generator_is_no_result():
    assert "| one server, 2 threads | – | | | the load generator was late |" in ray_page.lines(REPORT)


def test_a_part_that_was_not_run_has_no_table():
    assert not any("sessions" in line for line in ray_page.lines({**REPORT, "capacity": None}))


def test_nothing_but_the_tables_of_the_page_is_touched(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    monkeypatch.setattr(ray_page, "PAGE", page)
    page.write_text(f"before\n{ray_page.BEGIN}old\n{ray_page.END}\nafter\n", "utf-8")
    ray_page.write(REPORT)
    text = page.read_text("utf-8")
    assert text.startswith("before\n") and text.endswith(f"|\n{ray_page.END}\nafter\n") and "old" not in text
    page.write_text("no marks", "utf-8")
    with pytest.raises(SystemExit, match="has no place"):
        ray_page.write(REPORT)
