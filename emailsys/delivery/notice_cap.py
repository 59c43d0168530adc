"""Cap of notices: how many leave this system for one address, and for one domain, in an hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from emailsys.mail.address import Address
from emailsys.mail.envelope import RemoteRoute, Route
from emailsys.telemetry import Telemetry

_HOUR: Final = 3600.0
# A domain may get this many times the notices of one address.
_DOMAIN_FACTOR: Final = 10
# Maximum number of addresses and domains with counters of their own. The others share one, as one domain.
_MAX_COUNTED: Final = 20_000
_OTHERS: Final = ""


class NoticeCap:
    """Counts notices that leave this system. Notices to its own accounts have no cap.

    A sender address may be forged. Without a cap, mail that fails here could fill the mailbox of that address.
    """

    def __init__(self, most: int, clock: IReactorTime, telemetry: Telemetry) -> None:
        """@param most: notices to one address in an hour, 0 for no cap."""
        #: Notices to one address in an hour, 0 for no cap.
        self.most = most
        self._clock = clock
        self._telemetry = telemetry
        self._counts: Counter[str] = Counter()
        self._until = 0.0

    def take(self, address: Address, routes: Sequence[Route], queue_id: str) -> bool:
        """Count a notice to an address about a message. Returns False, and counts nothing, if the cap is reached."""
        if not self.most or not any(isinstance(route, RemoteRoute) for route in routes):
            return True
        now = self._clock.seconds()
        if now >= self._until:
            self._until = now + _HOUR
            self._counts.clear()
        local, domain = address.key
        of_domain = self.most * _DOMAIN_FACTOR
        counted = dict((self._counter(f"{local}@{domain}", self.most), self._counter(f"@{domain}", of_domain)))
        if any(self._counts[name] >= most for name, most in counted.items()):
            self._telemetry.event("notice-suppressed", queue_id=queue_id, to=address)
            return False
        self._counts.update(counted.keys())
        return True

    def _counter(self, name: str, most: int) -> tuple[str, int]:
        """Return the counter to use for an address or a domain, and its cap."""
        if name in self._counts or len(self._counts) < _MAX_COUNTED:
            return name, most
        return _OTHERS, self.most * _DOMAIN_FACTOR
