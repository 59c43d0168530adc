"""A session at a terminal as an animated SVG that loads nothing from anywhere."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Final

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

# Pixels: the width of a character of 14 pixels in most monospaced fonts, and the height of a line.
_COLUMN: Final = 8.43
_LINE: Final = 19
_MARGIN: Final = 18
_BAR: Final = 36
# Seconds: until the next line, with what a reader needs at the end, and at the end of a paragraph.
_PACE: Final = 0.16
_PARAGRAPH: Final = 1.0
_END: Final = 9.0
_ROUNDS: Final = 3
# By their numbers in SGR 30 to 37.
_COLOURS: Final = {1: "#f7768e", 2: "#9ece6a", 3: "#e0af68", 6: "#7dcfff"}
_FONTS: Final = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def lines_of(output: str) -> list[Text]:
    """The lines of a program's output, its colours read."""
    return [Text.from_ansi(line, end="") for line in output.splitlines()]


def _spans(console: Console, line: Text) -> str:
    spans: list[str] = []
    column = 0
    for text, style, _ in Segment.simplify(console.render(line)):
        words = text.strip(" ")
        start = column + len(text) - len(text.lstrip(" "))
        column += len(text)
        if words:
            # Each run has its place and its length, so that columns stand in line in whatever font there is.
            spans.append(
                f'<tspan x="{start * _COLUMN:.2f}" textLength="{len(words) * _COLUMN:.2f}"{_look(style)}>'
                f"{escape(words)}</tspan>"
            )
    return "".join(spans)


def _look(style: Style | None) -> str:
    if style is None:
        return ""
    look = ' class="b"' if style.bold else ""
    if style.color is not None and style.color.number is not None:
        look += f' fill="{_COLOURS[style.color.number]}"'
    return look


def session(title: str, lines: Sequence[Text], columns: int, rows: int) -> str:
    """The picture of a session: lines come in at the bottom as in a terminal; where nothing moves, the end is seen.

    @param rows: how many lines are seen at a time.
    """
    console = Console(file=io.StringIO(), width=columns * 4, no_color=False)
    width, height = round(columns * _COLUMN + 2 * _MARGIN), rows * _LINE + 2 * _MARGIN
    drawn = "\n".join(
        f'<text y="{number * _LINE + 14}" xml:space="preserve">{_spans(console, line)}</text>'
        for number, line in enumerate(lines)
        if line.plain.strip()
    )
    last = (rows - len(lines)) * _LINE
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + _BAR}" role="img">
<title>{escape(title)}</title>
<style>
text {{ font: 14px {_FONTS}; fill: #c0caf5; }}
.b {{ font-weight: bold; fill: #ffffff; }}
.bar {{ font: 13px sans-serif; fill: #9aa5ce; }}
@media (prefers-reduced-motion: no-preference) {{
  .session {{ animation: session {_length(lines):.2f}s step-end {_ROUNDS}; }}
}}
@keyframes session {{
{_frames(lines, rows)}
}}
</style>
<rect width="{width}" height="{height + _BAR}" rx="10" fill="#1a1b26"/>
<circle cx="22" cy="18" r="6" fill="#f7768e"/><circle cx="42" cy="18" r="6" fill="#e0af68"/>
<circle cx="62" cy="18" r="6" fill="#9ece6a"/>
<text class="bar" x="{width / 2:g}" y="23" text-anchor="middle">{escape(title)}</text>
<svg x="{_MARGIN}" y="{_BAR + _MARGIN // 2}" width="{width - 2 * _MARGIN}" height="{height - _MARGIN}">
<g class="session" transform="translate(0 {last})">
{drawn}
</g>
</svg>
</svg>
"""


def _waits(lines: Sequence[Text]) -> list[float]:
    """Seconds for which each line is the last one that is seen."""
    waits = [_PACE if line.plain.strip() else _PARAGRAPH for line in lines]
    return [*waits[:-1], _END]


def _length(lines: Sequence[Text]) -> float:
    return sum(_waits(lines))


def _frames(lines: Sequence[Text], rows: int) -> str:
    whole, elapsed = _length(lines), 0.0
    frames: list[str] = []
    for number, wait in enumerate(_waits(lines), start=1):
        # The first screen comes at once, every line after it by itself.
        shift = min(0, rows - number) * _LINE
        frame = f"  {elapsed / whole * 100:.2f}% {{ transform: translate(0, {shift}px); }}"
        if not frames or number > rows:
            frames.append(frame)
        elapsed += wait
    return "\n".join(frames)
