"""Whole messages: read from the store, parsed off the reactor, and kept while a browser loads their pages."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from twisted.python.failure import Failure

from emailsys.interfaces import IMaildropReading, Listed
from emailsys.mail.message.mime import Part, parse
from emailsys.web.base.face import Call, Face
from emailsys.web.base.refusal import Refusal

# Octets of messages in memory. One page asks for the same message several times: its text, its HTML, its pictures.
_MAX_KEPT: Final = 64 * 1024 * 1024
_SECONDS: Final = 60.0
_UNPARSED: Final = (
    b"Subject: (this message cannot be read)\r\n\r\n"
    b"Reading this message led to an unexpected exception, which the server has logged. You can save it as a file.\r\n"
)
_GONE: Final = "It was deleted, here or by a mail program."


@dataclass(frozen=True, slots=True)
class Opened:
    """A message that was read."""

    listed: Listed
    octets: bytes = field(repr=False)
    root: Part = field(repr=False)


def _parsed(octets: bytes) -> tuple[Part, Exception | None]:
    """Parse a message. One that cannot be parsed is shown without its content, and can be saved."""
    try:
        return parse(octets), None
    except Exception as error:
        return parse(_UNPARSED), error


class Messages:
    """Reads messages of accounts."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._reading: IMaildropReading = face.store.reading
        self._kept: OrderedDict[tuple[int, str], tuple[Opened, float]] = OrderedDict()
        self._octets = 0

    async def open(self, call: Call, number: int, uid: str) -> Opened:
        """Return a message of an account of this browser.

        @raise LoginNeeded: the browser has not logged in to the account.
        @raise Refusal: the message is deleted.
        """
        account_id = call.account(number).account.account_id
        listed = await self._reading.find(account_id, uid)
        if listed is None:
            self._drop((account_id, uid))
            raise Refusal(404, "This message is gone", _GONE)
        kept = self._kept.get((account_id, uid))
        if kept is not None and self._face.reactor.seconds() - kept[1] < _SECONDS:
            return kept[0]
        octets = b"".join([piece async for piece in self._reading.pieces(account_id, uid)])
        root, error = await self._face.in_thread(_parsed, octets)
        if error is not None:
            self._face.telemetry.exception("web-exception", Failure(error), uid=uid)  # type: ignore[no-untyped-call]
        opened = Opened(listed, octets, root)
        self._keep((account_id, uid), opened)
        return opened

    def _keep(self, key: tuple[int, str], opened: Opened) -> None:
        self._drop(key)
        if len(opened.octets) > _MAX_KEPT // 2:
            return
        self._kept[key] = opened, self._face.reactor.seconds()
        self._octets += len(opened.octets)
        while self._octets > _MAX_KEPT:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[int, str]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._octets -= len(kept[0].octets)
