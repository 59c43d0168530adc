"""Draw the path of one message: which modules come in at each step, as a daemon that was followed has shown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

# Values, seams, the log and the composition root act at nearly every step.
_EVERYWHERE: Final = frozenset(
    {"mail", "config", "interfaces", "telemetry", "upstream", "daemon", "control", "monitoring"}
)
# Pixels.
_COLUMN: Final = 176
_STEP: Final = 196
_LINE: Final = 15
_PADDING: Final = 9
_HEAD: Final = 34

# A step: who acts, what it says, and the modules that act for it, each with whether it runs on the reactor's thread.
Step = tuple[str, str, Mapping[str, bool]]


def follow(expected: Iterable[tuple[str, str]] = ()) -> list[Step]:
    """Follow a message through a daemon in a process of its own.

    @param expected: steps as "side: step", and modules that are waited for at each, because they may be late.
    """
    named: dict[str, list[str]] = {}
    for step, module in expected:
        named.setdefault(step, []).append(module)
    done = subprocess.run(
        [sys.executable, "-m", "tests.pictures.tracing"],
        input=json.dumps(named).encode(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=400,
    )
    steps: list[Step] = []
    for found in json.loads(done.stdout):
        acting: dict[str, bool] = {}
        for module, in_reactor in found["acting"]:
            acting[module] = acting.get(module, False) or in_reactor
        steps.append((found["side"], found["step"], acting))
    return steps


def newcomers(steps: Sequence[Step]) -> list[Step]:
    """The same steps with those modules only that act for the first time on that side."""
    known: dict[str, set[str]] = {}
    result: list[Step] = []
    for side, said, acting in steps:
        before = known.setdefault(side, set())
        new = {
            module: in_reactor
            for module, in_reactor in acting.items()
            if module not in before and module.partition(".")[0] not in _EVERYWHERE and "." in module
        }
        before.update(new)
        result.append((side, said, new))
    return result


def draw() -> str:
    """The picture: time runs down, the rooms stand side by side."""
    steps = newcomers(follow())
    rooms = list(dict.fromkeys(room for _, _, new in steps for room in sorted(_rooms(new))))
    width = _STEP + _COLUMN * len(rooms)
    drawn = [
        f'<text class="room" x="{_STEP + (number + 0.5) * _COLUMN:.0f}" y="22">{room}</text>'
        for number, room in enumerate(rooms)
    ]
    y, side_before = _HEAD, ""
    for side, said, new in steps:
        tall = max((len(_of_room(new, room)) for room in rooms), default=0)
        height = max(tall, 1) * _LINE + 2 * _PADDING
        if side != side_before:
            drawn.append(f'<path class="side" d="M0 {y} H{width}"/>')
        drawn.append(f'<text class="step" x="12" y="{y + _PADDING + 11}">{escape(f"{side}: {said}")}</text>')
        drawn += [
            _cell(f"{side}: {said}", room, _of_room(new, room), _STEP + number * _COLUMN, y)
            for number, room in enumerate(rooms)
        ]
        y, side_before = y + height, side
    return _FRAME.format(width=width, height=y + 34, foot=y + 21, start=_STEP, drawn="\n".join(filter(None, drawn)))


def _rooms(new: Mapping[str, bool]) -> set[str]:
    return {module.partition(".")[0] for module in new}


def _of_room(new: Mapping[str, bool], room: str) -> list[tuple[str, bool]]:
    return [(module.partition(".")[2], new[module]) for module in sorted(new) if module.startswith(f"{room}.")]


def _cell(step: str, room: str, modules: list[tuple[str, bool]], x: int, y: int) -> str:
    if not modules:
        return ""
    lines = "".join(
        f'<text class="{"reactor" if in_reactor else "thread"}" x="{x + 12}" y="{y + _PADDING + number * _LINE + 11}"'
        f' data-at="{escape(step)}" data-module="{room}.{name}">{escape(name)}</text>'
        for number, (name, in_reactor) in enumerate(modules)
    )
    height = len(modules) * _LINE + 2 * _PADDING - 4
    return f'<rect x="{x + 3}" y="{y + 2}" width="{_COLUMN - 6}" height="{height}" rx="5"/>{lines}'


_FRAME: Final = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>The path of one message: the modules that come in at each step</title>
<style>
text {{ font-family: sans-serif; font-size: 11.5px; fill: #14213d; }}
.room {{ text-anchor: middle; font-size: 14px; font-weight: bold; }}
.step {{ font-weight: bold; fill: #3d4a66; }}
.thread {{ fill: #a3460b; font-style: italic; }}
.side {{ stroke: #5b6b8c; stroke-width: 1.5; }}
rect {{ fill: #eef3fb; stroke: #c3d0e6; }}
</style>
<rect width="{width}" height="{height}" style="fill: #ffffff; stroke: none"/>
{drawn}
<text x="12" y="{foot}">A module is named where it comes in.</text>
<text x="{start}" y="{foot}" dx="90">Upright: on the reactor's thread.</text>
<text class="thread" x="{start}" y="{foot}" dx="300">Slanted: on a thread of the store or of the hashing.</text>
</svg>
"""
