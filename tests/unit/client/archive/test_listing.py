"""Lists are sorted, read from both ends page by page, and show conversations as trees."""

from __future__ import annotations

import random
from typing import Any, Final

from emailsys.client.archive import listing
from emailsys.client.archive.listing import Arrangement, Page, Place, Scope
from emailsys.client.archive.sorting import SortBy
from emailsys.client.archive.values import INBOX, SENT, Addition, Folder
from tests.unit.client.archive.test_archive import IN, ME, ArchiveCase

OTHER: Final = Folder("other@example.test", INBOX)


def mail(
    subject: str, number: str = "", refs: str = "", answers: str = "", sender: str = "a@x.test", day: int = 1
) -> bytes:
    """A small message of November 2026."""
    fields = [f"From: {sender}", f"To: {ME}", f"Subject: {subject}", f"Date: {day} Nov 2026 10:00:00 +0000"]
    fields += [f"Message-ID: <{number}>"] if number else []
    fields += ["References: " + " ".join(f"<{one}>" for one in refs.split())] if refs else []
    fields += [f"In-Reply-To: <{answers}>"] if answers else []
    return ("\r\n".join(fields) + "\r\n\r\ntext\r\n").encode()


INBOX_SCOPE: Final = Scope(folder=IN)


class ListingCase(ArchiveCase):
    def shown(self, page: Page) -> list[str]:
        """Return the subjects, with a dot for each level of the tree."""
        return ["." * row.depth + row.summary.subject for row in page.rows]

    def listed(
        self, by: SortBy = SortBy.DATE, ascending: bool = False, threads: bool = False, **scope: Any
    ) -> list[str]:
        where = Scope(**scope) if scope else Scope(folder=IN)
        return self.shown(self.archive.page(where, Arrangement(by, ascending, threads), 200))


class SortingTests(ListingCase):
    def setUp(self) -> None:
        super().setUp()
        self.archive.add_account(OTHER.account)
        for octets, folder in (
            (mail("beta", sender='"Zoe" <z@x.test>', day=1), IN),
            (mail("Re: alpha", sender="adam <q@x.test>" + "", day=2), IN),
            (mail("Fwd: RE[2]: Gamma " + "x" * 300, sender="Änne <e@x.test>", day=3), IN),
            (mail("AW: beta", sender="Bea <b@x.test>", day=4), IN),
            (mail("elsewhere", day=5), OTHER),
            (mail("sent", day=6), Folder(ME, SENT)),
        ):
            self.keep(octets, folder)

    def test_each_order_in_both_directions(self) -> None:
        gamma = "Fwd: RE[2]: Gamma " + "x" * 300
        for by, subjects in (
            (SortBy.DATE, ["beta", "Re: alpha", gamma, "AW: beta"]),
            (SortBy.SENDER, ["Re: alpha", "AW: beta", "beta", gamma]),
            (SortBy.SUBJECT, ["Re: alpha", "beta", "AW: beta", gamma]),
        ):
            self.assertEqual(self.listed(by, True), subjects, by)
            self.assertEqual(self.listed(by, False), subjects[::-1], by)
        self.assertEqual(self.listed(SortBy.SIZE)[0], gamma)

    def test_the_inboxes_of_all_accounts_are_one_list(self) -> None:
        self.assertEqual(self.listed(everywhere=INBOX)[:2], ["elsewhere", "AW: beta"])
        self.assertEqual(len(self.listed(everywhere=INBOX)), 5)

    def test_a_search_in_any_order(self) -> None:
        for text in ("beta OR alpha", "is:unread -sent -elsewhere -gamma"):
            query = self.archive.query(text)
            for threads in (False, True):
                found = self.listed(SortBy.SUBJECT, True, threads, query=query)
                self.assertEqual(found, ["Re: alpha", "beta", "AW: beta"], text)
                self.assertEqual(self.listed(threads=threads, query=query), ["AW: beta", "Re: alpha", "beta"], text)
        self.assertEqual(
            self.listed(query=self.archive.query("folder:inbox text"), account=OTHER.account), ["elsewhere"]
        )

    def test_pages_from_either_end_give_the_whole_list(self) -> None:
        """In each order, with many equal values, page by page, forwards and backwards."""
        chance = random.Random(3)
        octets = [
            mail(f"s{chance.randrange(4)}", f"n{number}", f"n{chance.randrange(60)}", sender=f"a{number % 3}@x.test")
            for number in range(60)
        ]
        self.archive.add_many([Addition(one, IN) for one in octets])
        for by in SortBy:
            for ascending in (False, True):
                for threads in (False, True):
                    arrangement = Arrangement(by, ascending, threads)
                    whole = [one.summary.key for one in self.archive.page(Scope(folder=IN), arrangement, 1000).rows]
                    self.assertEqual(len(set(whole)), 64)
                    for from_end in (False, True):
                        self.assertEqual(
                            self.by_pages(arrangement, from_end), whole, (by, ascending, threads, from_end)
                        )

        # A search looks its words up once, for the places of the conversations and for their messages.
        for text in ("text", "s1 text", "subject:s* -s2", "s1 OR is:flagged", "nothing"):
            scope = Scope(query=self.archive.query(text))
            arrangement = Arrangement(threads=True)
            whole = self.by_pages(arrangement, True, scope)
            self.assertEqual(self.by_pages(arrangement, False, scope), whole, text)
            flat = self.by_pages(Arrangement(), False, scope)
            self.assertEqual((len(whole), {*whole}), (len(flat), {*flat}), text)

    def by_pages(self, arrangement: Arrangement, from_end: bool, scope: Scope = INBOX_SCOPE) -> list[str]:
        rows: list[str] = []
        beyond: Place | None = None
        while True:
            page = self.archive.page(scope, arrangement, 7, beyond, from_end)
            keys = [one.summary.key for one in page.rows]
            rows = [*keys, *rows] if from_end else [*rows, *keys]
            if page.is_end:
                return rows
            beyond = page.first if from_end else page.last


class TreeTests(ListingCase):
    def tree(self, *octets: bytes) -> list[str]:
        self.archive.add_many([Addition(one, IN) for one in octets])
        return self.listed(threads=True)

    def test_answers_are_below_what_they_answer_and_the_newest_conversation_is_first(self) -> None:
        found = self.tree(
            mail("root", "r", day=1),
            mail("one", "1", "r", day=2),
            mail("single", "s", day=3),
            mail("two", "2", "r", day=4),
            mail("under one", "3", "r 1", day=5),
            mail("deeper", "4", "r 1 3", day=6),
            mail("by In-Reply-To", "5", answers="2", day=7),
        )
        tree = ["root", ".one", "..under one", "...deeper", ".two", "..by In-Reply-To"]
        self.assertEqual(found, [*tree, "single"])
        self.assertEqual(self.listed(ascending=True, threads=True), ["single", *tree])
        self.assertEqual(self.listed(SortBy.SUBJECT, False, True), ["single", *tree])
        one = self.archive.search("deeper")[0]
        self.assertEqual(self.listed(conversation=one.thread, threads=True), tree)

    def test_a_missing_message_is_bridged_by_the_next_one_that_is_named(self) -> None:
        self.assertEqual(
            self.tree(mail("root", "r"), mail("far", "2", "r missing", day=2)),
            ["root", ".far"],
        )

    def test_answers_to_a_message_that_is_not_there_stay_together(self) -> None:
        self.assertEqual(
            self.tree(mail("a", "1", "lost"), mail("b", "2", "lost", day=2), mail("c", "3", "lost 2", day=3)),
            ["a", ".b", "..c"],
        )

    def test_circles_and_messages_that_name_themselves_are_listed_once(self) -> None:
        self.assertEqual(
            self.tree(mail("a", "1", "3"), mail("b", "2", "1", day=2), mail("c", "3", "2 3", day=3)),
            ["c", ".a", "..b"],
        )

    def test_an_answer_with_an_earlier_date_and_two_messages_of_one_id(self) -> None:
        found = self.tree(
            mail("late root", "r", day=9), mail("early answer", "1", "r", day=2), mail("twin", "r", day=10)
        )
        self.assertEqual(found, ["late root", ".early answer", ".twin"])

    def test_a_conversation_as_deep_as_it_is_long(self) -> None:
        octets = [mail(f"s{n}", str(n), str(n - 1) if n else "", day=1 + n % 20) for n in range(300)]
        self.archive.add_many([Addition(one, IN) for one in octets])
        rows = self.archive.page(Scope(folder=IN), Arrangement(threads=True), 200).rows
        self.assertEqual(len(rows), 300)
        self.assertEqual(max(row.depth for row in rows), 299)

    def test_a_conversation_that_is_too_large_is_listed_message_by_message(self) -> None:
        """A stranger can refer to one id in any number of messages."""
        self.patch(listing, "_LARGEST", 20)
        self.archive.add_many([Addition(mail(f"s{n}", f"n{n}", "x"), IN) for n in range(60)])
        self.archive.add_many([Addition(mail("root", "r", day=5), IN), Addition(mail("answer", "q", "r", day=6), IN)])
        found = self.listed(threads=True)
        self.assertEqual((found[:2], len(found)), (["root", ".answer"], 62))
        self.assertEqual(len({one for one in found if one.startswith("s")}), 60)
        self.assertEqual(len(self.by_pages_all()), 62)

    def by_pages_all(self) -> list[str]:
        page = self.archive.page(Scope(folder=IN), Arrangement(threads=True), 10)
        rows = [*page.rows]
        while not page.is_end:
            page = self.archive.page(Scope(folder=IN), Arrangement(threads=True), 10, page.last)
            rows += page.rows
        return [one.summary.key for one in rows]
