"""Monitoring pages of the daemon: their sources, imported only if they are configured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IProtocolFactory

from emailsys.config.monitoring_settings import MonitoringSettings
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry

_SERVICE = "metrics"


class MonitoringPages:
    """The HTTP listener for metrics and health, which answers as soon as the daemon runs, with or without a store."""

    def __init__(
        self, settings: MonitoringSettings, reactor: Any, telemetry: Telemetry, problem: Callable[[], str | None]
    ) -> None:
        """@param problem: returns why no mail is accepted, None if it is."""
        self._reactor = reactor
        self._telemetry = telemetry
        self._page: Any = None
        #: The factory of the listener by its service; none if it is not configured.
        self.factories: dict[str, IProtocolFactory] = {}
        if settings.metrics_listen:
            # Imported here, because it uses 10 MB of memory that a system without metrics does not need.
            from emailsys.monitoring.metrics import MonitoringPage, monitoring_site

            self._page = MonitoringPage(telemetry, problem)
            site: Any = monitoring_site(self._page, reactor)
            self.factories[_SERVICE] = site

    def serve(self, store: Store, sessions: Callable[[], dict[str, int]], uptime: Callable[[], float]) -> None:
        """Begin to serve the metrics of a store.

        @param sessions: counts the sessions of each service. @param uptime: in seconds.
        """
        if self._page is None:
            return
        from emailsys.monitoring.metrics import Metrics, Sources

        database = store.database

        def numbers() -> tuple[int, int, int, int | None]:
            activity = database.activity
            return activity.batches, activity.committed, activity.waiting_octets, database.engine.free_octets()

        sources = Sources(self._telemetry, store.queue_operations, sessions, uptime, numbers)
        self._page.metrics = Metrics(sources, self._reactor.seconds)
