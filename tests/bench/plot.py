"""Line charts side by side, as SVG. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, MARGIN = 320, 240, 56


@dataclass(frozen=True)
class Chart:
    """One line. points: (x, y), x increasing; x runs in logarithmic steps."""

    title: str
    x: str
    y: str
    points: Sequence[tuple[float, float]]


def svg(charts: Sequence[Chart]) -> str:
    """The picture, one chart beside the other; every y axis begins at 0."""
    width, height = WIDTH * len(charts), HEIGHT
    body = "".join(f'<g transform="translate({WIDTH * n},0)">{_chart(chart)}</g>' for n, chart in enumerate(charts))
    style = "font-family:sans-serif;font-size:11px"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" style="{style}">'
    return f'{head}<rect width="{width}" height="{height}" fill="white"/>{body}</svg>\n'


def _chart(chart: Chart) -> str:
    left, right, top, bottom = MARGIN, WIDTH - 24, 36, HEIGHT - 48
    logs = [math.log(x) for x, _ in chart.points]
    highest = max(y for _, y in chart.points) * 1.15 or 1.0

    def place(log: float, y: float) -> tuple[float, float]:
        share = (log - logs[0]) / (logs[-1] - logs[0] or 1.0)
        return left + share * (right - left), bottom - y / highest * (bottom - top)

    placed = [place(log, y) for log, (_, y) in zip(logs, chart.points, strict=True)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    parts = [
        f'<path d="M{left},{top}V{bottom}H{right}" fill="none" stroke="#888"/>',
        f'<polyline points="{line}" fill="none" stroke="#1f6feb" stroke-width="2"/>',
        _text(WIDTH / 2, 18, chart.title, bold=True),
        _text(WIDTH / 2, HEIGHT - 10, chart.x),
        f'<g transform="rotate(-90 14 {HEIGHT / 2})">{_text(14, HEIGHT / 2, chart.y)}</g>',
    ]
    for (x, y), (name, value) in zip(placed, chart.points, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1f6feb"/>')
        parts.append(_text(x, y - 8, f"{value:,.0f}"))
        parts.append(_text(x, bottom + 16, f"{name:,.0f}"))
    return "".join(parts)


def _text(x: float, y: float, text: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle"{weight}>{escape(text)}</text>'
