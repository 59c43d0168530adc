"""The mail log: one line an event, whatever a peer puts into it, and the same look as Twisted's own lines."""

from __future__ import annotations

import io

from twisted.logger import ILogObserver, Logger, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.telemetry import LogWriter, Telemetry, plain_line


class MailLogTests(SynchronousTestCase):
    """What an operator greps."""

    def setUp(self) -> None:
        self.out = io.StringIO()
        self.writer = LogWriter(self.out)
        publisher = LogPublisher(self.writer)
        self.log = Logger(namespace="emailsys", observer=publisher)
        self.telemetry = Telemetry(self.log)

    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()

    def test_the_writer_is_an_observer_of_twisted(self) -> None:
        """twistd takes it for its own."""
        verifyObject(ILogObserver, self.writer)

    def test_an_event_is_one_line_with_its_fields(self) -> None:
        """`grep QUEUE_ID` tells a message's way."""
        self.telemetry.event("accepted", queue_id="abc", octets=4096, sender="<>")
        (line,) = self.lines()
        self.assertTrue(line.endswith("[emailsys#info] accepted queue_id=abc octets=4096 sender=<>"), line)
        self.assertEqual(self.telemetry.counters["accepted"], 1)

    def test_sockets_that_asked_name_servers_are_not_told_of(self) -> None:
        """Twisted would tell of each, when it opens and when it closes; of services it says so once."""
        for text in ("_Datagrams starting on 58230", "(UDP Port 58230 Closed)", "ESMTPServerFactory starting on 25"):
            self.log.info("{message[0]}", message=(text,))
        (line,) = self.lines()
        self.assertTrue(line.endswith("ESMTPServerFactory starting on 25"), line)

    def test_mail_events_look_like_the_other_lines(self) -> None:
        """The time is written as Twisted writes it."""
        self.telemetry.event("accepted")
        self.log.info("started")
        mine, other = self.lines()
        self.assertRegex(mine, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[emailsys#info\] accepted$")
        self.assertRegex(other, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[emailsys#info\] started$")

    def test_a_peer_writes_no_lines_of_its_own(self) -> None:
        """What is not plain is shown by repr."""
        self.telemetry.event("refused", helo="evil\r\n2026-01-01 [-] accepted", empty="")
        (line,) = self.lines()
        self.assertIn(r"helo='evil\r\n2026-01-01 [-] accepted' empty=''", line)

    def test_a_line_end_after_plain_text_is_not_plain(self) -> None:
        """A pattern that lets a last line feed pass would let a peer end our line."""
        self.telemetry.event("refused", helo="plain\n")
        self.assertIn(r"helo='plain\n'", self.lines()[0])

    def test_a_peer_does_not_fill_the_disk_with_long_words(self) -> None:
        """A user name of AUTH may have 9 KiB."""
        self.telemetry.event("smtp.login_refused", user="\0" * 9000)
        self.assertLess(len(self.lines()[0]), 4200)
        self.assertIn("...", self.lines()[0])

    def test_each_value_alone_needs_its_quotes(self) -> None:
        """A blank would make one field two, an empty value would take its neighbour for its own."""
        for value, shown in (("a b", "'a b'"), ("", "''"), ("a=", "a="), ("a= b=c", "'a= b=c'"), ("ä", "'ä'")):
            for fields in ({"x": value}, {"x": value, "y": "z"}, {"y": "z", "x": value}):
                self.assertIn(f"x={shown}", plain_line("event", fields).split(" ", 1)[1])
        self.assertEqual(plain_line("event", {"x": "", "y": "z"}), "event x='' y=z")

    def test_a_surprise_has_its_traceback(self) -> None:
        """It is logged once, with what is needed to find the defect."""
        try:
            raise RuntimeError("nobody expected this")
        except RuntimeError:
            self.telemetry.surprise("smtp", Failure(), session="s-1")
        text = self.out.getvalue()
        self.assertIn("smtp session=s-1", text)
        self.assertIn("RuntimeError: nobody expected this", text)
        self.assertEqual(self.telemetry.counters["surprise"], 1)
