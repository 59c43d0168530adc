"""Pieces of a message for the reader, which lays one out after the other, and the pictures that stand below each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.text import Text

if TYPE_CHECKING:
    from emailsys.client.display.message import MessageView

# Characters of one piece of a message. The screen lays out a piece in about 0.05 s.
_PIECE: Final = 20_000
# How the text of HTML names a picture in its place: see `client.text.pictures`. Alternative text may stand before it.
_NAMED: Final = re.compile(r"\bpicture ([0-9.]{1,200})\]")


@dataclass(slots=True)
class Piece:
    """A part of the text, and the numbers of the pictures that stand below its last line."""

    text: Text = field(default_factory=Text)
    pictures: list[str] = field(default_factory=list)


def pieces(view: MessageView, headers: Sequence[tuple[str, str]]) -> Iterator[Piece]:
    """Yield a message in pieces, at least one. Each ends at a line end where there is one.

    A piece ends below a line that names a picture of the message.
    """
    body = view.body
    at = 0
    piece = Piece(_head(view, headers))
    places = _places(view)
    place = next(places, None)
    while True:
        end = at + _PIECE
        if end < len(body):
            line_end = body.rfind("\n", at, end)
            end = line_end if line_end > at else end
        else:
            end = len(body)
        while place is not None and place[0] <= end:
            end = place[0]
            piece.pictures.append(place[1])
            place = next(places, None)
        _append_lines(piece.text, body[at:end])
        if piece.pictures:
            # Without the line end, which would be a blank line above the picture.
            piece.text.right_crop(1)
        at = end + (body[end : end + 1] == "\n")
        if at >= len(body):
            break
        yield piece
        piece = Piece()
    if piece.pictures:
        yield piece
        piece = Piece()
    text = piece.text
    if len(view.defects) > 1:
        text.append(f"{len(view.defects)} defects. V lists them.\n", "italic red")
    else:
        text.append("".join(f"defect: {defect}\n" for defect in view.defects), "italic red")
    yield piece


def placed_pictures(view: MessageView) -> frozenset[str]:
    """Return the numbers of the pictures that have a place in the text. The others stand below it."""
    return frozenset(number for _, number in _places(view))


def _places(view: MessageView) -> Iterator[tuple[int, str]]:
    """Yield the pictures that the text names: the end of the line that names one first, and its number."""
    pictures = {one.number for one in view.attachments if one.picture}
    if not pictures:
        return
    for found in _NAMED.finditer(view.body):
        if found[1] in pictures:
            pictures.remove(found[1])
            line_end = view.body.find("\n", found.end())
            yield (line_end if line_end >= 0 else len(view.body)), found[1]


def _append_lines(text: Text, lines: str) -> None:
    for line in lines.split("\n"):
        text.append(f"{line}\n", "italic dim" if line.startswith(">") else "")


def _head(view: MessageView, headers: Sequence[tuple[str, str]]) -> Text:
    text = Text()
    for name, value in headers:
        text.append(f"{name}: ", "bold")
        text.append(f"{value}\n", "bold" if name == "Subject" else "")
    for warning in view.warnings:
        text.append(f"{warning}\n", "bold red")
    if view.is_locked:
        text.append("K asks for the passphrase.\n", "bold red")
    for note in view.notes:
        text.append(f"{note}\n", "green")
    for one in view.attachments:
        text.append("Attached: ", "bold")
        text.append(f"{one.name}  {one.kind}\n")
    text.append("\n")
    return text
