"""Checks of the daemon: plugins are loaded at the start, and asked by the sessions once there is a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from emailsys.config.checks_settings import ChecksSettings
from emailsys.config.exit_status import Exit
from emailsys.extension import CheckContext
from emailsys.policy.checks.calls import Calls
from emailsys.policy.checks.plugins import Make, PluginError, load_checks
from emailsys.policy.checks.session_checks import Checks, Resolves
from emailsys.supervisor import StartupError
from emailsys.telemetry import Telemetry

Loaded = Sequence[tuple[str, Any]]

# Seconds that each check gets to stop. The store is closed after them, and service managers do not wait for ever.
_STOP_SECONDS: Final = 5.0


def _postfix(context: CheckContext) -> Any:
    from emailsys.net.outbound.policy_server import PolicyServer

    return PolicyServer(context)


SHIPPED: Mapping[str, Make] = {"postfix": _postfix}


class DaemonChecks:
    """The checks of the daemon, by service: "smtp" and "submission". A service without checks is missing."""

    def __init__(
        self,
        settings: ChecksSettings | None = None,
        plugins: Mapping[str, Loaded] | None = None,
        reactor: Any = None,
        folder: Path | None = None,
    ) -> None:
        """@param folder: where large messages wait for their checks."""
        self._settings = settings or ChecksSettings()
        self._plugins = plugins or {}
        self._reactor = reactor
        self._folder = None if folder is None else str(folder)
        self._calls: Calls | None = None
        self.services: dict[str, Checks] = {}

    def serve(self, router: Resolves, telemetry: Telemetry) -> Checks | None:
        """Ask the plugins from now on. Returns the checks of submission; None if there are none."""
        if not self._plugins:
            return None
        self._calls = calls = Calls(self._reactor, self._settings.deadline, telemetry)
        calls.watch()
        self.services = {
            service: Checks(plugins, calls, router, telemetry, self._settings.quarantine, self._folder)
            for service, plugins in self._plugins.items()
        }
        return self.services.get("submission")

    async def stop(self) -> None:
        """Stop the plugins. One that fails is logged, and one that does not end in time is left."""
        calls, self._calls = self._calls, None
        services, self.services = self.services, {}
        if calls is not None:
            calls.deadline = min(calls.deadline, _STOP_SECONDS)
        for checks in services.values():
            await checks.stop()
        if calls is not None:
            calls.stop()


def load_plugins(settings: ChecksSettings, hostname: str, state: Path, reactor: Any) -> DaemonChecks:
    """Load the plugins that the configuration names.

    @raise StartupError: one of them cannot be loaded.
    """
    plugins: dict[str, Loaded] = {}
    for service, key in (("smtp", "receive"), ("submission", "submission")):
        names = getattr(settings, key)
        if not names:
            continue
        try:
            plugins[service] = load_checks(names, hostname, reactor, SHIPPED)
        except PluginError as error:
            raise StartupError(f"checks.{key}: {error}", Exit.CONFIG) from None
    return DaemonChecks(settings, plugins, reactor, state)
