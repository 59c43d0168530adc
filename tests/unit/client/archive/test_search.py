"""Queries find messages by words, fields, dates and sizes."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from emailsys.client.archive.values import (
    SENT,
    Addition,
    BadQuery,
    Flag,
    Folder,
)
from tests.unit.client.archive.test_archive import IN, ME, ArchiveCase, message


class Searching(ArchiveCase):
    def setUp(self) -> None:
        super().setUp()
        self.archive.add_many(
            [
                Addition(
                    message("Invoice March", "please pay\r\nthe bill", day=1), IN, flags=Flag.SEEN, tags=("money",)
                ),
                Addition(message("Ünïcode 日本語テスト", "nothing", day=2), Folder(ME, SENT)),
                Addition(message("Re: http://x.test/a", "bill of rights", "Cc: Bob <bob@z.test>\r\n", day=3), IN),
            ]
        )

    def test_words_phrases_and_prefixes(self) -> None:
        for query, subjects in (
            ("bill", ["Re: http://x.test/a", "Invoice March"]),
            ('"bill of rights"', ["Re: http://x.test/a"]),
            ("bill -rights", ["Invoice March"]),
            ("-bill", ["Ünïcode 日本語テスト"]),
            ("righ*", ["Re: http://x.test/a"]),
            ("righ", []),
            ("unicode", ["Ünïcode 日本語テスト"]),
            ("本語", ["Ünïcode 日本語テスト"]),
            ("re: http://x.test/a", ["Re: http://x.test/a"]),
            ("bill & rights", ["Re: http://x.test/a"]),
            ("AND OR NOT ) * _", []),
        ):
            self.assertEqual(self.subjects(query), subjects, query)

    def test_fields(self) -> None:
        for query, subjects in (
            ("subject:invoice", ["Invoice March"]),
            ("from:ali bill after:2026-11-02", ["Re: http://x.test/a"]),
            ("to:bob@z.test", ["Re: http://x.test/a"]),
            ("text:march", []),
            ("before:2026-11-02", ["Invoice March"]),
            ("-before:2026-11-02 -after:2026-11-03", ["Ünïcode 日本語テスト"]),
            ("after:2026-11 before:2027 tag:money", ["Invoice March"]),
            ("newer:21d", ["Re: http://x.test/a"]),
            ("older:3w newer:1y newer:300d", ["Ünïcode 日本語テスト", "Invoice March"]),
            ("folder:sent", ["Ünïcode 日本語テスト"]),
            ("is:read has:tag", ["Invoice March"]),
            ("is:unread -folder:sent", ["Re: http://x.test/a"]),
            ("has:attachment", []),
            ("after:today", []),
            ("after:yesterday", []),
            ("larger:1k", []),
            ("smaller:1k account:ME@example.test is:read", ["Invoice March"]),
            ("-is:trash is:read", ["Invoice March"]),
        ):
            self.assertEqual(self.subjects(query), subjects, query)
        self.assertEqual(self.archive.search("bill", account="else"), [])

    def test_a_folder_is_named_in_any_case_and_alphabet(self) -> None:
        """Also if the name on disk is in NFD, as another program may have written it."""
        here = Folder(ME, "Änderungen")
        self.archive.add_folder(here)
        self.keep(message("s0"), here)
        there = self.root / ME / unicodedata.normalize("NFD", "Größe")
        there.mkdir()
        (there / "a.eml").write_bytes(message("s1"))
        self.archive.refresh()
        for query, subjects in (("folder:änderungen", ["s0"]), ("in:GRÖSSE", ["s1"]), ("s0 -in:ÄNDERUNGEN", [])):
            self.assertEqual(self.subjects(query), subjects, query)

    def test_pages_follow_each_other(self) -> None:
        first = self.archive.search("bill", limit=1)
        second = self.archive.search("bill", limit=1, below=first[0].order)
        self.assertEqual([one.subject for one in (*first, *second)], ["Re: http://x.test/a", "Invoice March"])

    def test_what_cannot_be_understood_is_said(self) -> None:
        for query in ("before:soon", "after:2026-13", "has:time", "is:nice", "larger:big", "from:", "folder:nope",
                      "account:else", '"', "%", "-%", "& |", "from:%", "subject:---"):  # fmt: skip
            for words in (query, f"is:read {query}", f"-is:trash {query}"):
                self.assertIn(query, str(self.assertRaises(BadQuery, self.archive.search, words)))
        for query in ("-in:nope", "-account:else", '-from:""'):
            self.assertIn(query.strip('-"'), str(self.assertRaises(BadQuery, self.archive.search, query)))

    def test_ages_and_sizes_beyond_all_numbers(self) -> None:
        self.assertEqual(len(self.archive.search("newer:99999y smaller:999999999999g")), 3)
        self.assertEqual(self.archive.search("older:99999y"), [])


class Symbols(ArchiveCase):
    """A search that is not understood never finds everything."""

    def test_symbols_are_found_like_words(self) -> None:
        """Currencies and emoji, alone, in a row, beside letters, in each place, and excluded."""
        for number, (subject, text) in enumerate(
            (
                ("=?utf-8?q?=E2=82=AC5_off?=", "a"),
                ("plain", "well done 👍👍🏽!"),
                ("=?utf-8?q?caf=C3=A9=E2=84=A2?=", "x→y"),
            )
        ):
            self.archive.add(Addition(message(subject, text, day=number + 1), IN))
        euro, thumb, cafe = "€5 off", "plain", "café™"
        for query, subjects in (
            ("👍", [thumb]),
            ("👍👍👍", [thumb]),
            ("text:👍 done", [thumb]),
            ("subject:👍", []),
            ("€", [euro]),
            ("subject:€", [euro]),
            ("€5", [euro]),
            ('"€5 off"', [euro]),
            ("-€", [cafe, thumb]),
            ("-👍 -€", [cafe]),
            ("cafe", [cafe]),
            ("café™", [cafe]),
            ("→", [cafe]),
            ("£", []),
            ("🦖", []),
            ("1f44d", []),
        ):
            self.assertEqual(self.subjects(query), subjects, query)

    def test_decomposed_letters_are_found_by_composed_ones(self) -> None:
        """Some systems write file names in NFD."""
        octets = (Path(__file__).parents[3] / "data" / "mail" / "filename-nfd-korean.eml").read_bytes()
        key = self.archive.add(Addition(octets, IN))
        for word in ("보고서", unicodedata.normalize("NFD", "보고서")):
            self.assertEqual([one.key for one in self.archive.search(f"file:{word}")], [key])
