"""The mail log has one line for each event, whatever a peer sends, in the format of Twisted's own lines."""

from __future__ import annotations

import io
import json

from twisted.logger import ILogObserver, Logger, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.telemetry import JSONLogWriter, LogWriter, Telemetry, TerminalLogWriter, json_line, plain_line


class MailLogTests(SynchronousTestCase):
    """Lines that an operator searches."""

    def setUp(self) -> None:
        self.out = io.StringIO()
        self.writer = LogWriter(self.out)
        publisher = LogPublisher(self.writer)
        self.log = Logger(namespace="emailsys", observer=publisher)
        self.telemetry = Telemetry(self.log)

    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()

    def test_the_writer_is_an_observer_of_twisted(self) -> None:
        """twistd uses it as its own observer."""
        verifyObject(ILogObserver, self.writer)

    def test_an_event_is_one_line_with_its_fields(self) -> None:
        """`grep QUEUE_ID` shows the path of a message."""
        self.telemetry.event("accepted", queue_id="abc", octets=4096, sender="<>")
        (line,) = self.lines()
        self.assertTrue(line.endswith("[emailsys#info] accepted queue_id=abc octets=4096 sender=<>"), line)
        self.assertEqual(self.telemetry.counters["accepted"], 1)

    def test_sockets_of_dns_lookups_are_not_logged(self) -> None:
        """Twisted would log each one, when it opens and when it closes. Services are logged once."""
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
        """Text that is not plain is quoted by repr."""
        self.telemetry.event("refused", helo="evil\r\n2026-01-01 [-] accepted", empty="")
        (line,) = self.lines()
        self.assertIn(r"helo='evil\r\n2026-01-01 [-] accepted' empty=''", line)

    def test_a_line_end_after_plain_text_is_not_plain(self) -> None:
        """A pattern that lets a last line feed pass would let a peer end our line."""
        self.telemetry.event("refused", helo="plain\n")
        self.assertIn(r"helo='plain\n'", self.lines()[0])

    def test_a_peer_cannot_fill_the_disk_with_long_values(self) -> None:
        """A user name of AUTH may have 9 KiB."""
        self.telemetry.event("smtp-login-refused", user="\0" * 9000)
        self.assertLess(len(self.lines()[0]), 4200)
        self.assertIn("...", self.lines()[0])

    def test_each_value_alone_needs_its_quotes(self) -> None:
        """A blank would split a field in two, and an empty value would look like the next field."""
        for value, shown in (("a b", "'a b'"), ("", "''"), ("a=", "a="), ("a= b=c", "'a= b=c'"), ("ä", "'ä'")):
            for fields in ({"x": value}, {"x": value, "y": "z"}, {"y": "z", "x": value}):
                self.assertIn(f"x={shown}", plain_line("event", fields).split(" ", 1)[1])
        self.assertEqual(plain_line("event", {"x": "", "y": "z"}), "event x='' y=z")

    def test_an_exception_is_logged_with_its_traceback(self) -> None:
        """It is logged once, with the traceback that locates the defect."""
        try:
            raise RuntimeError("nobody expected this")
        except RuntimeError:
            self.telemetry.exception("smtp", Failure(), session="s-1")
        text = self.out.getvalue()
        self.assertIn("smtp session=s-1", text)
        self.assertIn("RuntimeError: nobody expected this", text)
        self.assertEqual(self.telemetry.counters["exception"], 1)


class JSONLogTests(SynchronousTestCase):
    """Collectors of containers read one object from each line."""

    def setUp(self) -> None:
        self.out = io.StringIO()
        self.log = Logger(namespace="emailsys", observer=LogPublisher(JSONLogWriter(self.out)))
        self.telemetry = Telemetry(self.log, json_line)

    def entries(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def test_events_and_alarms(self) -> None:
        """An alarm has a level of its own; numbers stay numbers."""
        self.telemetry.event("accepted", queue_id="q1", octets=7, helo='a\nb"')
        self.telemetry.alarm("intake-suspended", why="x")
        accepted, alarm = self.entries()
        self.assertRegex(str(accepted.pop("time")), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertEqual(
            accepted, {"level": "info", "event": "accepted", "queue_id": "q1", "octets": 7, "helo": 'a\nb"'}
        )
        self.assertEqual((alarm["level"], alarm["event"], alarm["why"]), ("critical", "intake-suspended", "x"))

    def test_a_peer_cannot_fill_the_disk_with_long_values(self) -> None:
        """As in the plain log."""
        self.telemetry.event("smtp-login-refused", user="x" * 9000)
        (entry,) = self.entries()
        self.assertEqual(entry["user"], "x" * 1000 + "...")

    def test_a_traceback_is_a_field(self) -> None:
        """It has many lines, and is still one object."""
        try:
            raise RuntimeError("nobody expected this")
        except RuntimeError:
            self.telemetry.exception("smtp-exception", Failure(), session="s-1")
        (entry,) = self.entries()
        self.assertEqual((entry["level"], entry["event"], entry["session"]), ("critical", "smtp-exception", "s-1"))
        self.assertIn("RuntimeError: nobody expected this", str(entry["traceback"]))

    def test_what_twisted_logs(self) -> None:
        """Its text may be of any kind, and have any number of lines."""
        self.log.warn("{what}\nsecond line", what="{first")
        (entry,) = self.entries()
        self.assertEqual(
            (entry["level"], entry["event"], entry["source"], entry["text"]),
            ("warn", "message", "emailsys", "{first\nsecond line"),
        )


class TerminalLogTests(SynchronousTestCase):
    """Lines for a person who looks at the daemon."""

    def test_a_peer_cannot_write_on_the_terminal(self) -> None:
        """Control characters are shown as text, those of Twisted's messages too."""
        out = io.StringIO()
        log = Logger(namespace="emailsys", observer=LogPublisher(TerminalLogWriter(out, is_coloured=True)))
        telemetry = Telemetry(log)
        telemetry.event("accepted", helo="\x1b[31m")
        telemetry.alarm("intake-suspended", why="x")
        log.info("\x1b]0;title\x07")
        accepted, alarm, other = out.getvalue().splitlines()
        self.assertRegex(accepted, r"^\d\d:\d\d:\d\d \x1b\[1maccepted\x1b\[0m helo='\\x1b\[31m'$")
        self.assertIn("\x1b[31;1mintake-suspended why=x\x1b[0m", alarm)
        self.assertTrue(other.endswith("\x1b[1m\\x1b]0;title\\x07\x1b[0m"), other)

    def test_the_level_of_the_settings(self) -> None:
        """Each format leaves out what is below it, and still counts it."""
        for writer in (LogWriter, JSONLogWriter, TerminalLogWriter):
            out = io.StringIO()
            telemetry = Telemetry(Logger(namespace="emailsys", observer=LogPublisher(writer(out, "error"))))
            telemetry.event("accepted", n=1)
            telemetry.alarm("intake-suspended", why="x")
            self.assertEqual(len(out.getvalue().splitlines()), 1, writer)
            self.assertIn("intake-suspended", out.getvalue())
            self.assertEqual(telemetry.counters["accepted"], 1)
