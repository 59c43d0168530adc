"""Queries find messages by words, fields, dates and sizes."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from emailsys.client.archive.query import unknown_field_warning
from emailsys.client.archive.values import (
    SENT,
    TRASH,
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
            ('"AND" "OR" "NOT" ) * _', []),
        ):
            self.assertEqual(self.subjects(query), subjects, query)

    def test_short_prefixes_are_found_without_reading_all_words_that_begin_so(self) -> None:
        march, unicode, bill = "Invoice March", "Ünïcode 日本語テスト", "Re: http://x.test/a"
        statements: list[str] = []
        self.archive._index.connection.set_trace_callback(statements.append)
        for query, subjects, tables in (
            ("ri*", [bill], "prefixes"),
            ("bil* -rights", [march], "prefixes"),
            ("pa* OR nothing", [unicode, march], "prefixes"),
            ("ün*", [unicode], "prefixes"),
            ("BI* NOT (inv* OR unicode)", [bill], "prefixes"),
            ("-bi*", [unicode], "prefixes"),
            ("ri* bi* is:unread", [bill], "prefixes"),
            ("subject:in* bi*", [march], "words prefixes"),
            ('"the bill" OR bi*', [bill, march], "words"),
            ('bi* -"the bill"', [bill], "prefixes words"),
            ("from:ali -inv* bi*", [bill], "words prefixes"),
            ("bill -subject:in*", [bill], "words"),
            ("bil -bi*", [], "words prefixes"),
            ("b*", [], "words"),
            ("日本*", [unicode], "words"),
            ("x.t*", [bill], "words"),
            ("rig*", [bill], "prefixes"),
            ("righ*", [bill], "words"),
        ):
            statements.clear()
            self.assertEqual(self.subjects(query), subjects, query)
            searched = {table for one in statements for table in ("words", "prefixes") if f"{table} MATCH" in one}
            self.assertEqual(searched, {*tables.split()}, query)
        self.archive.purge([one.key for one in self.archive.search("ri*")])
        self.assertEqual(self.subjects("bi*"), [march])
        found = self.archive._index.connection.execute("SELECT count(*) FROM prefixes WHERE prefixes MATCH 'ri*'")
        self.assertEqual(found.fetchone(), (0,))

    def test_words_that_the_tokenizer_divides_are_no_short_prefixes(self) -> None:
        """The letters of New Tai Lue are newer for it than for Python."""
        for query in ("ᦰᦰ*", "a_b*", "กข*", "⅔_*"):
            self.archive.search(query)

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

    def test_trash_is_searched_only_if_it_is_asked_for(self) -> None:
        """Other folders, and a negated Trash, do not bring it in: what was found there would be deleted for good."""
        deleted, here = "deleted bill", ["Re: http://x.test/a", "Invoice March"]
        self.keep(message(deleted, "bill", day=4), Folder(ME, TRASH))
        for query, subjects in (
            ("bill", here),
            ("bill -folder:Sent", here),
            ("bill NOT in:(sent OR drafts)", here),
            ("bill OR folder:Sent", [here[0], "Ünïcode 日本語テスト", here[1]]),
            ("bill -folder:Trash", here),
            ("bill -is:trash", here),
            ("bill OR -folder:trash", [here[0], "Ünïcode 日本語テスト", here[1]]),
            (f"bill account:{ME}", here),
            ("bill folder:TRASH", [deleted]),
            ("bill in:(Sent OR Trash)", [deleted]),
            ("bill NOT (-is:deleted)", [deleted]),
            ("bill (is:unread OR folder:Trash)", [deleted, here[0]]),
        ):
            self.assertEqual(self.subjects(query), subjects, query)
        self.assertEqual([one.subject for one in self.archive.search("bill -in:Sent", within="is:trash")], [deleted])

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

    def test_or_not_and_parentheses(self) -> None:
        """OR binds less tightly than terms side by side; a field before parentheses is that of the terms in them."""
        invoice, other, rights = "Invoice March", "Ünïcode 日本語テスト", "Re: http://x.test/a"
        for query, subjects in (
            ("pay OR rights", [rights, invoice]),
            ("pay OR rights OR nothing", [rights, other, invoice]),
            ("bill pay OR bill rights", [rights, invoice]),
            ("bill (pay OR rights)", [rights, invoice]),
            ("bill (pay OR nowhere)", [invoice]),
            ("(pay OR rights) -bill", []),
            ("bill AND rights", [rights]),
            ("NOT bill", [other]),
            ("NOT (pay OR rights)", [other]),
            ("-(pay OR rights)", [other]),
            ("bill -(pay OR nothing)", [rights]),
            ("pay OR is:unread", [rights, other, invoice]),
            ("pay OR (is:unread bill)", [rights, invoice]),
            ("tag:money OR folder:sent", [other, invoice]),
            ("(tag:money OR folder:sent) -folder:Sent", [invoice]),
            ("tag:(money OR other)", [invoice]),
            ("subject:(invoice OR re)", [rights, invoice]),
            ("subject:(invoice bill)", []),
            ("from:(ali) bill", [rights, invoice]),
            ("before:2026-11-02 OR after:2026-11-03", [rights, invoice]),
            ("NOT before:2026-11-02 NOT after:2026-11-03", [other]),
            ("NOT -bill", [rights, invoice]),
            ("NOT NOT bill", [rights, invoice]),
            ("bill OR -bill", [rights, other, invoice]),
            ("((((bill))))", [rights, invoice]),
            ("(bill) (rights)", [rights]),
            ("bill & (rights)", [rights]),
            ("re:(http OR pay)", [rights]),
            ("bill :)", [rights, invoice]),
            ("pay or rights", []),
            ('"pay" OR "bill of rights"', [rights, invoice]),
            (" OR ".join(["nowhere"] * 300 + ["pay"]), [invoice]),
            (" ".join(["(bill OR a)"] * 100), [rights, invoice]),
            ("is:read " * 500, [invoice]),
            ("NOT " * 498 + "is:read", [invoice]),
            (" OR ".join(["is:read -nowhere"] * 250), [invoice]),
        ):
            self.assertEqual(self.subjects(query), subjects, query)

    def test_twenty_parentheses_within_each_other(self) -> None:
        """As many as are allowed fit into the parsers of SQLite."""
        for word in ("is:read", "bill"):
            query = "".join(f"{word} {'OR' if depth % 2 else 'NOT'} (" for depth in range(20)) + word + ")" * 20
            self.assertLessEqual(len(self.subjects(query)), 3)
            self.assertRaises(BadQuery, self.archive.search, f"NOT ({query})")

    def test_a_search_within_another(self) -> None:
        found = self.archive.search("pay OR rights", within="bill OR nothing")
        self.assertEqual([one.subject for one in found], ["Re: http://x.test/a", "Invoice March"])
        self.assertEqual(len(self.archive.search("", within='subject:"invoice march')), 1)

    def test_a_structure_that_cannot_be_understood_is_said(self) -> None:
        for query, words in (
            ("OR", "each side"), ("bill OR", "each side"), ("OR bill", "each side"), ("a OR OR b", "each side"),
            ("a AND", "each side"), ("AND a", "each side"), ("a AND OR b", "each side"), ("a AND AND b", "each side"),
            ("a OR AND b", "each side"),
            ("NOT", "what"), ("NOT OR a", "what"), ("a NOT AND b", "what"),
            ("(NOT)", "what"), ("()", "nothing"), ("a ()", "nothing"), ("NOT " * 600 + "a", "500 terms"),
            ("(a", "not closed"), ("(a OR (b)", "not closed"), ("subject:(a", "subject:("), ("(a OR)", "each side"),
            ("%", "%"), ("a OR %", "%"), ("(%) a", "%"), ("NOT %", "%"), ("from:(%)", "%"), ("is:unread OR %", "%"),
            ("(" * 2000 + "a" + ")" * 2000, "within each other"), ("larger:(a OR b)", "larger:a"),
            ("is:unread " * 501, "500 terms"), ("a OR " * 600 + "b", "500 terms"),
            ("tag:nothing OR folder:nope", "none of that name"),
        ):  # fmt: skip
            self.assertIn(words, str(self.assertRaises(BadQuery, self.archive.search, query)), query[:60])

    def test_or_in_lower_case_is_warned_about(self) -> None:
        self.assertIn("write OR", unknown_field_warning("bill or rights"))
        for query in ("bill OR rights", 'bill "or" rights', "or", "author editor", "subject:or a"):
            self.assertEqual(unknown_field_warning(query), "", query)
        self.assertIn("did you mean from:", unknown_field_warning("(fron:bob OR x)"))

    def test_pages_follow_each_other(self) -> None:
        first = self.archive.search("bill", limit=1)
        second = self.archive.search("bill", limit=1, below=first[0].order)
        self.assertEqual([one.subject for one in (*first, *second)], ["Re: http://x.test/a", "Invoice March"])

    def test_a_query_that_cannot_be_parsed_is_explained(self) -> None:
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
        octets = (Path(__file__).parents[3] / "data" / "cases" / "filename-nfd-korean.eml").read_bytes()
        key = self.archive.add(Addition(octets, IN))
        for word in ("보고서", unicodedata.normalize("NFD", "보고서")):
            self.assertEqual([one.key for one in self.archive.search(f"file:{word}")], [key])
