"""Draw the rooms of the code and the imports between them, as the modules have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Final

from tests.sources import HOUSE, our_modules, source
from tests.test_house import arrows, room_of

# Pixels.
_BOX: Final = 172
_GAP: Final = 20
_ROW: Final = 58
_LINE: Final = 15
_PADDING: Final = 12
_EDGE: Final = 16
# Most sub-packages that stand in one line of a box.
_CHARACTERS: Final = 26

Imports = Mapping[str, set[str]]
# Left edge, top edge, height.
Box = tuple[float, float, float]


def imports_of_rooms() -> dict[str, set[str]]:
    """Each room with the rooms that its modules import."""
    found: dict[str, set[str]] = {}
    for module, code in our_modules():
        room = room_of(module)
        if not room.startswith("__"):
            found.setdefault(room, set()).update(room_of(target) for target in arrows(code.imports))
    return {room: {target for target in targets if target in found} - {room} for room, targets in found.items()}


def reached(room: str, imports: Imports) -> set[str]:
    """All rooms that a room imports, by way of others too."""
    known: set[str] = set()
    ahead = list(imports[room])
    while ahead:
        target = ahead.pop()
        if target not in known:
            known.add(target)
            ahead.extend(imports[target])
    return known


def direct(imports: Imports) -> dict[str, set[str]]:
    """The imports that do not follow from others."""
    return {
        room: {target for target in targets if not any(target in reached(other, imports) for other in targets)}
        for room, targets in imports.items()
    }


def floors(imports: Imports) -> list[list[str]]:
    """Rooms by floors: each stands above all that it imports."""
    height: dict[str, int] = {}
    while len(height) < len(imports):
        ready = [room for room in imports if room not in height and imports[room] <= height.keys()]
        if not ready:
            raise ValueError(f"rooms that import one another: {sorted(imports.keys() - height.keys())}")
        for room in ready:
            height[room] = 1 + max((height[target] for target in imports[room]), default=-1)
    return [sorted(room for room in height if height[room] == floor) for floor in range(max(height.values()) + 1)]


def in_order(levels: list[list[str]], shown: Imports) -> list[list[str]]:
    """The rooms of each floor, from left to right, each near the rooms below that it imports."""
    ordered: list[list[str]] = []
    place: dict[str, float] = {}
    for level in levels:
        level = sorted(level, key=lambda room: (_middle(shown[room], place), room))
        place.update({room: (number + 0.5) / len(level) for number, room in enumerate(level)})
        ordered.append(level)
    return ordered


def _middle(targets: set[str], place: Mapping[str, float]) -> float:
    known = [place[target] for target in targets if target in place]
    return sum(known) / len(known) if known else 0.5


def duty(room: str) -> str:
    """What the room's docstring says first: its first line, up to a colon, a semicolon or a full stop."""
    path = HOUSE.joinpath(*room.split("."))
    module = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return re.split(r"[:;.](?: |$)", source(module).docstring.partition("\n")[0])[0]


def parts(room: str) -> list[str]:
    """The sub-packages of a room that are no rooms of their own."""
    names = sorted(path.parent.name for path in HOUSE.joinpath(*room.split(".")).glob("*/__init__.py"))
    return [name for name in names if room_of(f"{room}.{name}") == room]


def _lines(words: list[str], between: str) -> list[str]:
    lines = [""]
    for word in words:
        longer = lines[-1] + between + word if lines[-1] else word
        if len(longer) <= _CHARACTERS:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line for line in lines if line]


def _content(room: str) -> list[tuple[str, str]]:
    """The lines of a box, each with its class."""
    return [
        ("name", room),
        *(("duty", line) for line in _lines(duty(room).split(), " ")),
        *(("part", line) for line in _lines(parts(room), " · ")),
    ]


def draw() -> str:
    """The picture: who imports stands above what is imported; arrows that follow from others are left out."""
    imports = imports_of_rooms()
    shown = direct(imports)
    levels = in_order(floors(imports), shown)
    content = {room: _content(room) for room in imports}
    tall = [max(len(content[room]) for room in level) * _LINE + 2 * _PADDING for level in levels]
    total = sum(tall) + _ROW * (len(levels) - 1) + 2 * _EDGE
    width = max(len(level) for level in levels) * (_BOX + _GAP)
    boxes: dict[str, Box] = {}
    bottom = total - _EDGE
    for level, height in zip(levels, tall, strict=True):
        for number, room in enumerate(level):
            x = (number + 0.5) * width / len(level) - _BOX / 2
            own = len(content[room]) * _LINE + 2 * _PADDING
            boxes[room] = (x, bottom - height + (height - own) / 2, own)
        bottom -= height + _ROW
    pairs = [(room, target) for room in sorted(shown) for target in sorted(shown[room])]
    drawn = [_arrow(boxes, pairs, *pair) for pair in pairs]
    drawn += [_box(content[room], *boxes[room]) for room in sorted(boxes)]
    return _FRAME.format(width=width, height=round(total), drawn="\n".join(drawn))


def _arrow(boxes: Mapping[str, Box], pairs: list[tuple[str, str]], room: str, target: str) -> str:
    leaving = sorted((boxes[end][0], end) for start, end in pairs if start == room)
    arriving = sorted((boxes[start][0], start) for start, end in pairs if end == target)
    x1 = _port(boxes[room], leaving.index((boxes[target][0], target)), len(leaving))
    x2 = _port(boxes[target], arriving.index((boxes[room][0], room)), len(arriving))
    y1, y2 = boxes[room][1] + boxes[room][2], boxes[target][1] - 5
    bend = max(30.0, (y2 - y1) / 2)
    return (
        f'<path class="arrow" d="M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f}'
        f' {x2:.0f} {y2:.0f}"/>'
    )


def _port(box: Box, number: int, count: int) -> float:
    """Where the arrow of that number meets the edge of a box."""
    return box[0] + _BOX * (number + 1) / (count + 1)


def _box(content: list[tuple[str, str]], x: float, y: float, height: float) -> str:
    middle = f"{x + _BOX / 2:.0f}"
    lines = "".join(
        f'<text class="{kind}" x="{middle}" y="{y + _PADDING + number * _LINE + 11:.0f}">{escape(text)}</text>'
        for number, (kind, text) in enumerate(content)
    )
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{_BOX}" height="{height:.0f}" rx="6"/>{lines}'


_FRAME: Final = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>The rooms of emailsys; an arrow leads from a room to one that it imports</title>
<defs><marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 L8 4 L0 8 z" fill="#5b6b8c"/></marker></defs>
<style>
text {{ text-anchor: middle; font-family: sans-serif; }}
.name {{ font-size: 14px; font-weight: bold; fill: #14213d; }}
.duty {{ font-size: 11px; fill: #3d4a66; }}
.part {{ font-size: 11px; fill: #1d6a72; }}
rect {{ fill: #eef3fb; stroke: #5b6b8c; }}
.arrow {{ fill: none; stroke: #5b6b8c; stroke-width: 1.2; marker-end: url(#head); }}
</style>
<rect width="{width}" height="{height}" style="fill: #ffffff; stroke: none"/>
{drawn}
</svg>
"""
