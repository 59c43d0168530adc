"""The command that lets accounts send from addresses besides their own."""

from __future__ import annotations

from emailsys.config.exit_status import Exit
from tests.unit.cli.operations_case import OperationsCase


class MaySendAsTests(OperationsCase):
    def test_an_account_may_send_as_others(self) -> None:
        ann, none = "ann@example.test", {"address": "ann@example.test", "may_send_as": [], "any": False}
        self.assertEqual(self.told("user", "may-send-as", ann), none)
        more = self.told("user", "may-send-as", ann, "sales@example.test", "@example.net")
        self.assertEqual(more["may_send_as"], ["@example.net", "sales@example.test"])
        self.assertIn("sales@example.test", self.run_it("user", "may-send-as", ann)[2])
        self.assertTrue(self.told("user", "may-send-as", ann, "--any")["any"])
        self.assertIn("as: anybody", self.run_it("user", "may-send-as", ann)[2])
        self.assertIn(
            "no delegation", self.refused(Exit.DATA, "user", "may-send-as", ann, "zoe@example.test", "--remove")
        )
        senders = ("sales@example.test", "@example.net", "--any", "--remove")
        self.assertEqual(self.told("user", "may-send-as", ann, *senders), none)
        self.refused(Exit.USAGE, "user", "may-send-as", ann, "--remove")
        self.refused(Exit.USAGE, "user", "may-send-as", ann, "@no domain")
        self.assertIn("no user", self.refused(Exit.DATA, "user", "may-send-as", "zoe@example.test"))


del OperationsCase
