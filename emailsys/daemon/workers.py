"""The workers as a part of the daemon, if they are configured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emailsys.config.settings import Settings
from emailsys.daemon.certificates import CertificateWatch
from emailsys.daemon.outbound import Outbound
from emailsys.net.tls.server import ServerTLS
from emailsys.platforms.descriptors import CAN_PASS
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.login_check import VerifiedLogins
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry

if TYPE_CHECKING:
    from emailsys.daemon.worker_pool import Workers

# Its modules are imported where they are used: a daemon without workers needs neither their memory nor their time.


class DaemonWorkers:
    """The workers of a daemon. With `workers = 0` and `pop3.workers = 0`, it imports and does nothing.

    @param is_recording: whether connections are recorded.
    """

    def __init__(self, reactor: Any, tls: ServerTLS, telemetry: Telemetry, is_recording: Callable[[], bool]) -> None:
        self._reactor, self._tls, self._telemetry, self._is_recording = reactor, tls, telemetry, is_recording
        #: The workers, from `prepare` on, if there are any.
        self.pool: Workers | None = None

    def prepare(
        self,
        settings: Settings,
        store: Store,
        failed_logins: FailedLogins,
        verified: VerifiedLogins,
        outbound: Outbound,
    ) -> None:
        """Make the workers that serve this store. They are started later."""
        if not (settings.workers or settings.pop3.workers):
            return
        if not CAN_PASS:
            self._telemetry.event("workers-unavailable", why="this system cannot pass connections to another process")
            return
        from emailsys.daemon.worker_pool import Workers
        from emailsys.daemon.worker_requests import SharedParts

        parts = SharedParts(self._telemetry, store, failed_logins, verified, outbound)
        self.pool = Workers(self._reactor, settings, parts, self._tls, self._is_recording)

    def start(self, certificates: CertificateWatch) -> None:
        """Start the workers. They read certificates again when the daemon does."""
        if self.pool is not None:
            certificates.reloaded = self.pool.read_certificates
            self.pool.start()

    def configure(self, settings: Settings) -> None:
        """Use these settings for connections that begin from now on."""
        if self.pool is not None:
            self.pool.configure(settings)

    async def stop(self, is_succeeded: bool) -> int:
        """End the workers, as `Workers.stop` does."""
        return 0 if self.pool is None else await self.pool.stop(is_succeeded)
