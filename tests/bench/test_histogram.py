"""Histograms: well-formed, nothing left out, nothing outside the picture."""

import math
from xml.etree import ElementTree

import pytest

from hark.bench.histogram import BAR_SPACE, WIDTH, histograms, said

SVG = "{http://www.w3.org/2000/svg}"


def drawn(rows, title="x"):
    return ElementTree.fromstring(histograms(title, rows))


@pytest.mark.parametrize(
    "values",
    [[0.1], [0.0], [0.05, 0.4, 2.0], [math.inf], [0.2, math.inf], [1e-6, 90.0], [0.001 * n for n in range(1, 900)]],
)
def test_every_bar_lies_in_the_picture(values):
    picture = drawn({"a": values})
    height = float(picture.get("viewBox").split()[3])
    bars = list(picture.iter(f"{SVG}rect"))
    assert bars
    assert any(bar.get("class") == "never" for bar in bars) is any(map(math.isinf, values))
    for bar in bars:
        left, top, wide, tall = (float(bar.get(name)) for name in ("x", "y", "width", "height"))
        assert left >= 0
        assert left + wide <= WIDTH
        assert top >= 0
        assert top + tall <= height
        assert 0 < tall <= BAR_SPACE
    for text in picture.iter(f"{SVG}text"):
        assert 0 <= float(text.get("x")) <= WIDTH


def test_rows_without_values_are_left_out_and_names_are_escaped():
    picture = drawn({"empty": [], "a < b & c": [0.1, 0.2]}, title="5 > 4 & 3")
    words = ["".join(text.itertext()) for text in picture.iter(f"{SVG}text")]
    assert "5 > 4 & 3" in words
    assert "a < b & c 2: p50 100 ms, p95 200 ms, p99 200 ms" in words
    assert not any("empty" in word for word in words)


def test_the_tallest_bar_is_where_most_values_are():
    picture = drawn({"a": [0.1] * 9 + [0.8]})
    tallest = max(picture.iter(f"{SVG}rect"), key=lambda bar: float(bar.get("height")))
    ticks = {text.text: float(text.get("x")) for text in picture.iter(f"{SVG}text") if text.text}
    assert abs(float(tallest.get("x")) - ticks["100"]) < 40


def test_latencies_are_said_in_milliseconds():
    assert [said(0.1234), said(math.inf), said(math.nan)] == ["123 ms", "never", "–"]
