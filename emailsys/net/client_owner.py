"""Whom a connection to another host works for: what it asks for, and what it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from emailsys.mail.transmission import Outcome
from emailsys.net.errand import Errand

if TYPE_CHECKING:
    from emailsys.net.smtp_client import SMTPClient


class Owner(Protocol):
    """Whom a connection works for."""

    #: No TLS: it has failed here before, and the policy lets mail go in the clear.
    clear: bool

    def usable(self, client: SMTPClient) -> None:
        """The connection is ready for its first errand."""

    def next_errand(self, client: SMTPClient, ahead: bool) -> Errand | None:
        """What is to be sent next; `ahead` of the end of what is being sent now."""

    def has_nothing_to_do(self, client: SMTPClient) -> None:
        """It is idle; `give` ends that."""

    def failed(self, client: SMTPClient, outcome: Outcome, tls: bool) -> None:
        """It never became usable, and will not; `tls` is what was at fault."""

    def give_back(self, errand: Errand) -> None:
        """The connection ended before the host said anything of it."""

    def gone(self, client: SMTPClient) -> None:
        """The connection takes no more errands."""

    def closed(self, client: SMTPClient) -> None:
        """Its socket is closed."""
