"""Layout of a drawn MIME tree: parts as rows with bars of their octets, and arcs from HTML to its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.mail.message.structure import Row
from emailsys.wiretap.export.wording import line_of, octets

# Parts that are drawn. A message may have thousands.
_MOST: Final = 100
_MOST_ARCS: Final = 30
# Levels that are set in further; deeper ones stay there.
_MOST_LEVELS: Final = 7


@dataclass(frozen=True, slots=True)
class TreeSize:
    """Measures in pixels: `row` and `container` are the heights of a leaf and of a multipart.

    If `bar_below`, a part's bar stands below its text, not beside it.
    """

    width: int
    row: int
    container: int
    indent: int
    letter: float
    bar_left: int
    bar_width: int
    bar_below: bool


WIDE_TREE: Final = TreeSize(860, 54, 40, 26, 7.6, 470, 330, False)
NARROW_TREE: Final = TreeSize(320, 88, 36, 12, 6.7, 14, 270, True)


@dataclass(frozen=True, slots=True)
class PartShape:
    """A part as it is drawn. `parent_y` is None for the message itself."""

    x: int
    y: int
    parent_x: int
    parent_y: int | None
    title: str
    detail: str
    bar_x: int
    bar_y: int
    payload: float
    overhead: float
    sizes: str
    is_leaf: bool
    has_defects: bool


@dataclass(frozen=True, slots=True)
class Arc:
    """A Content-ID link from an HTML part to the part that it shows."""

    path: str
    tip: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The whole drawing. `left` is how many parts are not drawn."""

    size: TreeSize
    height: int
    parts: tuple[PartShape, ...]
    arcs: tuple[Arc, ...]
    left: int


def tree(rows: Sequence[Row], size: TreeSize) -> Tree:
    """Lays a message out."""
    drawn = rows[:_MOST]
    largest = max((row.raw_octets for row in drawn if row.decoded_octets is not None), default=1) or 1
    parents: dict[int, tuple[int, int]] = {}
    shapes: list[PartShape] = []
    places: dict[str, int] = {}
    y = below = 8
    for row in drawn:
        x = 12 + min(row.level, _MOST_LEVELS) * size.indent
        y, below = below, below + (size.container if row.decoded_octets is None else size.row)
        places.setdefault(row.number, y + 14)
        parent = parents.get(row.level - 1)
        parents[row.level] = (x, y + 14)
        shapes.append(_shape(row, x, y, parent, largest, size))
    links = [
        (places[row.number], places[link])
        for row in drawn
        for link in row.links
        if link in places and row.number in places
    ]
    return Tree(size, below + 8, tuple(shapes), tuple(_arcs(links, size)), max(0, len(rows) - len(drawn)))


def _shape(row: Row, x: int, y: int, parent: tuple[int, int] | None, largest: int, size: TreeSize) -> PartShape:
    is_leaf = row.decoded_octets is not None
    payload = overhead = 0.0
    sizes = ""
    if row.decoded_octets is not None:
        scale = size.bar_width / largest
        payload = min(row.decoded_octets, row.raw_octets) * scale
        overhead = max(0, row.raw_octets - row.decoded_octets) * scale
        percent = "" if row.overhead is None else f"  {row.overhead:+.1f} %"
        sizes = f"{row.decoded_octets:,} as {octets(row.raw_octets)}{percent}"
    end = size.width - 24 if size.bar_below else size.bar_left - 12
    letters = int((end - x - 20) / size.letter)
    detail = "  ".join(filter(None, (row.name, row.charset, row.encoding if is_leaf else "")))
    bar_x, bar_y = (x + 14, y + 44) if size.bar_below else (size.bar_left, y + 6)
    if size.bar_below:
        fits = (size.width - 30 - bar_x) / size.bar_width
        payload, overhead = payload * fits, overhead * fits
    return PartShape(
        x,
        y,
        parent[0] if parent else 0,
        parent[1] if parent else None,
        line_of(f"{row.number}  {row.content_type}", letters),
        line_of(detail, letters),
        bar_x,
        bar_y,
        round(payload, 1),
        round(overhead, 1),
        sizes,
        is_leaf,
        bool(row.defects),
    )


def _arcs(links: Sequence[tuple[int, int]], size: TreeSize) -> Sequence[Arc]:
    """Curves along the right edge, each a little further out than the one before."""
    x = size.width - 22
    arcs = []
    for number, (start, end) in enumerate(links[:_MOST_ARCS]):
        out = x + 6 + min(number * 3, 14)
        arcs.append(
            Arc(
                f"M {x - 8} {start} C {out} {start}, {out} {start}, {out} {start + 12 if end > start else start - 12} "
                f"L {out} {end - 12 if end > start else end + 12} C {out} {end}, {out} {end}, {x - 2} {end}",
                f"{x - 8},{end} {x},{end - 4} {x},{end + 4}",
            )
        )
    return arcs
