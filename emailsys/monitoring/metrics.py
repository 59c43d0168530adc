"""Metrics for Prometheus: events, sessions, queue and store; health pages for containers and load balancers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import INTERNAL_SERVER_ERROR, NOT_FOUND, SERVICE_UNAVAILABLE, Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from typing_extensions import override

from emailsys.interfaces.operators import DomainQueue, IQueueOperations
from emailsys.telemetry import Telemetry

# Minimum seconds between two counts of the queue, because a count reads every row. After a slow count, as with a
# million rows, the wait is 50 times its duration, so that counting takes a fiftieth of one reader's time.
_COUNT_EVERY: Final = 15.0
_COUNT_SHARE: Final = 50.0
_CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of the figures.

    `sessions` counts the sessions of each service. `up` is in seconds. `store` returns the number of commits, the jobs
    in them, the octets that wait for a commit, and the free octets of the disk (None if the disk is not local).
    """

    telemetry: Telemetry
    queue: IQueueOperations
    sessions: Callable[[], Mapping[str, int]]
    up: Callable[[], float]
    store: Callable[[], tuple[int, int, int, int | None]]


class _Snapshot:
    """The figures at one moment, as prometheus-client collects them."""

    def __init__(self, sources: Sources, queue: Sequence[DomainQueue]) -> None:
        self._sources = sources
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        sources = self._sources
        yield GaugeMetricFamily("emailsys_up_seconds", "Time since the start of the daemon.", value=sources.up())
        events = CounterMetricFamily("emailsys_events", "Events of the mail log, by name.", labels=["event"])
        for name, count in sorted(sources.telemetry.counters.items()):
            events.add_metric([name], count)
        yield events
        sessions = GaugeMetricFamily("emailsys_sessions", "Open sessions, by service.", labels=["service"])
        for service, number in sources.sessions().items():
            sessions.add_metric([service], number)
        yield sessions
        rows = GaugeMetricFamily("emailsys_queue_recipients", "Recipients in the queue, by state.", labels=["state"])
        for state in ("waiting", "leased", "held"):
            rows.add_metric([state], sum(getattr(row, state) for row in self._queue))
        yield rows
        yield GaugeMetricFamily(
            "emailsys_queue_domains", "Recipient domains with mail in the queue.", value=len(self._queue)
        )
        oldest = min((row.oldest.timestamp() for row in self._queue), default=0.0)
        yield GaugeMetricFamily(
            "emailsys_queue_oldest_timestamp_seconds",
            "Arrival time of the oldest mail in the queue; 0 if it is empty.",
            value=oldest,
        )
        commits, committed, waiting, free = sources.store()
        yield CounterMetricFamily("emailsys_store_commits", "Group commits.", value=commits)
        yield CounterMetricFamily("emailsys_store_jobs", "Jobs in these commits.", value=committed)
        yield GaugeMetricFamily(
            "emailsys_store_waiting_octets", "Octets of bodies that wait for a commit.", value=waiting
        )
        if free is not None:
            yield GaugeMetricFamily("emailsys_store_free_octets", "Free octets on the disk of the store.", value=free)


class Metrics:
    """Collects the metrics for one scrape."""

    def __init__(self, sources: Sources, seconds: Callable[[], float]) -> None:
        """@param seconds: a monotonic clock."""
        self._sources = sources
        self._seconds = seconds
        self._queue: Sequence[DomainQueue] = ()
        self._count_again_at = float("-inf")

    async def text(self) -> bytes:
        """Return the metrics in the text format of Prometheus.

        @raise StoreError: the queue cannot be counted now.
        """
        began = self._seconds()
        if began >= self._count_again_at:
            self._queue = await self._sources.queue.summary()
            took = self._seconds() - began
            self._count_again_at = began + max(_COUNT_EVERY, took * _COUNT_SHARE)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Snapshot(self._sources, self._queue))
        return generate_latest(registry)


class MonitoringPage(Resource):
    """The pages of the monitoring listener: /metrics, and /healthz and /readyz for what supervises the daemon."""

    isLeaf = True

    def __init__(self, telemetry: Telemetry, problem: Callable[[], str | None]) -> None:
        """@param problem: returns why no mail is accepted, None if it is."""
        super().__init__()
        #: The metrics; None as long as there is no store.
        self.metrics: Metrics | None = None
        self._telemetry = telemetry
        self._problem = problem

    @override
    def render(self, request: Request) -> Any:
        if request.method in (b"GET", b"HEAD"):
            if request.path == b"/metrics" and self.metrics is not None:
                return self._measure(request, self.metrics)
            if request.path == b"/healthz":
                # The reactor runs: it has come here.
                return b"ok\n"
            if request.path in (b"/readyz", b"/metrics"):
                return self._readiness(request)
        request.setResponseCode(NOT_FOUND)
        return b"only /metrics, /healthz and /readyz are here\n"

    def _readiness(self, request: Request) -> bytes:
        problem = self._problem()
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        if problem is None:
            return b"ok\n"
        request.setResponseCode(SERVICE_UNAVAILABLE)
        return f"no mail is accepted: {problem}\n".encode()

    def _measure(self, request: Request, metrics: Metrics) -> Any:
        gone: list[Any] = []
        _ended = request.notifyFinish().addErrback(gone.append)

        def answer(text: bytes) -> None:
            if not gone:
                request.setHeader(b"content-type", _CONTENT_TYPE)
                request.write(text)
                request.finish()

        def fail(failure: Failure) -> None:
            self._telemetry.exception("metrics-exception", failure)
            if not gone:
                request.setResponseCode(INTERNAL_SERVER_ERROR)
                request.finish()

        _ = Deferred.fromCoroutine(metrics.text()).addCallback(answer).addErrback(fail)
        return NOT_DONE_YET


def monitoring_site(page: MonitoringPage, reactor: Any) -> Site:
    """Return the factory of the HTTP listener, which writes no access log."""
    site = Site(page, reactor=reactor)
    site.noisy = False
    site.displayTracebacks = False
    site.log = lambda request: None  # type: ignore[method-assign]
    return site
