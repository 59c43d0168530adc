"""Durable counts of what each sender sent to other hosts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from zope.interface import Attribute, Interface

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SentCount:
    """The count of recipients that an account, a trusted network or a forwarding alias sent to in one hour.

    `sender` is the address or the network as text, with "forward of " in front for what is forwarded. `hour` is the
    number of hours since 1970. `told` is the notice that its owner got in this hour: 0 for none, 1 for a limit that is
    near, 2 for held mail.
    """

    sender: str
    hour: int
    messages: int
    recipients: int
    told: int = 0


class ISentCounts(Interface):
    """The counts in the store."""

    is_shared: bool = Attribute("Whether other nodes may count the same senders.")

    async def load(since: int) -> Sequence[SentCount]:
        """Return the counts of the hour `since` and later hours."""

    async def add(counts: Sequence[SentCount], since: int) -> None:
        """Add to the counts, and delete those of hours before `since`."""

    async def count(
        senders: Sequence[str],
        hour: int,
        since: int,
        decide: Callable[[Sequence[SentCount]], tuple[Sequence[SentCount], T]],
    ) -> T:
        """Add to the counts of some senders, depending on what these are, while no other node does. Like `add`.

        @param hour: the present hour. Counts of hours to come, from a wrong clock, become counts of this hour.
        @param decide: gets the counts of the hour `since` and later hours. Returns what to add, and the result. It is
            called in another thread, perhaps more than once.
        """
