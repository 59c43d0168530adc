"""Verbs bounce and unsubscribe, and the options --at and --watch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from emailsys.cli.mail import session as mail_session
from emailsys.client.accounts.values import Account
from emailsys.client.archive.values import Addition, Flag, Folder
from emailsys.client.base import https
from emailsys.client.online import MailTransfer
from emailsys.client.send.sender import SendResult
from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case


class SendingOnTests(Case):
    """What these verbs leave in the outbox."""

    def test_bounce_sends_the_message_on(self) -> None:
        key = self.json("bounce", self.first, "dora@example.org", "--later")["key"]
        queued = self.mailbox.outbox.get(key)
        octets = self.mailbox.archive.octets(key)
        self.assertEqual((queued.sender, queued.recipients), ("alice@example.org", ("dora@example.org",)))
        self.assertTrue(octets.startswith(b"Resent-Date: "))
        self.assertTrue(octets.endswith(self.mailbox.archive.octets(self.first)))
        self.assertTrue(self.mailbox.archive.get(self.first).flags & Flag.FORWARDED)
        stopped = self.json("outbox", "stop", key)
        # Not a draft: its To is the author's.
        self.assertEqual((stopped["stopped"], self.folder_of(key)), (True, "Trash"))
        self.assertIn("address without @domain", self.refused(Exit.USAGE, "bounce", self.first, "dora", "--later"))

    def test_a_message_waits_for_its_time(self) -> None:
        """It isn't due before, and it is told how it is sent then."""
        key = self.json("send", "d@example.org", "-m", "x", "--at", "+2h")["key"]
        queued = self.mailbox.outbox.get(key)
        late = abs(queued.due - self.mailbox.now() - timedelta(hours=2))
        self.assertLess(late, timedelta(minutes=1))
        self.assertEqual((queued.state.value, self.mailbox.outbox.due("alice")), ("held", []))
        self.assertEqual(self.mailbox.outbox.scheduled(["alice"]), [])
        later = self.mailbox.now() + timedelta(hours=3)
        self.patch(self.mailbox.outbox, "_now", lambda: later)
        self.assertEqual([one.key for one in self.mailbox.outbox.scheduled(["alice"])], [key])
        self.assertIn("Examples: +2h", self.refused(Exit.USAGE, "send", "d@example.org", "-m", "x", "--at", "soon"))
        self.assertEqual(len(self.mailbox.outbox.list()), 1)

    def test_outbox_send_goes_on_until_it_is_interrupted(self) -> None:
        """After failures the pauses grow."""
        clock = Clock()
        moments: list[float] = []
        ended: list[Any] = []

        async def flush(_transfer: Any, accounts: Sequence[Account]) -> Sequence[SendResult]:
            if accounts[0].name != "alice":
                return []
            moments.append(clock.seconds())
            return [SendResult("k", "alice", problem="down", waits=True)] if len(moments) < 3 else []

        def run(work: Any) -> Any:
            _ = Deferred.fromCoroutine(work(clock)).addBoth(ended.append)
            clock.pump([1.0] * 200)
            self.assertEqual(ended, [])
            raise KeyboardInterrupt

        self.patch(MailTransfer, "flush", flush)
        self.patch(mail_session, "run_once", run)
        status, _, err = self.run_it("outbox", "send", "--watch")
        self.assertEqual((status, moments), (Exit.OK, [0.0, 60.0, 180.0]), err)
        self.assertIn("Press Ctrl-C to stop", err)

    def listed(self, *fields: str) -> str:
        octets = "".join(f"{one}\r\n" for one in fields).encode() + b"From: l@lists.example\r\n\r\nnews\r\n"
        return self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox")))

    def test_unsubscribe_asks_and_then_posts(self) -> None:
        asked: list[tuple[str, bytes]] = []
        answers: list[int | str] = [200, 410, "timeout"]

        async def post(_reactor: Any, url: str, form: bytes) -> int | str:
            asked.append((url, form))
            return answers.pop(0)

        self.patch(https, "post_form", post)
        self.patch(mail_session, "run_once", self.at_once)
        key = self.listed(
            "List-Unsubscribe: <https://lists.example/u>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click"
        )
        status, _, err = self.run_it("unsubscribe", key, typed="n\n")
        self.assertEqual((status, asked), (Exit.FAILED, []))
        self.assertIn("a request to lists.example", err)
        self.assertIn("add --yes", self.refused(Exit.USAGE, "unsubscribe", key))
        self.assertEqual(self.run_it("unsubscribe", key, typed="y\n")[0], Exit.OK)
        self.assertEqual(asked, [("https://lists.example/u", b"List-Unsubscribe=One-Click")])
        for words in ("status 410", "did not answer: timeout"):
            self.assertIn(words, self.refused(Exit.UNAVAILABLE, "unsubscribe", key, "--yes"))

    def test_unsubscribe_by_message_page_or_not_at_all(self) -> None:
        key = self.listed("List-Unsubscribe: <mailto:leave@lists.example?subject=Out&body=I%20quit%0A>")
        err = self.run_it("unsubscribe", key, typed="n\n")[2]
        self.assertIn("a message to leave@lists.example with the subject 'Out' and the text 'I quit'", err)
        self.patch(mail_session, "run_once", lambda work: SendResult("k", "alice", accepted=("leave@lists.example",)))
        self.assertEqual(self.run_it("unsubscribe", key, "--yes")[0], Exit.OK)
        (queued,) = self.mailbox.outbox.list()
        self.assertEqual(queued.recipients, ("leave@lists.example",))
        page = self.listed("List-Unsubscribe: <https://lists.example/u>")
        self.assertIn("https://lists.example/u", self.refused(Exit.UNAVAILABLE, "unsubscribe", page))
        self.assertIn("no way to unsubscribe", self.refused(Exit.DATA, "unsubscribe", self.first))
