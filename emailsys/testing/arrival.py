"""A Deferred of the next message that fits."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from emailsys.testing.mailbox import Inbox, Wanted
from emailsys.testing.message import Message


def arrival(inbox: Inbox, reactor: Any, wanted: Wanted, after: Message | None, timeout: float) -> Deferred[Message]:
    """Return a Deferred of the first message that fits, there already or still to come.

    It fails with NoSuchMail after `timeout` seconds, and can be cancelled.
    """
    found = inbox.first(wanted, after)
    if found is not None:
        return succeed(found)

    def end(result: Any) -> Any:
        inbox.observers.remove(look)
        if giving_up.active():
            giving_up.cancel()
        return result

    def look(_: Message) -> None:
        arrived = inbox.first(wanted, after)
        if arrived is not None and not waiting.called:
            waiting.callback(arrived)

    waiting: Deferred[Message] = Deferred()
    giving_up = reactor.callLater(timeout, lambda: waiting.errback(inbox.missing(wanted, timeout)))
    inbox.observers.append(look)
    return waiting.addBoth(end)
