"""A reply goes to the other side, whatever addresses of one's own the message names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.accounts.values import Account
from emailsys.client.compose.answer import ReplyTo, reply
from emailsys.mail.address import Address
from emailsys.mail.message.mailboxes import Mailbox

ALICE: Final = Mailbox("Alice", Address("alice", "example.org"))
CASES: Final = Path(__file__).parents[3] / "data" / "cases"
ORIGINAL: Final = (
    b"From: Carol <carol@example.test>\r\nTo: alice@example.org, Bob <bob@example.test>\r\nSubject: plan\r\n\r\nx\r\n"
)


class OwnAddresses(SynchronousTestCase):
    def test_ones_own_address_with_a_tag_gets_no_copy(self) -> None:
        """Only the own address with a "+tag" is left out, not a stranger's, and not the untagged form of a tag."""
        octets = (CASES / "reply-all-own-plus.eml").read_bytes()
        for own, copies in (("bob", ["carol"]), ("bob+x", ["bob+shop", "carol"]), ("shop", ["bob+shop", "carol"])):
            address = Address(own, "example.org")
            draft = reply(octets, Mailbox("", address), Account("a", address).owns, reply_to=ReplyTo.ALL)
            self.assertEqual([one.address.local for one in (*draft.to, *draft.cc)], ["ann", *copies])

    def test_a_reply_to_that_names_oneself_is_ignored(self) -> None:
        """The answer goes to the author, and to the other addresses of Reply-To."""
        for field, to in (("alice@example.org", ["carol"]), ("Alice@example.org, list@x.test", ["list"])):
            draft = reply(f"Reply-To: {field}\r\n".encode() + ORIGINAL, ALICE)
            self.assertEqual([one.address.local for one in draft.to], to)

    def test_a_reply_to_ones_own_message_goes_to_the_other_recipients(self) -> None:
        octets = b"From: alice@example.org\r\nTo: alice+a@example.org, %b\r\n\r\n"
        owner = Account("alice", ALICE.address)
        for others, to in ((b"bob@example.test", ["bob"]), (b"", ["alice+a"])):
            draft = reply(octets % others, ALICE, owner.owns)
            self.assertEqual([one.address.local for one in draft.to], to)
