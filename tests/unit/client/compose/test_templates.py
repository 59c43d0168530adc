"""Templates: what they fill in, what of the draft they leave, and what cannot be used."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.accounts.values import Encrypt
from emailsys.client.compose.draft import ComposeError, Draft
from emailsys.client.compose.templates import Templates, fields_of, filled, known_values, read_template, with_template
from emailsys.mail.message.mailboxes import Mailbox, parse_mailboxes

ALICE = parse_mailboxes("Alice A <alice@example.org>")[0]
BOB = parse_mailboxes('"Bob B. Miller" <bob@example.org>')[0]
NOW = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)


def unchanged(text: str) -> str:
    """No short names of contacts."""
    return text


def applied(template: str, draft: Draft, **more: str) -> Draft:
    """The draft with the template in it."""
    values = known_values(draft, template, NOW, unchanged) | more
    return with_template(draft, read_template(template, values, Path("/nowhere"), unchanged))


class TemplateTests(SynchronousTestCase):
    def test_fields_are_the_recipient_the_user_and_what_is_given(self) -> None:
        text = "Subject: Offer for {project}\n\nDear {first_name} ({name}, {address}),\n{date} {me} {unknown}\n"
        self.assertEqual(fields_of(text), ["project", "first_name", "name", "address", "date", "me", "unknown"])
        draft = applied(text, Draft(sender=ALICE, to=[BOB], text=""), project="Bridge")
        self.assertEqual(draft.subject, "Offer for Bridge")
        self.assertEqual(draft.text, "Dear Bob (Bob B. Miller, bob@example.org),\n2026-03-10 Alice A {unknown}\n")

    def test_a_template_protects_more_but_never_less(self) -> None:
        kinds = [*Encrypt]
        for before in kinds:
            for words, asked in zip(("", "encrypt-when-possible", "encrypt"), kinds, strict=True):
                draft = applied(f"Protect: {words}\n\nHello\n", Draft(text="", encrypt=before))
                self.assertEqual(kinds.index(draft.encrypt), max(kinds.index(before), kinds.index(asked)))

    def test_the_recipient_of_the_template_itself_is_named_too(self) -> None:
        draft = applied("To: Bob B. Miller <bob@example.org>\n\nDear {first_name}\n", Draft(text=""))
        self.assertEqual((draft.text, draft.to[0].address), ("Dear Bob\n", BOB.address))
        self.assertEqual(applied("\nDear {name}\n", Draft(text="")).text, "Dear {name}\n")
        for head in ("To: {address}", "To: {name} <bob@example.org>"):
            self.assertEqual(known_values(Draft(), f"{head}\n\nDear {{name}}\n", NOW, unchanged).keys(), {"date"})
        self.assertRaises(ComposeError, applied, "To: {address}\n\nDear {name}\n", Draft(text=""))
        nameless = Mailbox("", BOB.address)
        self.assertEqual(applied("\nDear {name}\n", Draft(to=[nameless], text="")).text, "Dear bob\n")

    def test_a_value_adds_no_header_field_and_no_further_field(self) -> None:
        evil = Mailbox("X\nBcc: evil@example.net\n\n{me}", BOB.address)
        draft = applied("Subject: Hello {name}\n\n{name}\n", Draft(sender=ALICE, to=[evil], text=""))
        self.assertEqual(draft.bcc, [])
        self.assertEqual(draft.subject, "Hello X Bcc: evil@example.net {me}")
        self.assertEqual(filled("{a}{b}", {"a": "{b}", "b": "x"}), "{b}x")

    def test_what_the_draft_has_stays(self) -> None:
        quoted = Draft(sender=ALICE, to=[BOB], subject="Re: x", text="> quoted\n", in_reply_to="a@b", sign=True)
        template = "To: bob@example.org, carol@example.org\nSubject: other\nX-Own: 7\nFormat: markdown\n\nThanks.\n\n"
        draft = applied(template, quoted)
        self.assertEqual((draft.subject, draft.text), ("Re: x", "Thanks.\n\n> quoted\n"))
        self.assertEqual([str(one.address) for one in draft.to], ["bob@example.org", "carol@example.org"])
        self.assertEqual((draft.fields, draft.in_reply_to, draft.sign), ([("X-Own", "7")], "a@b", True))
        empty = applied(template, Draft(text=""))
        self.assertEqual((empty.text, empty.markdown), (None, "Thanks.\n"))
        signed = applied("\nThanks.\n", Draft(text="\n\n-- \nAlice\n"))
        self.assertEqual(signed.text, "Thanks.\n\n-- \nAlice\n")

    def test_braces_that_are_no_fields_stay(self) -> None:
        for text in ("{}", "{ name }", "{Name}", "{{x", "${PATH}", "{0}", "{a-b}"):
            self.assertEqual((fields_of(text), filled(text, {"name": "n"})), ([], text))

    def test_files_are_attached_and_a_missing_one_is_named(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "a.txt").write_text("a")
        draft = with_template(Draft(text=""), read_template("Attach: a.txt\n\nhi\n", {}, folder, unchanged))
        self.assertEqual([one.name for one in draft.attachments], ["a.txt"])
        self.assertRaises(ComposeError, read_template, "Attach: b.txt\n\nhi\n", {}, folder, unchanged)
        # The recipient is looked up without the files.
        values = known_values(Draft(), "To: bob@example.org\nAttach: gone\n\nhi\n", NOW, unchanged)
        self.assertEqual(values["address"], "bob@example.org")


class StoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute() / "templates"
        self.templates = Templates(self.folder)

    def test_templates_are_files_that_are_listed_changed_and_removed(self) -> None:
        self.assertEqual(self.templates.names(), [])
        for name in ("offer", "Thanks for all"):
            self.templates.write(name, "Subject: s\n\nGr\u00fc\u00dfe\n")
        self.templates.write("offer", "\nother\n")
        self.assertEqual(self.templates.names(), ["offer", "Thanks for all"])
        self.assertEqual(self.templates.read("offer"), "\nother\n")
        self.assertIn("Gr\u00fc\u00dfe", self.templates.read("Thanks for all"))
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"offer.txt", "Thanks for all.txt"})
        self.templates.remove("offer")
        self.assertIn("There are: Thanks for all", str(self.assertRaises(ComposeError, self.templates.read, "offer")))
        self.assertRaises(ComposeError, self.templates.remove, "offer")

    def test_a_name_leads_into_no_other_folder(self) -> None:
        for name in ("", "../mail", "a/b", "..", ".hidden", "a\nb", "con", "x" * 200, "C:x"):
            self.assertRaises(ComposeError, self.templates.write, name, "\nhi\n")
            self.assertRaises(ComposeError, self.templates.read, name)
        self.assertFalse(self.folder.exists())

    def test_what_cannot_be_used_is_told_when_it_is_written(self) -> None:
        for text in (
            "To: not an address\n\nhi\n",
            "Message-ID: <a@b>\n\nhi\n",
            "Attach: gone.pdf\n\nhi\n",
            "Hello\n\nhi\n",
        ):
            self.assertRaises(ComposeError, self.templates.write, "bad", text)
        self.templates.write("good", "To: {address}\nSubject: {name}\n\n{anything}\n")
        self.assertEqual(self.templates.names(), ["good"])
