"""The API put together: all operations, over the services of the daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IReactorTime

from emailsys.interfaces import IMaildropReading
from emailsys.telemetry import Telemetry
from emailsys.web.api.administration import Administration
from emailsys.web.api.directory_operations import directory_operations
from emailsys.web.api.live import LiveNumbers
from emailsys.web.api.mail_operations import Mail, mail_operations
from emailsys.web.api.observation_operations import observation_operations
from emailsys.web.api.queue_operations import queue_operations
from emailsys.web.api.send_operations import Sending, send_operations
from emailsys.web.api.table import Table
from emailsys.web.api.waiting import Waiting
from emailsys.web.api.wire_operations import Wire, wire_operations
from emailsys.web.base.event_ring import EventRing
from emailsys.web.base.sent_once import SentOnce
from emailsys.web.base.services import Services
from emailsys.web.base.submission import Submission


@dataclass(frozen=True, slots=True)
class Api:
    """The API of a running system.

    @ivar numbers: sends the live numbers to all who watch.
    @ivar wire: sends conversations to all who watch.
    @ivar log: the newest events of the mail log.
    """

    table: Table
    administration: Administration
    numbers: LiveNumbers
    wire: Wire
    log: EventRing


def build_api(
    services: Services,
    reading: IMaildropReading,
    submission: Submission,
    once: SentOnce,
    clock: IReactorTime,
    telemetry: Telemetry,
    in_thread: Callable[..., Awaitable[Any]],
    max_message_size: int,
) -> Api:
    """Return the API. @param in_thread: calls a function off the reactor's thread."""
    administration = Administration(services.ask, services.make_credentials)
    numbers, wire = LiveNumbers(clock, services.sample, telemetry), Wire(services.wire, clock)
    log = EventRing()
    telemetry.watcher = log.note
    sending = Sending(submission, once, services.delivery_of, in_thread)
    mail = Mail(reading, Waiting(clock), clock, in_thread, telemetry)
    operations = (
        *mail_operations(mail),
        *send_operations(sending, max_message_size),
        *directory_operations(administration),
        *queue_operations(administration, services.foretell),
        *observation_operations(administration, numbers, log),
        *wire_operations(wire),
    )
    return Api(Table(operations, services.check_token, telemetry, in_thread), administration, numbers, wire, log)
