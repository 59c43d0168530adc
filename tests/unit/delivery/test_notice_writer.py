"""Notices are composed off the reactor thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.delivery.notice_writer import NoticeWriter
from emailsys.mail.address import parse
from emailsys.mail.dsn.report import Action, RecipientReport, Report
from emailsys.mail.dsn_request import Notify
from emailsys.mail.envelope import LocalRoute

T = TypeVar("T")
NOW: Final = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Writing(SynchronousTestCase):
    def test_the_reactor_thread_composes_nothing(self) -> None:
        waiting: list[Callable[[], None]] = []

        def in_thread(function: Callable[[], T]) -> Awaitable[T]:
            done: Deferred[T] = Deferred()
            waiting.append(lambda: done.callback(function()))
            return done

        report = Report(
            hostname="mail.home.test",
            queue_id="q1",
            unique="q1.failed",
            action=Action.FAILED,
            reverse_path=parse("alice@home.test"),
            recipients=[RecipientReport(parse("bob@away.test"), Action.FAILED)],
            arrived_at=NOW,
            made_at=NOW,
            original=b"Subject: =?xtext?q?a?=\r\n\r\n",
        )
        routes = (LocalRoute(7),)
        written = Deferred.fromCoroutine(NoticeWriter(in_thread).write([report], iter(routes)))
        self.assertNoResult(written)
        waiting.pop()()
        (notice,) = self.successResultOf(written)
        self.assertIsNone(notice.envelope.reverse_path)
        (recipient,) = notice.envelope.recipients
        self.assertEqual((recipient.routes, recipient.dsn.notify), (routes, Notify.NEVER))
        self.assertIn(b"the subject: a", notice.body)
