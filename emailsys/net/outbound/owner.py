"""Callbacks from an outbound connection to the pool that owns it."""

from __future__ import annotations

from typing import Protocol, TypeVar

from emailsys.mail.transmission import Outcome
from emailsys.net.outbound.pending import PendingTransmission

ClientT = TypeVar("ClientT", contravariant=True)


class Owner(Protocol[ClientT]):
    """The owner of a connection.

    Calls go one way: the owner gives orders (`wake`, `retire`, `shut_down`, `close_soon_if_idle`, `abort`, `drop`), and
    the connection fetches its transmissions itself.
    """

    #: Whether to skip TLS, because it failed before at this host and the policy allows mail without it.
    clear: bool

    def usable(self, client: ClientT) -> None:
        """The connection is ready for its first transmission."""

    def next_transmission(self, client: ClientT, ahead: bool) -> PendingTransmission | None:
        """Return the next transmission. @param ahead: whether another one is still being sent."""

    def has_nothing_to_do(self, client: ClientT) -> None:
        """The connection is idle until `wake` is called."""

    def failed(self, client: ClientT, outcome: Outcome, tls: bool) -> None:
        """The connection will never be usable. `tls`: whether TLS caused the failure."""

    def give_back(self, pending: PendingTransmission) -> None:
        """The connection ended before the host said anything of it."""

    def gone(self, client: ClientT) -> None:
        """The connection takes no more transmissions."""

    def closed(self, client: ClientT) -> None:
        """The socket of the connection is closed."""
