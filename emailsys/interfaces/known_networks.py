"""Durable record of the networks from which accounts have logged in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zope.interface import Attribute, Interface


@dataclass(frozen=True, slots=True)
class KnownNetwork:
    """A network from which an account has logged in with its present password.

    `network` is an IPv4 address, or a /64 network of IPv6. `day` is that of the last login, in days since 1970.
    `password_number` is that of `Login`: with another password, the network is unknown.
    """

    account_id: int
    network: str
    day: int
    password_number: int = 0


class IKnownNetworks(Interface):
    """The networks in the store. They end with their account, and when its password is replaced."""

    is_shared: bool = Attribute("Whether other nodes may add networks too.")

    async def load(most: int, since: int = 0) -> Sequence[KnownNetwork]:
        """Return the most recently used networks, at most `most`, the least recently used one first.

        @param since: only those that were used on this day or later.
        """

    async def note(logins: Sequence[KnownNetwork]) -> None:
        """Add networks, or move their day forward.

        Logins of accounts that no longer exist, and with passwords that were replaced, are ignored.
        """

    async def prune(today: int, kept_days: int, most: int) -> None:
        """Delete networks that were last used more than `kept_days` ago, and the least recently used above `most`.

        Days after `today` are set to `today`. If all networks are too old, none is: the clock may be wrong.
        """
