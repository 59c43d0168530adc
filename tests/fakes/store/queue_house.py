"""A store, a queue runner, other hosts and a fake clock, put together."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Sequence
from email.message import EmailMessage

from twisted.internet.task import deferLater

from emailsys.config.settings import QueueSettings
from emailsys.delivery.clock import Timing
from emailsys.delivery.notice_cap import NoticeCap
from emailsys.delivery.notice_writer import NoticeWriter
from emailsys.delivery.outcomes import Bookkeeper
from emailsys.delivery.queue_runner import QueueRunner
from emailsys.mail.address import parse
from emailsys.mail.dsn_request import (
    NOTHING_ASKED,
    NOTHING_ASKED_FOR_RECIPIENT,
    MessageRequest,
    RecipientRequest,
)
from emailsys.mail.envelope import Envelope, LocalRoute, MailParameters, Recipient, RemoteRoute
from emailsys.mail.reply import Reply
from emailsys.telemetry import Telemetry
from tests.fakes.in_thread import at_once
from tests.fakes.store.memory_relay import MemoryRelay, MemoryRouter
from tests.fakes.store.memory_store import MemoryStore

HOUR = 3600.0
DAY = 86400.0
MESSAGE = b"From: alice@home.test\r\nSubject: hello\r\nMessage-ID: <one@home.test>\r\n\r\nhow are you?\r\n"
GREYLISTED = Reply(451, "4.7.1", "come again later")
NO_SUCH_USER = Reply(550, "5.1.1", "no such user here")
TAKEN = Reply(250, "2.0.0", "taken")


class System:
    """A store, a queue runner and other hosts, all in memory. Alice is local, all others are not."""

    def __init__(self, settings: QueueSettings | None = None, max_notices: int = 0) -> None:
        """@param max_notices: the cap of notices to one address in an hour, 0 for none."""
        self.store = MemoryStore()
        self.clock = self.store.clock
        self.relay = MemoryRelay(later=lambda seconds: deferLater(self.clock, seconds))
        self.alice = self.store.seed_account("alice@home.test")
        self.router = MemoryRouter({"alice@home.test": (LocalRoute(self.alice.account_id),)})
        self.settings = settings if settings is not None else QueueSettings()
        self.telemetry = Telemetry()
        self.writer = NoticeWriter(at_once, NoticeCap(max_notices, self.clock, self.telemetry))
        self.runner = self.make_runner()
        self.runner.startService()

    def make_runner(self) -> QueueRunner:
        return QueueRunner(
            self.store.queue,
            self.relay,
            self.router,
            Bookkeeper(self.store.queue, self.router, self.settings, "mail.home.test", self.writer),
            self.settings,
            Timing(self.clock, self.store.now, lambda: 0.5),
            self.telemetry,
        )

    def accept(
        self,
        *recipients: str,
        sender: str | None = "alice@home.test",
        body: bytes = MESSAGE,
        dsn: RecipientRequest = NOTHING_ASKED_FOR_RECIPIENT,
        message: MessageRequest = NOTHING_ASKED,
        wake: bool = True,
    ) -> None:
        """What the server does when a message was sent to it."""
        envelope = Envelope(
            None if sender is None else parse(sender),
            tuple(Recipient(parse(r), (RemoteRoute(parse(r)),), dsn) for r in recipients),
            self.store.now(),
            parameters=MailParameters(dsn=message),
        )
        self.store.accept(f"M{self.store.make_id()}", body, envelope)
        if wake:
            self.runner.wake()

    def accept_many(self, count: int, host: str) -> None:
        """So many messages for one host, each to a user of its own; then a look into the queue."""
        for n in range(count):
            self.accept(f"user{n}@{host}", wake=False)
        self.runner.wake()

    def pass_time(self, seconds: float, step: float = 60.0) -> None:
        self.clock.pump([step] * int(seconds / step))

    def notices(self, account_id: int | None = None) -> list[EmailMessage]:
        """What Alice finds in her maildrop."""
        rows = self.store.drops.get(self.alice.account_id if account_id is None else account_id, [])
        return [email.message_from_bytes(row.octets, policy=email.policy.default) for row in rows]


def status_of(notice: EmailMessage) -> Sequence[EmailMessage]:
    """The groups of fields in a notice's second part."""
    part = list(notice.iter_parts())[1]
    assert part.get_content_type() == "message/delivery-status"
    groups = part.get_payload()
    assert isinstance(groups, list)
    return groups  # type: ignore[return-value]
