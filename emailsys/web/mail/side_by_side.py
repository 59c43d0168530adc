"""All accounts of a browser side by side: the newest messages of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from emailsys.interfaces import Account
from emailsys.web.base.face import Answer, Call, Face
from emailsys.web.base.refusal import LoginNeeded
from emailsys.web.mail.deletions import Deletions
from emailsys.web.mail.summaries import Summaries, Summary

# Messages of each account.
_NEWEST: Final = 15


@dataclass(frozen=True, slots=True)
class _Column:
    """The newest messages of an account."""

    number: int
    account: Account
    shown: list[Summary]
    unread: frozenset[str]


class SideBySide:
    """The page."""

    def __init__(self, face: Face, deletions: Deletions, summaries: Summaries) -> None:
        self._deletions = deletions
        self._summaries = summaries
        face.route("/mail/", self.page)
        face.together = "/mail/"

    async def page(self, call: Call) -> Answer:
        """Show the accounts in columns, or one above the other in a narrow window."""
        if call.session is None:
            raise LoginNeeded
        accounts = tuple(call.session.accounts.items())
        columns = [await self._column(number, one.account) for number, one in accounts]
        return call.page("mail/side_by_side.html", title="All accounts", columns=columns)

    async def _column(self, number: int, account: Account) -> _Column:
        reading = self._summaries.reading
        hidden = self._deletions.hidden(account.account_id)
        listed = await reading.page(account.account_id, _NEWEST + len(hidden))
        shown = await self._summaries.of(account.account_id, [one for one in listed if one.uid not in hidden][:_NEWEST])
        uids = [one.uid for one in shown]
        return _Column(number, account, shown, frozenset(uids) - await reading.read(account.account_id, uids))
