"""Mailboxes of a plugin that POP3 serves: the plugin is loaded at the start."""

from __future__ import annotations

from typing import Any, Final

from twisted.cred.portal import IRealm

from emailsys.config.exit_status import Exit
from emailsys.config.settings import POP3Settings
from emailsys.interfaces import IMaildrops
from emailsys.policy.checks.calls import Calls
from emailsys.policy.checks.plugins import PluginError, load_plugin
from emailsys.policy.mailboxes.calls import MailboxPlugin
from emailsys.policy.mailboxes.opening import Mailboxes
from emailsys.policy.mailboxes.threads import PluginThreads
from emailsys.supervisor import StartupError
from emailsys.telemetry import Telemetry

LOCAL: Final = "local"
# Threads for mailboxes that block. An account holds one at a time.
_THREADS: Final = 16


class DaemonMailboxes:
    """The mailboxes of the daemon. Without a plugin, POP3 serves the maildrops of the store."""

    def __init__(self, settings: POP3Settings | None = None, name: str = "", realm: Any = None, reactor: Any = None):
        self._settings = settings or POP3Settings()
        self._name = name
        self._realm = realm
        self._reactor = reactor
        self._calls: Calls | None = None
        self._threads: PluginThreads | None = None
        self._mailboxes: Mailboxes | None = None

    def serve(self, maildrops: IMaildrops, telemetry: Telemetry) -> Mailboxes | None:
        """Return the mailboxes that POP3 opens from now on; None without a plugin."""
        if self._realm is None:
            return None
        self._calls = calls = Calls(self._reactor, self._settings.maildrop_deadline, telemetry)
        calls.watch()
        self._threads = threads = PluginThreads(self._reactor, _THREADS)
        plugin = MailboxPlugin(self._name, calls, threads, self._reactor, telemetry)
        self._mailboxes = Mailboxes(plugin, self._realm, maildrops)
        return self._mailboxes

    async def stop(self) -> None:
        """Wait until the last sessions have logged out, then stop calling the plugin."""
        mailboxes, self._mailboxes = self._mailboxes, None
        if mailboxes is not None:
            await mailboxes.stop()
        calls, self._calls = self._calls, None
        if calls is not None:
            calls.stop()
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.stop()


def load_mailboxes(settings: POP3Settings, hostname: str, reactor: Any) -> DaemonMailboxes:
    """Load the plugin that the configuration names.

    @raise StartupError: it cannot be loaded.
    """
    if settings.maildrops == LOCAL:
        return DaemonMailboxes(settings)
    try:
        name, realm = load_plugin("maildrop plugin", settings.maildrops, hostname, reactor, IRealm)
    except PluginError as error:
        raise StartupError(f"pop3.maildrops: {error}", Exit.CONFIG) from None
    return DaemonMailboxes(settings, name, realm, reactor)
