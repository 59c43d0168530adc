"""The command `watch` without a daemon."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emailsys.cli.watching import command
from emailsys.config.exit_status import Exit
from emailsys.wiretap.conversation import Conversation, Direction, Event, Kind, Role
from tests.unit.cli.cli_case import CLICase


class CommandTests(CLICase):
    """What is refused, and with which exit status."""

    def test_without_a_daemon_there_is_nothing_to_watch(self) -> None:
        for form in ("--plain", "--json", "--once"):
            self.assertIn("no daemon runs", self.refused(Exit.UNAVAILABLE, "watch", form))

    def test_lines_and_json_exclude_each_other(self) -> None:
        self.assertIn("--plain and --json", self.refused(Exit.USAGE, "watch", "--plain", "--json"))

    def test_a_daemon_of_another_release_may_send_what_is_not_understood(self) -> None:
        self.patch(command, "lines_of", lambda where, last: iter([{"conversation": {"role": "spy"}}]))
        for form in ("--plain", "--json"):
            self.assertIn("that this release does not understand", self.refused(Exit.UNAVAILABLE, "watch", form))

    def test_the_help_has_examples(self) -> None:
        self.assertIn("emailsys watch peer:192.0.2.7", self.fine("watch", "--help"))


def recorded(session: str, peer: str, said: str) -> list[Mapping[str, Any]]:
    """The lines of a stream for a conversation whose command comes after it was told."""
    opened = Event(0.0, Kind.OPENED, "connection opened")
    about = Conversation(session, "smtp", Role.SERVER, 1.0, peer, events=(opened,))
    event = Event(0.1, Kind.COMMAND, said, Direction.IN, len(said))
    return [{"conversation": about.to_json()}, {"session": session, "event": event.to_json()}]


class ExportTests(CLICase):
    """The page of `watch --export`."""

    def setUp(self) -> None:
        super().setUp()
        self.page = Path(self.mktemp()).absolute()

    def stream(self, *lines: Mapping[str, Any]) -> None:
        """Let the daemon send these lines, and wait for more conversations for ever."""
        self.patch(command, "lines_of", lambda where, last: self.lines(lines))

    def lines(self, lines: tuple[Mapping[str, Any], ...]) -> Any:
        yield from lines
        yield {"watching": True}
        self.fail("it went on after the conversations that are recorded already")

    def test_the_conversations_that_fit_are_on_the_page(self) -> None:
        self.stream(
            *recorded("one", "192.0.2.7:25", "NOOP <script>alert(1)</script>"), *recorded("two", "192.0.2.8:25", "VRFY")
        )
        self.assertEqual(self.fine("watch", "--export", str(self.page), "peer:192.0.2.7"), "")
        text = self.page.read_text("utf-8")
        self.assertIn("NOOP &lt;script&gt;alert(1)&lt;/script&gt;", text)
        self.assertNotIn("<script", text)
        self.assertNotIn("192.0.2.8", text)

    def test_a_page_has_the_newest_50(self) -> None:
        self.stream(*(line for number in range(52) for line in recorded(f"s{number}", f"192.0.2.7:{number}", "NOOP")))
        self.fine("watch", "--export", str(self.page))
        text = self.page.read_text("utf-8")
        self.assertIn("2 older conversations are not shown here.", text)
        self.assertIn("192.0.2.7:51", text)
        self.assertNotIn("192.0.2.7:1<", text)

    def test_without_a_conversation_no_page_is_written(self) -> None:
        self.stream(*recorded("one", "192.0.2.7:25", "NOOP"))
        told = self.refused(Exit.FAILED, "watch", "--export", str(self.page), "protocol:pop3")
        self.assertIn("no recorded conversation fits. Set wiretap.enabled", told)
        self.assertFalse(self.page.exists())

    def test_a_page_and_lines_exclude_each_other(self) -> None:
        for form in ("--plain", "--json"):
            told = self.refused(Exit.USAGE, "watch", "--export", str(self.page), form)
            self.assertIn("--export excludes --plain and --json", told)
