"""Send messages and long listings to a POP3 client, no faster than it reads (RFC 1939 §3, §5)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from twisted.internet.error import ConnectionLost

from emailsys.interfaces import IMaildrop, StoreDamaged
from emailsys.net.serving.connection import Connection
from emailsys.wire.pop3.top import TopCutter
from emailsys.wire.stuffing import Stuffer

# Lines of a listing that are joined at once: about 64 KiB, a millisecond of work.
_LINES_AT_ONCE: Final = 4096


class CutShort(Exception):
    """A message failed after its status line was sent: only the end of the connection can tell the client so."""


async def send_message(
    connection: Connection[Any], maildrop: IMaildrop, index: int, status: bytes, lines: int | None = None
) -> None:
    """Send the status line, the message byte-stuffed, and the final dot.

    Nothing is sent before the store gave the first piece. A message that is short of octets never gets its final
    dot: a client would take it for whole, and delete it.

    @param lines: of the body, as TOP asks for; None for all.
    @raise StoreDamaged: the message is not what was accepted; nothing was sent, not even the status line.
    @raise CutShort: the message failed half-way; its cause says why.
    """
    stuffer = Stuffer()
    cutter = None if lines is None else TopCutter(lines)
    octets = maildrop.size_of(index)
    begun = False
    pieces = maildrop.pieces(index)
    try:
        async for piece, dotted in pieces:
            if not begun:
                begun = True
                connection.send(status)
            octets -= len(piece)
            if cutter is not None:
                piece = cutter.cut(piece)
            connection.send(stuffer.stuff(piece, dotted))
            if connection.is_blocked:
                await connection.room()
                # A client that reads a long message is not silent: nobody may take its maildrop over.
                maildrop.touch()
            if cutter is not None and cutter.done:
                break
    except ConnectionLost:
        await _close(pieces)
        raise
    except Exception as error:
        if begun:
            raise CutShort(str(error)) from error
        raise
    if cutter is not None and cutter.done:
        await _close(pieces)
    elif octets and begun:
        raise CutShort(f"the store is short of {octets} octets")
    elif octets:
        raise StoreDamaged(f"the store has nothing of {octets} octets")
    elif not begun:
        connection.send(status)
    connection.send(stuffer.end())


async def _close(pieces: Any) -> None:
    """End a generator that was left early, so that it lets go of what it holds now and not when it is collected."""
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()


async def send_listing(connection: Connection[Any], status: bytes, lines: Iterator[bytes]) -> None:
    """Send a status line, lines that have their CRLF, and the final dot."""
    connection.send(status)
    while chunk := b"".join(islice(lines, _LINES_AT_ONCE)):
        connection.send(chunk)
        if connection.is_blocked:
            await connection.room()
    connection.send(b".\r\n")
