"""Delivery to other hosts: the relay, the resolver and the connection pool."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Interface

from emailsys.mail.next_hop import Host, NextHop
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, Transmission


class IRelay(Interface):
    """Relay to other hosts: MX lookup, connections and TLS are behind it."""

    async def relay(next_hop: NextHop, transmission: Transmission) -> Sequence[Outcome]:
        """Make one attempt to send a message to some of its recipients. Returns one outcome for each, in their order.

        If no host of the next hop could be reached, the outcomes are delayed with `host_at_fault`.

        @raise CancelledError: the only exception; nothing more is sent, and the connection is closed.
        """

    def idle(next_hop: NextHop) -> None:
        """Allow the connections to a next hop to be closed, because no message waits for it."""

    def shut_down(grace: float) -> None:
        """Shut down. Transmissions that have not sent the end of their message are aborted at once.

        No host can have accepted those. Transmissions that wait for the final reply are aborted after `grace` seconds.
        Outcomes of aborted transmissions have BROKEN_OFF.
        """


class IResolver(Interface):
    """Resolver of the hosts that accept mail for a next hop, by DNS."""

    async def hosts(next_hop: NextHop) -> Sequence[Host] | Reply:
        """Return at least one host, in the order of preference (RFC 5321 §5.1), or a reply with the reason for none.

        The reply is 4xx if the reason is temporary, and 5xx if mail can never be delivered there.
        """


class IConnectionPool(Interface):
    """Connection pool for outbound SMTP."""

    def connected(next_hop: NextHop) -> Host | None:
        """Return a host of the next hop with an open connection, which saves a lookup, or None."""

    async def send(next_hop: NextHop, host: Host, transmission: Transmission) -> Sequence[Outcome]:
        """Send a message to a host over an open or a new connection. Returns one outcome for each recipient, in order.

        @raise CancelledError: the only exception; nothing more is sent.
        """

    def idle(next_hop: NextHop) -> None:
        """Allow the connections to a next hop to be closed, because no message waits for it."""

    def shut_down(grace: float) -> None:
        """Begin no transmission, and abort those that have not sent the end of their message.

        Those that wait for the final reply are aborted after `grace` seconds. Aborted ones have BROKEN_OFF outcomes.
        """

    async def close(grace: float) -> None:
        """Shut down. Returns when all connections are closed."""
