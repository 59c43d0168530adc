"""Summaries of messages for lists and searches, read from their header sections and kept in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from twisted.python.failure import Failure

from emailsys.interfaces import IMaildropReading, Listed
from emailsys.mail.message.mailboxes import list_name, read_mailboxes
from emailsys.mail.message.mime import parse_header
from emailsys.web.base.face import Face

# Octets of a message that are read for its summary. Subject and addresses stand within the first few KiB.
_HEAD: Final = 16 * 1024
# Summaries in memory, over all maildrops: about 500 octets each.
_MAX_KEPT: Final = 50_000
_MAX_TEXT: Final = 300
#: The subject of a message that leads to an unexpected exception.
UNREADABLE: Final = "(this message cannot be read: unexpected exception; see the log)"


@dataclass(frozen=True, slots=True)
class Summary:
    """A line of a list. The texts come from strangers."""

    uid: str
    octets: int
    arrived_at: datetime
    sender: str
    address: str
    subject: str
    to: str


def one_line(text: str, most: int = _MAX_TEXT) -> str:
    """Return a text on one line, without control characters, cut if it is long."""
    text = text[: most * 4]
    if not text.isprintable():
        text = "".join(one if one.isprintable() else " " for one in text)
    words = " ".join(text.split())
    return words if len(words) <= most else f"{words[:most]}…"


def summary_of(listed: Listed, head: bytes) -> Summary:
    """Parse the beginning of a message."""
    root = parse_header(head)
    origin = read_mailboxes(root.text_of("from")[:10_000])
    sender = list_name(origin[0]) if origin else root.decoded_of("from")
    return Summary(
        listed.uid,
        listed.octets,
        listed.arrived_at,
        one_line(sender) or "(no sender)",
        one_line(str(origin[0].address)) if origin else "",
        one_line(root.decoded_of("subject")) or "(no subject)",
        one_line(root.decoded_of("to")),
    )


def summary_or_error(listed: Listed, head: bytes) -> tuple[Summary, Exception | None]:
    """Return the summary of a message, and the exception if it has none: no message keeps others from being listed."""
    try:
        return summary_of(listed, head), None
    except Exception as error:
        return Summary(listed.uid, listed.octets, listed.arrived_at, "(no sender)", "", UNREADABLE, ""), error


class Summaries:
    """Summaries by unique-id. A message never changes, so that they are never out of date."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._reading: Any = face.store.reading
        # The least recently used is first. Unique-ids are those of one store, so no account is part of the key.
        self._kept: OrderedDict[str, Summary] = OrderedDict()

    @property
    def reading(self) -> IMaildropReading:
        """The maildrops."""
        reading: IMaildropReading = self._reading
        return reading

    async def of(self, account_id: int, listed: Sequence[Listed]) -> list[Summary]:
        """Return the summaries of messages of an account. Messages that were deleted meanwhile are missing."""
        missing = [one for one in listed if one.uid not in self._kept]
        found = {one.uid: self._kept[one.uid] for one in listed if one.uid in self._kept}
        if missing:
            heads = await self.reading.heads(account_id, [one.uid for one in missing], _HEAD)
            pairs = [(one, heads[one.uid]) for one in missing if one.uid in heads]
            for one, error in await self._face.in_thread(lambda: [summary_or_error(*pair) for pair in pairs]):
                found[one.uid] = one
                if error is not None:
                    self._face.telemetry.exception("web-exception", Failure(error), uid=one.uid)  # type: ignore[no-untyped-call]
        for uid, one in found.items():
            self._kept[uid] = one
            self._kept.move_to_end(uid)
        while len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)
        return [found[one.uid] for one in listed if one.uid in found]
