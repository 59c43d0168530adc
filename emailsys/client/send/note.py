"""Envelope and delivery state of a message in the outbox, stored as the message's note."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from emailsys.mail.address import Address, AddressSyntaxError, parse, parse_foreign
from emailsys.mail.dsn_request import Notify

_KEY: Final = "envelope"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A recipient that was not accepted, with the server's reply."""

    address: str
    reply: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class Notices:
    """Requested delivery status notifications (RFC 3461). Used if the server offers DSN."""

    success: bool = False
    failure: bool = True
    delay: bool = True
    whole_message: bool = False

    @property
    def notify(self) -> Notify:
        """The NOTIFY parameter of each recipient (RFC 3461 §4.1)."""
        requested = Notify.NEVER
        for wanted, notify in (
            (self.success, Notify.SUCCESS),
            (self.failure, Notify.FAILURE),
            (self.delay, Notify.DELAY),
        ):
            if wanted:
                requested |= notify
        return requested


@dataclass(frozen=True, slots=True)
class OutboxNote:
    """Envelope and state of a message in the outbox.

    - `waiting` are the recipients that have not accepted it, including refused ones.
    - `due` is the time of the next attempt, in seconds since 1970.
    - `scheduled`: the user named that time.
    - `begun`: in an attempt that was not settled, the last octets of the message were about to be sent, so it may have
      arrived.
    - `again`: it may have arrived, and the user wants it sent again.
    - `stuck`: there is no further attempt until the user acts.
    - `sent`: all recipients accepted it, and it has to be moved out of the outbox.
    """

    sender: Address | None
    waiting: tuple[Address, ...]
    message_id: str = ""
    due: float = 0.0
    scheduled: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    notices: Notices | None = None
    accepted: tuple[Address, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    attempts: int = 0
    problem: str = ""
    begun: bool = False
    again: bool = False
    stuck: bool = False
    sent: bool = False

    @property
    def to_try(self) -> tuple[Address, ...]:
        """The recipients in `waiting` that were not refused permanently."""
        refused = {refusal.address for refusal in self.refusals if refusal.permanent}
        return tuple(address for address in self.waiting if str(address) not in refused)

    @property
    def is_in_doubt(self) -> bool:
        """Whether it may have arrived, and the user has not said to send it again."""
        return self.begun and not self.again

    def changed(self, **changes: Any) -> OutboxNote:
        """Return a copy with changed fields."""
        return replace(self, **changes)

    def as_note(self) -> Mapping[str, Any]:
        """Return the note as a JSON object."""
        notices = self.notices
        return {
            _KEY: {
                "from": "" if self.sender is None else str(self.sender),
                "to": [str(address) for address in self.waiting],
                "message_id": self.message_id,
                "due": self.due,
                "scheduled": self.scheduled,
                "eight_bit": self.eight_bit,
                "smtputf8": self.smtputf8,
                "notices": None
                if notices is None
                else [notices.success, notices.failure, notices.delay, notices.whole_message],
                "accepted": [str(address) for address in self.accepted],
                "refusals": [[one.address, one.reply, one.permanent] for one in self.refusals],
                "attempts": self.attempts,
                "problem": self.problem,
                "begun": self.begun,
                "again": self.again,
                "stuck": self.stuck,
                "sent": self.sent,
            }
        }


def _addresses(texts: Any) -> tuple[Address, ...]:
    return tuple(parse_foreign(str(text)) for text in texts)


def note_from(note: Mapping[str, Any] | None) -> OutboxNote | None:
    """Parse a note. Return None if it has no valid envelope."""
    table = note.get(_KEY) if note is not None else None
    if not isinstance(table, Mapping):
        return None
    try:
        notices = table["notices"]
        return OutboxNote(
            sender=parse(table["from"]) if table["from"] else None,
            waiting=_addresses(table["to"]),
            message_id=str(table["message_id"]),
            due=float(table["due"]),
            eight_bit=bool(table["eight_bit"]),
            smtputf8=bool(table["smtputf8"]),
            notices=None if notices is None else Notices(*(bool(value) for value in notices)),
            accepted=_addresses(table["accepted"]),
            refusals=tuple(
                Refusal(str(address), str(reply), bool(permanent)) for address, reply, permanent in table["refusals"]
            ),
            attempts=int(table["attempts"]),
            problem=str(table["problem"]),
            begun=bool(table["begun"]),
            # Notes of earlier versions do not have these two.
            again=bool(table.get("again", False)),
            scheduled=bool(table.get("scheduled", False)),
            stuck=bool(table["stuck"]),
            sent=bool(table["sent"]),
        )
    except (AddressSyntaxError, KeyError, TypeError, ValueError):
        return None
