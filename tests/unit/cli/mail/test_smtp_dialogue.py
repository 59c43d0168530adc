"""SMTP on standard input and output: what is accepted is in the outbox, and each refusal says why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from emailsys.cli.mail.smtp_dialogue import SMTPDialogue, submitted
from emailsys.client.accounts.values import Account
from emailsys.client.archive.values import ArchiveFull
from emailsys.client.compose.message_builder import OutgoingMessage
from emailsys.client.send.note import Refusal
from emailsys.client.send.sender import SendResult
from emailsys.mail.reply import Reply
from tests.unit.cli.mail.mail_case import Case

_ONE: Final = "MAIL FROM:<{}>\nRCPT TO:<d@example.org>\nRCPT TO:<e@example.org>\nDATA\nSubject: {}\n\n..dots\n.\n"


class Transfer:
    """The network: what becomes of the messages."""

    def __init__(self, *results: SendResult) -> None:
        self._results = iter(results)

    async def send(self, account: Account, key: str) -> SendResult:
        return next(self._results)


class DialogueTests(Case):
    def speak(self, octets: bytes, transfer: Transfer | None = None, account: str | None = None, step: int = 7) -> str:
        """Feed octets in small pieces, and return the replies."""
        pieces: Iterator[bytes] = iter([octets[at : at + step] for at in range(0, len(octets), step)])
        replies: list[bytes] = []

        async def read() -> bytes:
            return next(pieces, b"")

        async def submit(owner: Account, message: OutgoingMessage) -> Reply:
            return await submitted(self.session, transfer, owner, message, ())  # type: ignore[arg-type]

        owner = self.mailbox.account(account) if account else None
        running = SMTPDialogue(self.session, owner, submit, read, replies.append).run()
        with self.assertRaises(StopIteration):
            running.send(None)
        return b"".join(replies).decode()

    def codes(self, replies: str) -> list[int]:
        return [int(line[:3]) for line in replies.splitlines() if line[3] == " "]

    def queued(self) -> Sequence[tuple[str, str, set[str], str]]:
        """Account, sender, recipients and subject of what waits in the outbox."""
        return [
            (
                one.account,
                str((self.mailbox.archive.note(one.key) or {})["envelope"]["from"]),
                set(one.recipients),
                self.mailbox.archive.get(one.key).subject,
            )
            for one in self.mailbox.outbox.list()
        ]

    def test_messages_of_one_session_go_out_by_the_accounts_of_their_senders(self) -> None:
        text = "EHLO me\n" + _ONE.format("work@example.org", "One") + _ONE.format("alice@example.org", "Two") + "QUIT\n"
        for octets in (text.encode(), text.replace("\n", "\r\n").encode()):
            replies = self.speak(octets)
            self.assertEqual(self.codes(replies), [220, 250, *[250, 250, 250, 354, 250] * 2, 221])
            both = {"d@example.org", "e@example.org"}
            self.assertEqual(
                sorted(self.queued()),
                [("alice", "alice@example.org", both, "Two"), ("work", "work@example.org", both, "One")],
            )
            for one in self.mailbox.outbox.list():
                self.assertTrue(self.mailbox.archive.octets(one.key).endswith(b"\r\n\r\n.dots\r\n"))
            self.mailbox.archive.purge([one.key for one in self.mailbox.outbox.list()])

    def test_an_unknown_or_null_sender_goes_out_by_the_default_account_or_the_one_that_was_named(self) -> None:
        for account, sender in ((None, ""), (None, "x@elsewhere.example"), ("work", "alice@example.org")):
            self.speak(f"HELO me\n{_ONE.format(sender, 'One')}QUIT\n".encode(), account=account)
            ((owner, path, _, _),) = self.queued()
            self.assertEqual((owner, path), (account or "alice", sender))
            self.mailbox.archive.purge([one.key for one in self.mailbox.outbox.list()])

    def test_a_session_that_breaks_off_sends_nothing(self) -> None:
        whole = f"EHLO me\n{_ONE.format('alice@example.org', 'One')}"
        for end in range(1, len(whole)):
            self.speak(whole[:-end].encode(), step=1 << 16)
        self.assertEqual(self.queued(), [])

    def test_the_reply_to_the_data_tells_what_became_of_it(self) -> None:
        refusals = (Refusal("d@example.org", "550 no such user", True),)
        results = (
            SendResult("k", "alice", ("d@example.org",)),
            SendResult("k", "alice", problem="the server is down", waits=True),
            SendResult("k", "alice", refusals=refusals, problem="550 no such user"),
        )
        one = _ONE.format("alice@example.org", "One")
        replies = self.speak(f"EHLO me\n{one}{one}{one}QUIT\n".encode(), Transfer(*results))
        ends = [line for line in replies.splitlines() if "outbox" in line or "queued" in line]
        self.assertEqual([line[:9] for line in ends], ["250 2.0.0", "250 2.0.0", "554 5.0.0"])
        self.assertIn("the server is down", ends[1])
        self.assertIn("no such user", ends[2])

    def test_a_command_out_of_order_is_refused_and_the_session_continues(self) -> None:
        lines = (
            "MAIL FROM:<a@example.org>", "EHLO me", "DATA", "RCPT TO:<d@example.org>", "AUTH PLAIN", "STARTTLS",
            "VRFY x", "NOPE", "MAIL FROM:<alice@example.org>", "DATA", "RCPT TO:<postmaster>", "RCPT TO:<>",
            "RSET", "NOOP", "HELP",
        )  # fmt: skip
        replies = self.speak("\r\n".join((*lines, "")).encode())
        self.assertEqual(
            self.codes(replies), [220, 503, 250, 503, 503, 503, 454, 252, 500, 250, 554, 501, 501, 250, 250, 214]
        )
        self.assertNotIn("AUTH", replies.split("214")[0].split("503")[0])

    def test_a_full_disk_is_temporary(self) -> None:
        def full(*arguments: object) -> str:
            raise ArchiveFull("the disk is full")

        self.patch(self.mailbox, "put", full)
        replies = self.speak(f"EHLO me\n{_ONE.format('alice@example.org', 'One')}".encode())
        self.assertIn("451 4.3.0 the disk is full", replies)
