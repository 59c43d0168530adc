"""The command `watch` without a daemon."""

from __future__ import annotations

from emailsys.cli.watching import command
from emailsys.config.exit_status import Exit
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
