"""Verbs of the contact book."""

from __future__ import annotations

from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case


class ContactVerbTests(Case):
    """Add, use, export, import and remove."""

    def test_a_contact_from_adding_to_removing(self) -> None:
        self.assertIn("no contacts", self.run_it("contact")[2])
        self.json("contact", "add", "dora", "Dora <dora@example.org>", "dora@home.example")
        self.json("contact", "add", "team", "a@example.org, b@example.org", "--group")
        key = self.json("send", "team", "--cc", "dora", "-m", "x", "--later")["key"]
        self.assertEqual(
            self.mailbox.outbox.get(key).recipients, ("a@example.org", "b@example.org", "dora@example.org")
        )
        self.assertIn(b"Cc: Dora <dora@example.org>", self.mailbox.archive.octets(key))
        cards = self.folder / "all.vcf"
        cards.write_bytes(self.run_it("contact", "export")[1])
        self.assertEqual(self.json("contact", "import", str(cards))["imported"], [])
        self.json("contact", "remove", "dora")
        (again,) = self.json("contact", "import", str(cards))["imported"]
        self.assertEqual((again["short_name"], again["name"]), ("dora", "Dora"))
        self.assertEqual([one["short_name"] for one in self.json("contact", "list")], ["dora", "team"])
        self.assertEqual([str(one) for one in self.mailbox.people("do")], ["Dora <dora@example.org>"])

    def test_invalid_contacts_are_refused_with_the_reason(self) -> None:
        self.assertIn("not a short name", self.refused(Exit.CONFIG, "contact", "add", "a b", "a@example.org"))
        self.assertIn("no contact", self.refused(Exit.CONFIG, "contact", "remove", "bob"))
        self.assertIn("without @domain", self.refused(Exit.USAGE, "send", "nobody", "-m", "x"))
        (self.folder / "config" / "emailsys" / "contacts.toml").write_text("x = 1", "utf-8")
        self.assertIn("contacts.toml", self.refused(Exit.CONFIG, "send", "nobody", "-m", "x"))
        self.assertEqual(self.run_it("send", "bob@example.org", "-m", "x", "--later")[0], Exit.OK)
