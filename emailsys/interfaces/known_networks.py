"""Durable record of the networks from which accounts have logged in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zope.interface import Interface


@dataclass(frozen=True, slots=True)
class KnownNetwork:
    """A network from which an account has logged in.

    `network` is an IPv4 address, or a /64 network of IPv6. `day` is that of the last login, in days since 1970.
    """

    account_id: int
    network: str
    day: int


class IKnownNetworks(Interface):
    """The networks in the store."""

    async def load(most: int) -> Sequence[KnownNetwork]:
        """Return the networks that were used last, at most `most`, the longest unused first."""

    async def note(logins: Sequence[KnownNetwork]) -> None:
        """Add networks, or move their day forward."""

    async def prune(since: int, most: int) -> None:
        """Delete networks that were last used before the day `since`, and the longest unused above `most`."""
