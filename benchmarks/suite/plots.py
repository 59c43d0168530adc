"""The plots of a comparison, as SVG: ratios, latencies, and how cost grows with connections and with the maildrop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.suite.results import OURS, Results

_WIDTH: Final = 720
_ROW: Final = 22
_LEFT: Final = 90
_TOP: Final = 48
_COLOURS: Final = ("#1f6f8b", "#c8553d", "#6a994e", "#7f5539")
#: Workloads that differ in one number: what grows, and its values.
GROWTH: Final = {
    "connections": {"S1c1": 1, "S1c10": 10, "S1c100": 100},
    "messages in the maildrop": {"B1_100": 100, "B1_1k": 1000, "B1_10k": 10_000},
}


class _Picture:
    def __init__(self, title: str, height: int) -> None:
        self._height = height
        self._parts = [f'<text x="12" y="22" font-size="15" font-weight="bold">{escape(title)}</text>']

    def text(self, x: float, y: float, words: str, anchor: str = "start") -> None:
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>')

    def bar(self, x: float, y: float, width: float, colour: str, height: float = 12) -> None:
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(1.0, width):.1f}" height="{height}" fill="{colour}"/>'
        )

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 2) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')

    def legend(self, names: Sequence[str]) -> None:
        for number, name in enumerate(names):
            self.bar(_LEFT + 160 * number, 30, 12, _COLOURS[number % len(_COLOURS)])
            self.text(_LEFT + 160 * number + 18, 41, name)

    def write(self, path: Path) -> None:
        size = f'width="{_WIDTH}" height="{self._height}" viewBox="0 0 {_WIDTH} {self._height}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
        ground = f'<rect width="{_WIDTH}" height="{self._height}" fill="#ffffff"/>'
        path.write_text("\n".join([head, ground, *self._parts, "</svg>"]) + "\n")


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw all plots for which there are results, and return their files."""
    drawn: list[Path] = []
    peers = [name for name in results.servers if name != OURS]
    for peer in peers[:1]:
        drawn.append(_ratios(results, peer, folder / "ratios.svg"))
    if any(results.median(server, name, "p99_ms") for server in results.servers for name in results.workloads):
        drawn.append(_latencies(results, folder / "latencies.svg"))
    for what, workloads in GROWTH.items():
        known = {name: number for name, number in workloads.items() if name in results.workloads}
        if len(known) > 1:
            drawn.append(_growth(results, what, known, folder / f"growth-{what.split()[0]}.svg"))
    return drawn


def _ratios(results: Results, peer: str, path: Path) -> Path:
    """Bars to the right of 1 are ours. The scale is logarithmic."""
    rows = [name for name in results.workloads if results.ratio(peer, name)]
    picture = _Picture(f"{OURS} compared with {peer}: right of the line is better", _TOP + _ROW * len(rows) + 30)
    found = [(name, results.ratio(peer, name), results.ratio(peer, name, "cpu_ms_each")) for name in rows]
    most = max((abs(math.log2(value)) for _, *pair in found for value in pair if value), default=1.0) or 1.0
    middle, half = _LEFT + (_WIDTH - _LEFT) / 2 - 20, (_WIDTH - _LEFT) / 2 - 80
    picture.legend(["rate or time", "CPU"])
    for number, (name, *pair) in enumerate(found):
        y = _TOP + _ROW * number
        picture.text(12, y + 11, name)
        for offset, value, colour in zip((0, 9), pair, _COLOURS, strict=False):
            if value:
                length = half * math.log2(value) / most
                picture.bar(min(middle, middle + length), y + offset, abs(length), colour, 8)
        words = " / ".join(f"{value:.2g}" for value in pair if value)
        picture.text(_WIDTH - 12, y + 13, words, "end")
    picture.line([(middle, _TOP - 4), (middle, _TOP + _ROW * len(rows))], "#333333", 1)
    picture.write(path)
    return path


def _latencies(results: Results, path: Path) -> Path:
    """A line for each workload and server, from p50 to p99, with a mark at p95. The scale is logarithmic."""
    rows = [name for name in results.workloads if results.median(results.servers[0], name, "p99_ms")]
    picture = _Picture("Latency, p50 to p99, ms (logarithmic)", _TOP + _ROW * (len(rows) + 1) + 24)
    names = ("p50_ms", "p95_ms", "p99_ms")
    values = [results.median(server, row, one) or 0 for server in results.servers for row in rows for one in names]
    low, high = math.log10(max(0.01, min(values))), math.log10(max(max(values), 1.0))

    def at(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 30) * (math.log10(max(value, 0.01)) - low) / max(high - low, 0.1)

    picture.legend(results.servers)
    for number, row in enumerate(rows):
        picture.text(12, _TOP + _ROW * number + 11, row)
        for turn, server in enumerate(results.servers):
            points = [results.median(server, row, one) for one in names]
            if any(point is None for point in points):
                continue
            y, colour = _TOP + _ROW * number + 4 + 7 * turn, _COLOURS[turn % len(_COLOURS)]
            p50, p95, p99 = (at(point or 0) for point in points)
            picture.line([(p50, y), (max(p99, p50 + 1), y)], colour, 3)
            picture.line([(p95, y - 4), (p95, y + 4)], colour)
    for power in range(math.ceil(low), math.floor(high) + 1):
        picture.text(at(10.0**power), _TOP + _ROW * (len(rows) + 1), f"{10.0**power:g}", "middle")
    picture.write(path)
    return path


def _growth(results: Results, what: str, workloads: dict[str, int], path: Path) -> Path:
    """CPU of each message or session while one number grows; both scales are logarithmic."""
    height = 300
    picture = _Picture(f"CPU in ms, by {what}", height)
    picture.legend(results.servers)
    figures = {
        server: [(n, results.median(server, name, "cpu_ms_each") or 0.01) for name, n in workloads.items()]
        for server in results.servers
    }
    values = [value for pairs in figures.values() for _, value in pairs]
    low, high = math.log10(min(values)), math.log10(max(values))
    most = math.log10(max(workloads.values()))
    least = math.log10(min(workloads.values()))

    def place(number: float, value: float) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT - 60) * (math.log10(number) - least) / (most - least)
        return x, height - 50 - (height - 130) * (math.log10(value) - low) / max(high - low, 0.1)

    for turn, pairs in enumerate(figures.values()):
        colour = _COLOURS[turn % len(_COLOURS)]
        picture.line([place(*pair) for pair in pairs], colour)
        for pair in pairs:
            x, y = place(*pair)
            picture.text(x, y - 6, f"{pair[1]:.3g}", "middle")
    for number in workloads.values():
        picture.text(place(number, 10**low)[0], height - 16, f"{number:,}", "middle")
    picture.write(path)
    return path
