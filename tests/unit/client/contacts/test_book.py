"""The contact book, and vCard files."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.contacts.book import Contact, ContactBook, ContactError
from emailsys.client.contacts.vcard import read_cards, write_cards
from emailsys.mail.address import parse
from emailsys.mail.message.mailboxes import parse_mailboxes

BOB = Contact("bob", 'Bob "B" Müller', (parse("bob@example.org"), parse("bob@home.example")))
TEAM = Contact("team", "", (parse("ann@example.org"), parse('"b c"@example.org')), is_group=True)


class BookTests(SynchronousTestCase):
    """contacts.toml."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "contacts.toml"
        self.book = ContactBook(self.path)

    def test_the_file_is_read_again_only_if_it_changed(self) -> None:
        """Completion asks for the contacts at each key."""
        self.book.put([BOB])
        seen = self.book.load()
        self.assertIs(self.book.load(), seen)
        ContactBook(self.path).put([TEAM])
        self.assertEqual(set(self.book.load()), {"bob", "team"})
        self.path.unlink()
        self.assertEqual(dict(self.book.load()), {})

    def test_stored_entries_are_read_back_unchanged(self) -> None:
        self.assertEqual(dict(self.book.load()), {})
        self.book.put([TEAM, BOB])
        self.assertEqual(list(self.book.load().values()), [BOB, TEAM])
        if os.name != "nt":
            self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.book.remove("team")
        self.assertEqual(list(self.book.load().values()), [BOB])
        self.assertIn("no contact 'team'", str(self.assertRaises(ContactError, self.book.remove, "team")))

    def test_short_names_stand_for_addresses(self) -> None:
        """A person's first address, and all of a group's. What is no short name stays as it was typed."""
        self.book.put([TEAM, BOB])
        for text, expected in (
            ("bob", ["bob@example.org"]),
            ("TEAM, Bob", ["ann@example.org", '"b c"@example.org', "bob@example.org"]),
            ('"bob, x" <eve@example.org>, bob;', ["eve@example.org", "bob@example.org"]),
        ):
            found = parse_mailboxes(self.book.expand(text))
            self.assertEqual([str(one.address) for one in found], expected, text)
        self.assertEqual(parse_mailboxes(self.book.expand("bob"))[0].name, BOB.name)
        for text in ("", " , ", "bobby", "bob@x.example", "bob <x@example.org>", '"bob"', "team: x@example.org;"):
            self.assertEqual(self.book.expand(text), text)

    def test_short_names_that_differ_in_case_are_one(self) -> None:
        """The list would show one address, and the mail go to the other."""
        self.book.put([BOB, Contact("BOB", "", (parse("other@example.org"),))])
        self.assertEqual(list(self.book.load()), ["BOB"])
        self.book.put([BOB])
        self.assertEqual(list(self.book.load().values()), [BOB])
        # Files that were written by hand may have both.
        self.path.write_text('[bob]\naddresses = ["a@example.org"]\n[BOB]\naddresses = ["b@example.org"]\n', "utf-8")
        self.assertEqual((self.book.expand("bob"), self.book.expand("BOB")), ("a@example.org", "b@example.org"))

    def test_a_file_that_cannot_be_used_is_reported(self) -> None:
        self.path.parent.mkdir()
        for text, words in (
            ("x", "not TOML"),
            ("x = 1", "allowed: addresses"),
            ("[x]", "allowed: addresses"),
            ('[x]\naddresses = ["y"]', "address without @domain"),
            ('["a b"]\naddresses = ["y@example.org"]', "not a short name"),
            ('[x]\naddresses = ["y@example.org"]\nnick = "z"', "allowed: addresses"),
            ('[x]\naddresses = ["y@example.org"]\nname = "a\\nb"', "one line"),
        ):
            self.path.write_text(text, "utf-8")
            self.assertIn(words, str(self.assertRaises(ContactError, self.book.load)), text)
            self.assertRaises(ContactError, self.book.put, [BOB])
            self.assertEqual(self.path.read_text("utf-8"), text)


class VCardTests(SynchronousTestCase):
    """Cards of other programs, and our own."""

    def cards(self, *lines: str) -> list[tuple[str, str, list[str], bool]]:
        text = "".join(f"{one}\r\n" for one in ("BEGIN:VCARD", *lines, "END:VCARD"))
        return [
            (one.short_name, one.name, [str(address) for address in one.addresses], one.is_group)
            for one in read_cards(text.encode())[0]
        ]

    def test_exported_contacts_are_imported_unchanged(self) -> None:
        contacts, left_out = read_cards(write_cards([BOB, TEAM]))
        self.assertEqual(left_out, [])
        self.assertEqual(contacts, [BOB, TEAM])

    @settings(deadline=None, suppress_health_check=(HealthCheck.too_slow,))
    @given(
        st.text(
            st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp"), exclude_characters="\\"),
            min_size=1,
            max_size=150,
        )
    )
    def test_any_name_survives_export_and_import(self, name: str) -> None:
        written = write_cards([Contact("x", name, (parse("x@example.org"),))])
        self.assertTrue(all(len(line) <= 75 for line in written.split(b"\r\n")))
        ((one,), _) = read_cards(written)
        self.assertEqual(one.name, " ".join(name.split()) if name.strip() != "x" else "")

    def test_a_name_keeps_its_emoji_and_loses_what_cannot_be_printed(self) -> None:
        """Skin tones stay, and names of scripts with invisible joiners, but nothing that a terminal acts on."""
        for written, name in (
            ("Ann \U0001f44b\U0001f3fd", "Ann \U0001f44b\U0001f3fd"),
            ("\u0639\u200c\u0631", "\u0639\u0631"),
            ("A\x1b[31m\u202e B", "A[31m B"),
        ):
            self.assertEqual([one[1] for one in self.cards(f"FN:{written}", "EMAIL:a@x.example")], [name])

    def test_cards_of_all_versions(self) -> None:
        """2.1 of phones, 3.0 of web mail, 4.0 of today."""
        self.assertEqual(
            self.cards("VERSION:2.1", "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;J=C3=B6=", "rg;;;",
                       "EMAIL;INTERNET;HOME:j2@example.org", "EMAIL;INTERNET;PREF:joerg@example.org"),
            [("joerg", "Jörg Müller", ["joerg@example.org", "j2@example.org"], False)],
        )  # fmt: skip
        self.assertEqual(
            self.cards("VERSION:3.0", "N:Miller;Bob;;;", "FN:Bob Miller\\, Jr.",
                       "item1.EMAIL;type=INTERNET;type=pref:b@example.org",
                       "item1.X-ABLabel:work", "PHOTO;ENCODING=b;TYPE=JPEG:AAAA", " AAAA", "NOTE:a;b\\nc"),
            [("b", "Bob Miller, Jr.", ["b@example.org"], False)],
        )  # fmt: skip
        self.assertEqual(
            self.cards("VERSION:4.0", "KIND:group", "FN:The Team", "MEMBER:mailto:a@example.org", "MEMBER:urn:uuid:1",
                       "MEMBER:mailto:b%2Bc@example.org?subject=x"),
            [("the-team", "The Team", ["a@example.org", "b+c@example.org"], True)],
        )  # fmt: skip

    def test_odd_cards_are_read(self) -> None:
        self.assertEqual(self.cards("FN:A", "EMAIL:MAILTO:a@example.org")[0][2], ["a@example.org"])
        self.assertEqual(self.cards("FN:A", f"EMAIL;PREF={'1' * 5000}:a@example.org")[0][2], ["a@example.org"])
        name = "FN;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:M=FCller"
        self.assertEqual(self.cards(name, "EMAIL:a@example.org")[0][1], "Müller")
        contacts, _ = read_cards(b"BEGIN:VCARD\nFN:A\nEMAIL:a@example.org")
        self.assertEqual([one.short_name for one in contacts], ["a"])

    def test_a_group_that_is_too_large_is_left_out_alone(self) -> None:
        members = b"".join(b"MEMBER:mailto:m%d@example.org\n" % number for number in range(1001))
        card = b"BEGIN:VCARD\nKIND:group\nFN:All\n" + members + b"END:VCARD\n"
        contacts, left_out = read_cards(card + b"BEGIN:VCARD\nEMAIL:a@example.org\nEND:VCARD\n")
        self.assertEqual(([one.short_name for one in contacts], len(left_out)), (["a"], 1))
        self.assertIn("1 to 1000 addresses", left_out[0])

    def test_a_member_with_a_percent_sign_comes_back(self) -> None:
        team = Contact("team", "", (parse("a%41@example.org"), parse("b?c@example.org")), is_group=True)
        self.assertEqual(read_cards(write_cards([team]))[0], [team])

    def test_short_names_are_free(self) -> None:
        card = b"BEGIN:VCARD\r\nNICKNAME:Bob!\r\nEMAIL:b@example.org\r\nEND:VCARD\r\n"
        contacts, _ = read_cards(card * 2, ["bob"])
        self.assertEqual([one.short_name for one in contacts], ["bob2", "bob3"])

    def test_an_unusable_card_is_reported(self) -> None:
        self.assertRaises(ContactError, read_cards, b"no card")
        contacts, left_out = read_cards(
            b"BEGIN:VCARD\nFN:\x1b]0;Ann\nTEL:1\nEND:VCARD\nBEGIN:VCARD\nFN:Ben\nEMAIL:nobody\nEMAIL:ben@example.org\nEND:VCARD\n"
            b"BEGIN:VCARD\nFN:Nobody\n"
        )
        self.assertEqual([one.short_name for one in contacts], ["ben"])
        self.assertIn("card 1", left_out[0])
        self.assertNotIn("\x1b", left_out[0])
        self.assertIn("'nobody'", left_out[1])

    @settings(deadline=None, suppress_health_check=(HealthCheck.too_slow,))
    @given(st.binary(max_size=300))
    def test_any_octets_are_read_or_refused(self, octets: bytes) -> None:
        try:
            contacts, _ = read_cards(b"BEGIN:VCARD\r\n" + octets + b"\r\nEMAIL:a@example.org\r\nEND:VCARD\r\n")
        except ContactError:
            return
        self.assertEqual(len({one.short_name for one in contacts}), len(contacts))
