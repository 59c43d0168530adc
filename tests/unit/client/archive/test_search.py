"""Queries find messages by words, fields, dates and sizes."""

from __future__ import annotations

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
            ('"', ["Re: http://x.test/a", "Ünïcode 日本語テスト", "Invoice March"]),
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
            ("account:else", []),
            ("-is:trash is:read", ["Invoice March"]),
        ):
            self.assertEqual(self.subjects(query), subjects, query)
        self.assertEqual(self.archive.search("bill", account="else"), [])

    def test_pages_follow_each_other(self) -> None:
        first = self.archive.search("bill", limit=1)
        second = self.archive.search("bill", limit=1, below=first[0].order)
        self.assertEqual([one.subject for one in (*first, *second)], ["Re: http://x.test/a", "Invoice March"])

    def test_what_cannot_be_understood_is_said(self) -> None:
        for query in ("before:soon", "after:2026-13", "has:time", "is:nice", "larger:big", "from:"):
            self.assertIn(query, str(self.assertRaises(BadQuery, self.archive.search, query)))
