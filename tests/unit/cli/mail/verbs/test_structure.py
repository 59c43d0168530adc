"""`emailsys mail structure`: messages of the archive and of files, as a table, as JSON and as a page."""

from __future__ import annotations

import json
import stat
import sys

import html5lib

from emailsys.cli.mail.message_page import steps
from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case
from tests.unit.wiretap.export.samples import PAYLOADS, newsletter


class StructureTests(Case):
    """The verb, from a command line."""

    def test_a_page_of_a_message_in_the_archive(self) -> None:
        """The page is whole and only its owner's; nothing else is printed, and a second run replaces it."""
        page = self.folder / "page.html"
        for _ in range(2):
            self.assertEqual(self.fine("structure", self.second, "--export", str(page)), "")
        text = page.read_text("utf-8")
        html5lib.HTMLParser(strict=True).parse(text)
        for words in ("<h1>Second</h1>", "plan.txt", "multipart/mixed", "The hosts it went through"):
            self.assertIn(words, text)
        if sys.platform != "win32":
            self.assertEqual(stat.S_IMODE(page.stat().st_mode), 0o600)
        self.assertEqual([one.name for one in self.folder.iterdir() if "part" in one.name], [])

    def test_a_message_from_a_file_and_from_standard_input(self) -> None:
        """No account is needed for either."""
        file = self.folder / "message.eml"
        file.write_bytes(newsletter())
        rows = json.loads(self.fine("structure", "--file", str(file), "--json"))
        self.assertEqual([row["number"] for row in rows if row["links"]], ["1.1.2.1"])
        again = json.loads(self.fine("structure", "--file", "-", "--json", typed=newsletter()))
        self.assertEqual(again, rows)
        page = self.fine("structure", "--file", "-", "--export", "-", typed=newsletter())
        self.assertIn("hut.png", page)

    def test_what_cannot_be(self) -> None:
        """Two messages or none, a page and JSON on one stream, a folder that is missing."""
        self.refused(Exit.USAGE, "structure")
        self.refused(Exit.USAGE, "structure", self.second, "--file", "-")
        self.refused(Exit.USAGE, "structure", self.second, "--json", "--export", "-")
        said = self.refused(Exit.IO, "structure", self.second, "--export", str(self.folder / "no" / "page.html"))
        self.assertIn("cannot be written", said)

    def test_hostile_messages(self) -> None:
        """A page comes out of anything, and is valid."""
        for payload in (*PAYLOADS[:10], "x" * 1_000_000):
            octets = newsletter().replace(b"hut.png", payload.encode("utf-8", "replace")[:300])
            octets = b"Received: by " + payload.encode("utf-8", "replace") + b"; x\r\nSubject: x\r\n" + octets
            page = self.fine("structure", "--file", "-", "--export", "-", typed=octets)
            html5lib.HTMLParser(strict=True).parse(page)
            self.assertNotIn("<script", page)
            self.assertLess(len(page), 200_000)


class StepTests(Case):
    """The way of a message as its header tells it."""

    def test_delays_and_wrong_clocks(self) -> None:
        """Each host with the time since the one before."""
        found = list(
            steps(
                [
                    ("Received", "from a by b.example with ESMTP; Mon, 30 Nov 2026 10:00:10 +0000"),
                    ("Received", "from b by a.example with ESMTPSA; Mon, 30 Nov 2026 10:00:12 +0000"),
                    ("From", "alice@example.org"),
                    ("Date", "Mon, 30 Nov 2026 10:00:00 +0000"),
                ]
            )
        )
        self.assertEqual([step.where for step in found], ["alice@example.org", "a.example", "b.example"])
        self.assertIn("encrypted. 0:00:12 later", found[1].text)
        self.assertIn("0:00:02 before the step before", found[2].text)
