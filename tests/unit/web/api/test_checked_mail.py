"""Mail of the web face and the API passes the checks of the submission ports."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from emailsys.extension import (
    AddField,
    Defer,
    Message,
    PolicyCheck,
    Quarantine,
    Redirect,
    Refuse,
    Transaction,
    Verdict,
)
from emailsys.policy.checks.calls import Calls
from emailsys.policy.checks.session_checks import Checks
from emailsys.policy.expansion import AliasRouter
from tests.unit.web.api.api_case import MailCase


class Examining(PolicyCheck):
    """Does at one point what the test says, and remembers what it was told."""

    def __init__(self) -> None:
        self.at = ""
        self.verdict: Verdict | None = None
        self.told: list[Any] = []

    @override
    async def sender(self, transaction: Transaction) -> Verdict | None:
        return self.verdict if self.at == "sender" else None

    @override
    async def recipient(self, transaction: Transaction, recipient: str) -> Verdict | None:
        return self.verdict if self.at == "recipient" else None

    @override
    async def message(self, transaction: Transaction, message: Message) -> Verdict | None:
        if self.at == "fault":
            raise RuntimeError("a fault of the plugin")
        client = transaction.client
        self.told.append((client.service, client.account, transaction.sender, transaction.recipients))
        self.told.append((message.field("Subject"), await message.read()))
        return self.verdict if self.at == "message" else None


class CheckedTests(MailCase):
    @override
    def checks(self) -> Checks:
        self.check = Examining()
        calls = Calls(self.store.clock, 10.0, self.telemetry)
        router = AliasRouter(self.store.directory, self.store.directory)
        return Checks([("check", self.check)], calls, router, self.telemetry, "ann@example.test", None)

    def say(self, at: str, verdict: Verdict) -> None:
        self.check.at, self.check.verdict = at, verdict

    def test_a_check_is_told_the_account_and_the_whole_message(self) -> None:
        self.sent(subject="for the check", text="x" * 300_000)
        who, (subject, octets) = self.check.told
        self.assertEqual(who, ("submission", "ann@example.test", "ann@example.test", ("bob@example.test",)))
        self.assertEqual(subject, "for the check")
        self.assertGreater(len(octets), 300_000)
        raw = self.octets_of(self.ask("GET", f"/messages/{self.newest()['id']}/raw", token="bob"))
        self.assertTrue(raw.endswith(octets))

    def test_a_refusal_at_each_point_stores_nothing(self) -> None:
        for at in ("sender", "recipient", "message"):
            for verdict, words in ((Refuse("not this"), "not this"), (Defer("not now"), "not now")):
                self.say(at, verdict)
                result = self.send({"to": [{"address": "bob@example.test"}], "subject": "x", "text": "x"})
                self.assertIn(words, str(result.content), at)
                self.assertGreaterEqual(result.status, 400)
        self.assertIsNone(self.newest())

    def test_a_message_is_marked_redirected_or_quarantined(self) -> None:
        self.say("message", AddField("X-Seen", "yes"))
        self.sent(subject="marked")
        raw = self.octets_of(self.ask("GET", f"/messages/{self.newest()['id']}/raw", token="bob"))
        self.assertIn(b"\r\nX-Seen: yes\r\nReceived: ", raw)
        for verdict in (Redirect("ann@example.test"), Quarantine("odd")):
            self.say("message", verdict)
            self.sent(subject=f"by {type(verdict).__name__}")
            self.assertEqual(self.newest("ann")["subject"], f"by {type(verdict).__name__}")
        self.assertEqual(self.newest("bob")["subject"], "marked")

    def test_a_check_that_fails_delays_the_message(self) -> None:
        self.check.at = "fault"
        result = self.send({"to": [{"address": "bob@example.test"}], "text": "x"})
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertGreaterEqual(result.status, 400)
        self.assertIsNone(self.newest())


del MailCase
