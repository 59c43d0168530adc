"""Conditions for messages: a search of a maildrop, and the message that a client waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from emailsys.interfaces import Listed
from emailsys.mail.message.mime import parse
from emailsys.web.api.message_values import plain_text, summary
from emailsys.web.api.operation import Parameter
from emailsys.web.api.schema import text

_MOST: Final = 500

#: The parameters that name conditions. Case does not matter.
CONDITIONS: Final = (
    Parameter("from", text("Part of a name or address in From.", _MOST, 1)),
    Parameter("to", text("Part of a name or address in To or Cc.", _MOST, 1)),
    Parameter("subject", text("Part of the subject.", _MOST, 1)),
    Parameter("message_id", text("The Message-ID without brackets.", _MOST, 1)),
    Parameter("text", text("Part of the plain text.", _MOST, 1)),
    Parameter("since", text("Only messages accepted at or after this time.", 40, 1, format="date-time")),
    Parameter("until", text("Only messages accepted before this time.", 40, 1, format="date-time")),
)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions that a message must meet. An empty text is no condition."""

    sender: str = ""
    recipient: str = ""
    subject: str = ""
    message_id: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def needs_text(self) -> bool:
        """Whether the body must be read."""
        return bool(self.text)

    def admits(self, row: Listed) -> bool:
        """Whether a message is of the right time."""
        if self.since is not None and row.arrived_at < self.since:
            return False
        return self.until is None or row.arrived_at < self.until

    def summary_if_met(self, octets: bytes, row: Listed) -> dict[str, Any] | None:
        """Return the summary of a message that meets the conditions, else None.

        @param octets: the message; its header section is enough unless `needs_text`.
        """
        found = summary(octets, row)
        met = (
            _is_among(self.sender, found["from"])
            and _is_among(self.recipient, [*found["to"], *found["cc"]])
            and self.subject in found["subject"].casefold()
            and self.message_id in ("", found["message_id"])
        )
        if met and self.text:
            met = self.text in (plain_text(parse(octets)) or "").casefold()
        return found if met else None


def _is_among(wanted: str, people: list[dict[str, str]]) -> bool:
    return not wanted or any(wanted in f"{one['name']} <{one['address']}>".casefold() for one in people)


def conditions_of(values: Mapping[str, Any]) -> Conditions:
    """Return the conditions that the parameters of a request name."""
    return Conditions(
        values.get("from", "").casefold(),
        values.get("to", "").casefold(),
        values.get("subject", "").casefold(),
        values.get("message_id", "").strip("<>"),
        values.get("text", "").casefold(),
        _moment(values.get("since")),
        _moment(values.get("until")),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
