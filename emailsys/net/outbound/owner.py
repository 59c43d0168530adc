"""What an outbound connection asks its owner for, and what it tells it."""

from __future__ import annotations

from typing import Protocol, TypeVar

from emailsys.mail.transmission import Outcome
from emailsys.net.outbound.pending import Errand

ClientT = TypeVar("ClientT", contravariant=True)


class Owner(Protocol[ClientT]):
    """The owner of a connection.

    Calls go one way: the owner gives orders (`wake`, `retire`, `wind_up`, `hurry`, `abort`, `drop`), and the connection
    fetches its errands itself.
    """

    #: No TLS: it has failed here before, and the policy lets mail go in the clear.
    clear: bool

    def usable(self, client: ClientT) -> None:
        """The connection is ready for its first errand."""

    def next_errand(self, client: ClientT, ahead: bool) -> Errand | None:
        """What is to be sent next; `ahead` of the end of what is being sent now."""

    def has_nothing_to_do(self, client: ClientT) -> None:
        """It is idle; `wake` ends that."""

    def failed(self, client: ClientT, outcome: Outcome, tls: bool) -> None:
        """It never became usable, and will not; `tls` is what was at fault."""

    def give_back(self, errand: Errand) -> None:
        """The connection ended before the host said anything of it."""

    def gone(self, client: ClientT) -> None:
        """The connection takes no more errands."""

    def closed(self, client: ClientT) -> None:
        """Its socket is closed."""
