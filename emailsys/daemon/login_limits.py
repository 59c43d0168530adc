"""Limits for failed logins, connected to the store in which the known networks of accounts survive a restart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from emailsys.config.settings import Settings
from emailsys.interfaces import IKnownNetworks
from emailsys.mail.networks import Networks
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.known_networks import LoginRecord
from emailsys.policy.shared_guesses import SharedGuesses
from emailsys.policy.trusted_networks import exemption
from emailsys.policy.unknown_recipients import UnknownRecipients
from emailsys.store.node.notices import Notices
from emailsys.telemetry import Telemetry

# The word of the notices by which nodes tell one another of guesses.
_WORD: Final = "guesses"


def utc_now() -> datetime:
    """Return the wall clock."""
    return datetime.now(UTC)


class LoginLimits:
    """The limits of a daemon: `failed_logins` is shared by all its sessions."""

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        networks: IKnownNetworks,
        telemetry: Telemetry,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._telemetry = telemetry
        self._record = LoginRecord(networks, reactor, now, telemetry)
        is_exempt = exemption(Networks(settings.routing.trusted_networks), settings.limits.exempt_loopback)
        self.failed_logins = FailedLogins(reactor, settings.limits, settings.login, is_exempt, self._record.note)

    def configure(self, settings: Settings) -> None:
        """Use the limits of these settings from now on. The counts stay."""
        self.failed_logins.set_limits(settings.limits)

    def start(self) -> None:
        """Read the known networks. Logins do not wait for that: until then, their networks are unknown."""
        self._record.start(self.failed_logins.restore)

    def share(self, notices: Notices, unknown: UnknownRecipients) -> None:
        """Count failed logins and unknown recipients together with other nodes, if there may be any."""
        if notices.reach_nodes:
            guesses = SharedGuesses(partial(notices.send, _WORD), self._telemetry)
            notices.hear(_WORD, guesses.heard)
            self.failed_logins.share(guesses)
            unknown.share(guesses)

    async def stop(self) -> None:
        """Write the networks that are not in the store yet."""
        await self._record.stop()
