"""Drawings of the operators' pages: the way of an address, and a forecast on a time line. Positions in pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_BOX_HEIGHT: Final = 44
_ROW: Final = 62
_INDENT: Final = 36
_LETTERS: Final = 78
_MAX_ROWS: Final = 100
_WIDTH: Final = 760
_LINE_LEFT: Final = 40
_LINE_RIGHT: Final = 720
_STEPS_DRAWN: Final = 200


@dataclass(frozen=True, slots=True)
class Box:
    """A step: its place, its words, and the point of the box above from which an arrow leads to it."""

    x: int
    y: int
    width: int
    words: str
    kind: str
    start: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Graph:
    """The way of an address, from aliases to maildrops and next hops."""

    width: int
    height: int
    boxes: Sequence[Box]


def route_graph(explanation: Mapping[str, Any]) -> Graph:
    """Draw what `route explain` answers: each step below the one that it follows from."""
    boxes: list[Box] = []
    parents: dict[int, Box] = {}

    def add(depth: int, words: str, kind: str) -> None:
        parent = next((parents[above] for above in range(depth - 1, -1, -1) if above in parents), None)
        x, y = 8 + depth * _INDENT, 8 + len(boxes) * _ROW
        start = None if parent is None else (parent.x + 16, parent.y + _BOX_HEIGHT)
        box = Box(x, y, _WIDTH - 16 - depth * _INDENT, _cut(words), kind, start)
        boxes.append(box)
        parents[depth] = box
        for deeper in [one for one in parents if one > depth]:
            del parents[deeper]

    sender = explanation["sender"]
    add(0, explanation["address"] + (f", from {sender}" if sender else ""), "start")
    deepest = 0
    for step in explanation["steps"][:_MAX_ROWS]:
        deepest = min(step["depth"], 8) + 1
        add(deepest, step["what"], "step")
    for hop in explanation["next_hops"][:_MAX_ROWS]:
        login = f", login {hop['login']}" if hop["login"] else ""
        add(min(deepest + 1, 10), f"{hop['recipient']} → {hop['next_hop']} (TLS {hop['tls']}{login})", "hop")
        if hop["problem"]:
            add(min(deepest + 2, 11), f"last attempt: {hop['problem']}", "problem")
    return Graph(_WIDTH, 16 + len(boxes) * _ROW, boxes)


def _cut(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _LETTERS else line[: _LETTERS - 1] + "…"


@dataclass(frozen=True, slots=True)
class Mark:
    """A step of a forecast on the time line."""

    x: float
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class TimeLine:
    """A forecast: its marks, and the time at its end in seconds. `down` is where the host comes back."""

    width: int
    left: int
    right: int
    marks: Sequence[Mark]
    down: float
    seconds: int


def time_line(steps: Sequence[Mapping[str, Any]], host_down: float) -> TimeLine:
    """Draw the steps of a forecast. Early steps are as far apart as late ones: the scale is the square root of time."""
    end = max([host_down, *(float(step["after"]) for step in steps)], default=1.0) or 1.0

    def place(after: float) -> float:
        return round(_LINE_LEFT + (_LINE_RIGHT - _LINE_LEFT) * float((after / end) ** 0.5), 1)

    marks = [Mark(place(step["after"]), _kind(step["what"]), step["what"]) for step in steps[:_STEPS_DRAWN]]
    return TimeLine(_WIDTH, _LINE_LEFT, _LINE_RIGHT, marks, place(min(host_down, end)), round(end))


def _kind(what: str) -> str:
    if "fail" in what:
        return "failed"
    return "warned" if "warn" in what else "ended"


def span(seconds: float) -> str:
    """Return a duration in words."""
    left = round(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if left >= size:
            whole, rest = divmod(left, size)
            smaller = {"d": ("h", 3600), "h": ("min", 60), "min": ("s", 1)}[unit]
            return f"{whole} {unit}" + (f" {rest // smaller[1]} {smaller[0]}" if rest // smaller[1] else "")
    return f"{left} s"
