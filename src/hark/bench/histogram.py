"""Latencies as a picture: one histogram a row, over one scale of milliseconds, as SVG.

Rule: the scale is logarithmic, for a tail must be seen beside a median; what never came stands in a last bar of its
own. Colours suit light and dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from hark.bench.measures import percentile

WIDTH: Final = 720
LEFT: Final = 20
NEVER_WIDTH: Final = 60
PLOT: Final = WIDTH - 2 * LEFT - NEVER_WIDTH
ROW: Final = 112
BAR_SPACE: Final = 64
TICKS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
BINS_PER_DECADE: Final = 20
STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#57606a}.name{font-weight:600}.bar{fill:#2f81f7}.never{fill:#d1242f}"
    ".line{stroke:#8b949e;stroke-width:1}.mark{stroke:#bf8700;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){text{fill:#adbac7}}"
)


def histograms(title: str, rows: Mapping[str, Sequence[float]]) -> str:
    """An SVG document. `rows` are seconds by what they measure; rows without values are left out."""
    shown = {name: values for name, values in rows.items() if values}
    known = [1000 * value for values in shown.values() for value in values if math.isfinite(value)]
    low = _tick(min(known, default=1.0), below=True)
    high = _tick(max(known, default=1_000.0), below=False)
    height = 40 + ROW * len(shown) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text x="{LEFT}" y="22" class="name">{escape(title)}</text>',
    ]
    for place, (name, values) in enumerate(shown.items()):
        parts += _row(name, values, low, max(high, 2 * low), 40 + ROW * place)
    return "\n".join([*parts, "</svg>", ""])


def _tick(value: float, *, below: bool) -> float:
    if below:
        return max((tick for tick in TICKS if tick <= value), default=TICKS[0])
    return min((tick for tick in TICKS if tick >= value), default=TICKS[-1])


def _row(name: str, values: Sequence[float], low: float, high: float, top: int) -> list[str]:
    def x(milliseconds: float) -> float:
        share = math.log(min(max(milliseconds, low), high) / low) / math.log(high / low)
        return LEFT + PLOT * share

    bins = max(1, round(BINS_PER_DECADE * math.log10(high / low)))
    counts, never = [0] * bins, 0
    for value in values:
        if math.isinf(value):
            never += 1
        else:
            share = (x(1000 * value) - LEFT) / PLOT
            counts[min(bins - 1, int(share * bins))] += 1
    tallest, base, width = max([*counts, never]), top + 20 + BAR_SPACE, PLOT / bins
    figures = ", ".join(f"p{round(100 * share)} {said(percentile(values, share))}" for share in (0.5, 0.95, 0.99))
    drawn = [
        f'<text x="{LEFT}" y="{top + 12}"><tspan class="name">{escape(name)}</tspan> {len(values)}: {figures}</text>'
    ]
    for place, count in enumerate(counts):
        drawn += _bar(LEFT + place * width, width - 1, base, count / tallest, "bar")
    drawn += _bar(LEFT + PLOT + 20, 24, base, never / tallest, "never")
    if never:
        drawn.append(f'<text x="{LEFT + PLOT + 32}" y="{base + 14}" text-anchor="middle">never</text>')
    drawn.append(f'<line class="line" x1="{LEFT}" x2="{LEFT + PLOT}" y1="{base}" y2="{base}"/>')
    for tick in (tick for tick in TICKS if low <= tick <= high):
        unit = " ms" if tick == high else ""
        drawn.append(f'<text x="{x(tick):.1f}" y="{base + 14}" text-anchor="middle">{tick}{unit}</text>')
    p95 = percentile(values, 0.95)
    if math.isfinite(p95):
        at = f"{x(1000 * p95):.1f}"
        drawn.append(f'<line class="mark" x1="{at}" x2="{at}" y1="{base - BAR_SPACE}" y2="{base}"/>')
    return drawn


def _bar(left: float, width: float, base: int, share: float, kind: str) -> list[str]:
    tall = share * (BAR_SPACE - 4)
    if not tall:
        return []
    return [f'<rect class="{kind}" x="{left:.1f}" y="{base - tall:.1f}" width="{width:.1f}" height="{tall:.1f}"/>']


def said(seconds: float) -> str:
    """A latency for people."""
    if math.isnan(seconds):
        return "–"
    return "never" if math.isinf(seconds) else f"{1000 * seconds:.0f} ms"
