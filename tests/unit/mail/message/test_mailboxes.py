"""Mailboxes are read as people and programs write them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import Address, AddressSyntaxError
from emailsys.mail.message.mailboxes import Mailbox, list_name, parse_mailboxes, read_mailboxes

ALICE = Mailbox("Alice", Address("alice", "example.org"))
BOB = Mailbox("", Address("bob", "example.org"))


class Lists(SynchronousTestCase):
    def test_names_comments_and_groups(self) -> None:
        for text in (
            "Alice <alice@example.org>, bob@example.org",
            '"Alice" <alice@example.org>,, <bob@example.org>',
            "Alice (a \\( friend) <alice@example.org>,\tbob @ example . org (Bob)",
            "Friends: Alice <alice@example.org>, bob@example.org;",
            "Alice <@relay.test:alice@example.org>, Others: bob@example.org;",
        ):
            text = text.replace("\t", " ")
            self.assertEqual(parse_mailboxes(text), [ALICE, BOB])
            self.assertEqual(read_mailboxes(text), [ALICE, BOB])

    def test_commas_and_quotes_in_names_come_back(self) -> None:
        for name in ("Example, Alice", 'A "b" \\c', "=?utf-8?q?x?=", "Jörg Müller", "a@b"):
            written = str(Mailbox(name, ALICE.address))
            self.assertEqual(parse_mailboxes(written), [Mailbox(name, ALICE.address)])

    def test_a_list_shows_the_real_address_of_a_name_that_looks_like_one(self) -> None:
        """So that a stranger's name is not taken for another address, and a name of signs hides nothing."""
        evil = Address("evil", "evil.example")
        for name, shown in (
            ("support@bank.example", "evil@evil.example (support@bank.example)"),
            ("Bank <support@bank.example>", "evil@evil.example (Bank <support@bank.example>)"),
            ("support\uff20bank.example", "evil@evil.example (support\uff20bank.example)"),
            (".", "evil@evil.example (.)"),
            ("..", "evil@evil.example (..)"),
            ("Evil@evil.example", "evil@evil.example"),
            ("", "evil@evil.example"),
            ("Dr. Evil", "Dr. Evil"),
            ("\u6751\u4e0a", "\u6751\u4e0a"),
        ):
            self.assertEqual(list_name(Mailbox(name, evil)), shown)

    def test_a_quoted_local_part_is_an_address(self) -> None:
        self.assertEqual(parse_mailboxes('"a b"@example.org'), [Mailbox("", Address("a b", "example.org"))])

    def test_a_mistyped_mailbox_is_quoted_in_the_error(self) -> None:
        for text in ("alice", "Alice <alice>", "a@b@c", "a@example.org\r\nBcc: b@example.org"):
            self.assertRaises(AddressSyntaxError, parse_mailboxes, text)
        self.assertIn("'alice'", str(self.assertRaises(AddressSyntaxError, parse_mailboxes, "x@y.z, alice")))

    def test_a_malformed_mailbox_of_a_message_is_left_out(self) -> None:
        self.assertEqual(read_mailboxes("undisclosed-recipients:;, alice, Alice <alice@example.org>"), [ALICE])
        self.assertEqual(read_mailboxes("=?utf-8?q?Alice=0A?= <alice@example.org>"), [ALICE])
        self.assertEqual(read_mailboxes("("), [])
        self.assertEqual(str(BOB), "bob@example.org")
