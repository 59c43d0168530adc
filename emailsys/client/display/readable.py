"""Views of messages that always show something: if a step fails, its failure is a defect of the message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, overload

from emailsys.client.archive.unreadable import record
from emailsys.client.crypto.opening import Opener
from emailsys.client.display import message
from emailsys.client.display.message import MessageView
from emailsys.client.text.terminal import safe_line
from emailsys.mail.message.structure import Row

# Octets of a message that cannot be taken apart, shown as they are.
_RAW: Final = 100_000


@overload
def readable_view(
    root: Path, key: str, octets: bytes, html: bool = False, number: None = None, opener: Opener | None = None
) -> MessageView: ...


@overload
def readable_view(
    root: Path, key: str, octets: bytes, html: bool, number: str | None, opener: Opener | None = None
) -> MessageView | None: ...


def readable_view(
    root: Path,
    key: str,
    octets: bytes,
    html: bool = False,
    number: str | None = None,
    opener: Opener | None = None,
) -> MessageView | None:
    """Return the view of a message, or else its octets as text.

    @param root: the folder of the local store.
    @param number: the number of the part to show instead of the message. If there is no such part, the result is None.
    @param opener: opens protected parts; None to leave them closed.
    """
    try:
        if number is None:
            return message.view(octets, html, opener)
        return message.view_part(octets, number, opener)
    except Exception as error:
        defect = record(root, "showing the message", key, error)
        return MessageView((), message.raw(octets[:_RAW]), (), (safe_line(defect),))


def readable_headers(root: Path, key: str, octets: bytes) -> Sequence[tuple[str, str]]:
    """Return every header field of a message, or else the lines of its header section."""
    try:
        return message.all_headers(octets)
    except Exception as error:
        defect = record(root, "reading the header", key, error)
        head = message.raw(octets[:_RAW].replace(b"\r\n", b"\n").partition(b"\n\n")[0])
        return [("defect", safe_line(defect)), ("header", safe_line(head))]


def readable_structure(root: Path, key: str, octets: bytes, opener: Opener | None = None) -> Sequence[Row]:
    """Return the MIME structure of a message, or else one row with the defect."""
    try:
        return message.safe_structure(octets, opener)
    except Exception as error:
        defect = safe_line(record(root, "reading the structure", key, error))
        return [Row("1", 0, "text/plain", "", "", len(octets), None, None, "", "", (), (defect,))]
