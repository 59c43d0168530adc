"""Ladder of a conversation: each event is a rung between the client on the left and the server on the right."""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from emailsys.cli.watching.conversations import Watched
from emailsys.cli.watching.event_lines import time_of, words_of
from emailsys.cli.watching.rows import style_of
from emailsys.client.text.terminal import safe_line
from emailsys.wiretap.conversation import Conversation, Direction, Event, Kind, Role

#: Columns that a ladder needs; on fewer its texts would be cut to nothing.
LEAST_WIDTH: Final = 40
# Between the time and the left rail: minutes, seconds, milliseconds and a space.
_TIME: Final = 10
# Of an arrow: its shaft beside the text, at least, with the head.
_SHAFT: Final = 4
_RAIL: Final = "│"


def heading(about: Conversation, width: int) -> Text:
    """Return the names of both sides above their rails."""
    peer = safe_line(about.peer_name or about.peer or "peer")
    own = safe_line(about.local or "this host")
    left, right = (own, peer) if about.role is Role.CLIENT else (peer, own)
    inner = width - _TIME
    left, right = f"client {left}", f"{right} server"
    half = (inner - 2) // 2
    left, right = _cut(left, half), _cut(right, half)
    gap = " " * max(1, inner - cell_len(left) - cell_len(right))
    return Text(f"{' ' * _TIME}{left}{gap}{right}", "bold", no_wrap=True, overflow="crop")


def rung(watched: Watched, event: Event, width: int) -> Text:
    """Return an event as one line.

    An arrow shows which way octets went, a double one that they were encrypted handshake messages. What has no octets
    stands between the rails. Texts are cut: the pane below has them in full.
    """
    row = Text(no_wrap=True, overflow="crop")
    row.append(f"{time_of(watched.about, event)[3:]} ", "dim")
    inner = width - _TIME - 2
    words = words_of(event)
    style = style_of(event)
    row.append(_RAIL, "dim")
    if event.direction is None:
        text = _cut(words, inner - 2)
        left = (inner - cell_len(text)) // 2
        row.append(f"{' ' * left}{text}{' ' * (inner - left - cell_len(text))}", style)
    else:
        text = _cut(words, inner - _SHAFT - 2)
        is_sealed = event.kind is Kind.TLS and event.details.get("encrypted") is True
        line = "═" if is_sealed else "─"
        shaft = line * (inner - cell_len(text) - 4)
        if (event.direction is Direction.OUT) is (watched.about.role is Role.CLIENT):
            row.append(f"{line} ", style)
            row.append(text, style)
            row.append(f" {shaft}▶", style)
        else:
            row.append(f"◀{shaft} ", style)
            row.append(text, style)
            row.append(f" {line}", style)
    row.append(_RAIL, "dim")
    return row


def _cut(text: str, cells: int) -> str:
    """Cut a text to a number of columns; wide letters take two."""
    return text if cell_len(text) <= cells else set_cell_size(text, max(0, cells - 1)).rstrip() + "…"
