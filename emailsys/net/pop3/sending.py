"""Sending of messages and long listings to a POP3 client, no faster than it reads (RFC 1939 §3, §5)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from itertools import islice
from typing import Any, Final

from twisted.internet.error import ConnectionLost

from emailsys.interfaces import IMaildrop, StoreDamaged
from emailsys.mail.message.surrogate import Surrogate
from emailsys.net.serving.connection import Connection
from emailsys.net.serving.replies import MAX_WAITING_OCTETS
from emailsys.wire.pop3.top import TopCutter
from emailsys.wire.stuffing import Stuffer, stuff_text

# Lines of a listing that are joined in one step, and in one turn of the reactor: half a millisecond of work.
_LINES_AT_ONCE: Final = 512
_END: Final = b".\r\n"


class TruncatedMessage(Exception):
    """A message failed after its status line was sent. Only closing the connection can tell the client."""


async def send_message(
    connection: Connection[Any],
    maildrop: IMaildrop,
    index: int,
    octets: int | None,
    status: bytes,
    lines: int | None = None,
    surrogate: Surrogate | None = None,
) -> None:
    """Send the status line, the message byte-stuffed, and the final dot.

    Nothing is sent before the store has returned the first piece. An incomplete message never gets its final dot: the
    client would consider it complete, and delete it.

    @param octets: size of the message; None if only its end tells it.
    @param lines: the lines of the body to send, for TOP; None for all.
    @param surrogate: changes the message for a client that has not sent UTF8. Without `lines`, the status line then
        has the octets of the changed message if it consists of one piece.
    @raise StoreDamaged: the message is not what was accepted. Nothing was sent, not even the status line.
    @raise TruncatedMessage: the message failed after its beginning was sent. The exception's cause says why.
    """
    stuffer = Stuffer()
    cutter = None if lines is None else TopCutter(lines)
    has_begun = False
    pieces = maildrop.pieces(index)
    try:
        async for piece, dotted in pieces:
            if octets is not None:
                octets -= len(piece)
            if surrogate is not None:
                piece, dotted = surrogate.take(piece, is_last=not octets), True
                if not (octets or has_begun or lines is not None):
                    status = b"+OK %d octets\r\n" % len(piece)
            if not has_begun:
                has_begun = True
                connection.send(status)
            if cutter is not None:
                piece = cutter.cut(piece)
            connection.send(stuffer.stuff(piece, dotted))
            if connection.is_blocked:
                await connection.writable()
                # A client that reads a long message is not silent: another login must not take its maildrop over.
                maildrop.touch()
            if cutter is not None and cutter.done:
                break
    except ConnectionLost:
        await _close(pieces)
        raise
    except Exception as error:
        if has_begun:
            raise TruncatedMessage(str(error)) from error
        raise
    if cutter is not None and cutter.done:
        await _close(pieces)
    elif octets and has_begun:
        raise TruncatedMessage(f"the store lacks {octets} octets of the message")
    elif octets:
        raise StoreDamaged(f"the store lacks all {octets} octets of the message")
    elif not has_begun:
        connection.send(status)
    connection.send(stuffer.end())


def send_whole(connection: Connection[Any], text: bytes, dotted: bool) -> None:
    """Send a message that is in memory, without the coroutine of `send_message`."""
    connection.send(stuff_text(text, dotted, b"+OK %d octets\r\n" % len(text)))


async def _close(pieces: Any) -> None:
    """Close a generator that was left early, so that it releases its resources now and not when it is collected."""
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()


async def send_listing(
    connection: Connection[Any],
    status: bytes,
    lines: Iterator[bytes],
    keep: Callable[[bytes], None] | None = None,
) -> None:
    """Send a status line, the lines of a listing, and the final dot.

    A client that reads fast never blocks the connection. Therefore long listings go on in the reactor's next turn.

    @param lines: the lines of the listing, each with its CRLF.
    @param keep: called with the whole reply when it was sent.
    """
    connection.send(status)
    sent = [status]
    chunk = b"".join(islice(lines, _LINES_AT_ONCE))
    while chunk:
        connection.send(chunk)
        if keep is not None:
            sent.append(chunk)
        chunk = b"".join(islice(lines, _LINES_AT_ONCE))
        if connection.is_blocked:
            await connection.writable()
        elif chunk:
            await connection.next_turn()
    connection.send(_END)
    if keep is not None:
        keep(b"".join((*sent, _END)))


def send_kept(connection: Connection[Any], reply: bytes) -> Coroutine[Any, Any, None] | None:
    """Send a long reply that is in memory."""
    if len(reply) > MAX_WAITING_OCTETS:
        return _send_kept(connection, reply)
    connection.send(reply)
    return None


async def _send_kept(connection: Connection[Any], reply: bytes) -> None:
    for start in range(0, len(reply), MAX_WAITING_OCTETS):
        connection.send(reply[start : start + MAX_WAITING_OCTETS])
        if connection.is_blocked:
            await connection.writable()
        else:
            await connection.next_turn()
