"""Connections that a mail verb shows or writes."""

from __future__ import annotations

import errno
from pathlib import Path

import click
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli import exporting
from emailsys.cli.mail import wire
from emailsys.cli.mail.session import Session
from emailsys.cli.mail.wire import Wire, wire_options
from emailsys.cli.options import Refused


class WireTests(SynchronousTestCase):
    def test_a_file_that_cannot_be_made_is_refused_before_anything_is_sent(self) -> None:
        """A script that sends again because of the exit status would send twice."""
        done: list[bool] = []

        @click.command()
        @wire_options
        def send() -> None:
            done.append(True)

        folder = Path(self.mktemp())
        arguments = ["--wire-to", str(folder / "page.html")]
        session = Session()
        with self.assertRaises(Refused):
            send.main(arguments, standalone_mode=False, obj=session)
        self.assertEqual(done, [])
        folder.mkdir()
        send.main(arguments, standalone_mode=False, obj=session)
        self.assertEqual(done, [True])
        self.assertIn("No connection", (folder / "page.html").read_text("utf-8"))

    def test_a_page_that_cannot_be_written_in_the_end_does_not_change_the_exit_status(self) -> None:
        """As on a full disk: the message was sent, and a script must not send it again."""
        done: list[bool] = []

        @click.command()
        @wire_options
        def send() -> None:
            done.append(True)

        def full(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(exporting, "_replace", full)
        result = CliRunner().invoke(send, ["--wire-to", f"{self.mktemp()}.html"], obj=Session())
        self.assertEqual((result.exit_code, done), (0, [True]))
        self.assertIn("cannot be written: No space left on device", result.output)

    def test_a_connection_goes_on_when_nobody_reads_its_lines(self) -> None:
        """As with `--wire 2>&1 | head`: an exception in the middle of a message would leave its outcome open."""
        session = Session()
        shown: list[str] = []

        def tell(text: str) -> None:
            shown.append(text)
            raise BrokenPipeError

        self.patch(wire, "tell", tell)
        Wire(session, "send").show_lines()
        assert session.wiretap is not None
        tap = session.wiretap.begin("smtp", True)
        tap.opened("192.0.2.1:25", "192.0.2.2:1025", "mail.example.org")
        tap.closed("closed by this host")
        self.assertEqual(len(shown), 2)
