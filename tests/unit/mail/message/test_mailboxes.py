"""Mailboxes are read as people and programs write them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import Address, AddressSyntaxError
from emailsys.mail.message.mailboxes import (
    Mailbox,
    guessed_addresses,
    list_name,
    parse_mailboxes,
    read_mailboxes,
    unusable_addresses,
)

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

    def test_a_typed_list_that_is_too_long_is_refused_and_loses_nobody(self) -> None:
        people = ", ".join(f"person{number:05}@example.org" for number in range(4_000))
        error = self.assertRaises(AddressSyntaxError, parse_mailboxes, people)
        self.assertIn("65,536", str(error))
        fits = people[:65_000].rpartition(",")[0]
        self.assertEqual(len(parse_mailboxes(fits)), fits.count(",") + 1)

    def test_a_list_of_a_message_that_is_too_long_names_nobody_else(self) -> None:
        """The limit cuts no address into that of somebody else, and what is not read is told."""
        people = [f"Person {number:05} <person{number:05}@example.org>" for number in range(2_000)]
        for begin in (0, 12, 24, 36):
            text = f"{'x' * begin}@example.org, {', '.join(people)}"
            found = read_mailboxes(text)[bool(begin) :]
            self.assertEqual([str(one) for one in found], people[: len(found)])
            self.assertEqual(guessed_addresses(text), [])
            self.assertEqual(unusable_addresses(text)[not begin :], [", ".join(people[len(found) :])])
        whole = ", ".join(people)
        self.assertEqual(len(read_mailboxes(whole, len(whole))), len(people))

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

    def test_a_stranger_s_mistakes_hide_no_address(self) -> None:
        """A name without brackets is not joined with the address, and two addresses without a comma are two."""
        for text, expected in (
            ("John Smith jsmith@x.example", "John Smith <jsmith@x.example>"),
            ("=?utf-8?q?caf=C3=A9?= c@x.example", "caf\xe9 <c@x.example>"),
            ("<a@x.example> Bob <b@x.example>", "a@x.example, Bob <b@x.example>"),
            ("John <nick> <a@x.example>", '"John <nick>" <a@x.example>'),
            ('Ann <a@x.example>, "Bob <b@x.example>, c@x.example', "Ann <a@x.example>, Bob <b@x.example>, c@x.example"),
            ("John (Jo <j@x.example>, b@x.example", "John Jo <j@x.example>, b@x.example"),
            ("<j@x.example>>, 'k@x.example', l@x.example.", "j@x.example, k@x.example, l@x.example"),
            ("<mailto:a@x.example>", "a@x.example"),
            ("j@x.example k@x.example", ""),
        ):
            self.assertEqual(", ".join(map(str, read_mailboxes(text))), expected, text)

    def test_a_person_who_forgets_brackets_is_asked(self) -> None:
        for text in ("John Smith jsmith@x.example", '"Bob <b@x.example>', "a@x.example b@x.example"):
            self.assertRaises(AddressSyntaxError, parse_mailboxes, text)
