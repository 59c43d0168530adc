"""The state of a mail transaction is one object, which the session replaces when the transaction ends."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import Address
from emailsys.mail.envelope import Recipient
from emailsys.wire.smtp.body import BodyRules, ChunkedMessage, StuffedMessage
from emailsys.wire.smtp.grammar import MailArguments
from emailsys.wire.smtp.order import Stage
from emailsys.wire.smtp.server import Session
from emailsys.wire.smtp.transaction import Transaction

ALICE = Address("alice", "example.test")
BOB = Recipient(Address("bob", "example.test"), ())


class Stages(SynchronousTestCase):
    def test_the_stage_follows_from_the_state(self) -> None:
        self.assertIs(Transaction().stage, Stage.GREETED)
        transaction = Transaction(MailArguments(None))
        self.assertIs(transaction.stage, Stage.MAIL)
        transaction.recipients.append(BOB)
        self.assertIs(transaction.stage, Stage.RCPT)
        transaction.body = ChunkedMessage(BodyRules(100))
        self.assertIs(transaction.stage, Stage.CHUNKS)

    def test_octets_belong_to_the_message_after_data_and_within_a_chunk(self) -> None:
        transaction = Transaction(MailArguments(None))
        self.assertFalse(transaction.in_body)
        transaction.body = StuffedMessage(BodyRules(100))
        self.assertTrue(transaction.in_body)
        transaction.body = chunks = ChunkedMessage(BodyRules(100))
        self.assertFalse(transaction.in_body)
        chunks.begin_chunk(5, last=False)
        self.assertTrue(transaction.in_body)
        chunks.take(b"a\r\nbc")
        self.assertFalse(transaction.in_body)


class Ends(SynchronousTestCase):
    def begun(self) -> tuple[Session, Transaction]:
        """Returns a session within a transaction that has one recipient, and the transaction."""
        session = Session(1000, 10)
        session.feed(b"EHLO client\r\n")
        session.next_event()
        session.begin_transaction(MailArguments(ALICE))
        session.transaction.recipients.append(BOB)
        return session, session.transaction

    def test_rset_ehlo_and_starttls_begin_with_an_empty_transaction(self) -> None:
        for line in (b"RSET\r\n", b"EHLO client\r\n", b"HELO client\r\n"):
            session, before = self.begun()
            session.feed(line)
            session.next_event()
            self.assertIsNot(session.transaction, before, line)
            self.assertEqual((session.stage, session.transaction.recipients), (Stage.GREETED, []), line)
        session, before = self.begun()
        session.restart()
        self.assertEqual((session.stage, session.transaction.recipients), (Stage.CONNECTED, []))

    def test_the_end_of_a_message_leaves_its_envelope_unchanged(self) -> None:
        """The next command may already have been read when the message is committed."""
        for message in (b"a\r\n.\r\n", b"BDAT 3 LAST\r\na\r\n"):
            session, before = self.begun()
            if not message.startswith(b"BDAT"):
                session.begin_data()
            session.feed(message)
            while session.next_event() is not None:
                pass
            self.assertIs(session.stage, Stage.GREETED)
            self.assertEqual((before.arguments.reverse_path, before.recipients), (ALICE, [BOB]))
            self.assertIsNot(session.transaction, before)
