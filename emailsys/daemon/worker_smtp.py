"""SMTP in a worker: what it needs to receive mail, and the limits that it shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from emailsys.config.settings import Settings
from emailsys.daemon.checks import load_plugins
from emailsys.daemon.reception import Reception, ReceptionLimits
from emailsys.daemon.smtp import ask_checks, configure_smtp, smtp_factory
from emailsys.daemon.srs_secret import SRS_SECRET, load_or_create_secret
from emailsys.daemon.worker_channel import Channel, Handler
from emailsys.daemon.worker_limits import SharedGuesses, SharedNoticeLimit, SharedSenderLimits
from emailsys.daemon.worker_sharing import SharedAdmission
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.smtp.server import ESMTPServerFactory
from emailsys.net.smtp.service import Kind
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry


class WorkerSMTP:
    """The SMTP servers of a worker.

    @param is_exempt: whether an IP address has no limits.
    @raise StartupError: a plugin or the key of rewritten senders cannot be loaded.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        store: Store,
        telemetry: Telemetry,
        channel: Channel,
        is_exempt: Callable[[str], bool],
    ) -> None:
        self._channel = channel
        self._telemetry = telemetry
        self._guesses = SharedGuesses(channel, is_exempt)
        self._senders = SharedSenderLimits(channel, settings.sending)
        limits = ReceptionLimits(SharedNoticeLimit(channel), self._senders, self._guesses)
        secret = load_or_create_secret(settings.state / SRS_SECRET)
        self._reception = Reception(reactor, settings, store, secret, limits, partial(channel.tell, "wake"))
        self._checks = load_plugins(settings.checks, settings.hostname, settings.state, reactor)
        #: The rules for sessions with and without a login.
        self.access = self._reception.access
        #: The handlers for messages of the daemon.
        self.handlers: Mapping[str, Handler] = {"resolve": self._guesses.resolve, "guessed": self._guesses.guessed}
        #: The servers by their kind, from `serve` on.
        self.servers: dict[str, ESMTPServerFactory] = {}

    def serve(self, environment: ServiceEnvironment, settings: Settings) -> None:
        """Make the servers."""
        intake = self._reception.intake
        for kind in Kind:
            admission = SharedAdmission(self._channel, kind.value)
            self.servers[kind.value] = smtp_factory(environment, settings, kind, intake, admission)
        _ = self._checks.serve(self._reception.aliases, self._telemetry)
        ask_checks(self.servers.values(), self._checks.services)

    def configure(self, settings: Settings) -> None:
        """Use these settings for connections that begin from now on."""
        self._reception.configure(settings)
        self._senders.set_limits(settings.sending)
        for server in self.servers.values():
            configure_smtp(server, settings)

    async def stop(self) -> None:
        """Stop the checks."""
        await self._checks.stop()
