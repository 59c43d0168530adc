"""The verb template, and compose --template."""

from __future__ import annotations

import os
import sys

from emailsys.client.archive.values import Folder
from emailsys.client.compose.draft import Draft
from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case


class TemplateVerbTests(Case):
    def editor(self, *statements: str) -> None:
        """Make an editor that runs Python statements on the text `t` in the file `p`."""
        script = self.folder / "editor.py"
        head = ("import pathlib, sys", "p = pathlib.Path(sys.argv[1])", "t = p.read_text()")
        script.write_text("\n".join((*head, *statements)) + "\n")
        os.environ["VISUAL"] = f"{sys.executable} {script}"

    def draft(self) -> Draft:
        (found,) = self.mailbox.archive.list(Folder("alice", "Drafts"))
        return self.mailbox.open_draft(found.key)

    def test_templates_are_written_listed_shown_and_removed(self) -> None:
        self.assertIn("no template", self.run_it("template", "list")[2])
        self.run_it("template", "write", "thanks", "--stdin", typed="Thank you, {first_name}: {what}.\n")
        self.assertEqual(self.json("template", "list"), [{"name": "thanks", "fields": ["first_name", "what"]}])
        self.assertEqual(self.json("template", "show", "thanks")["text"], "\nThank you, {first_name}: {what}.\n")
        self.editor("p.write_text(t.replace('Thank you', 'Thanks'))")
        self.fine("template", "write", "thanks", typed="")
        self.assertIn("Thanks, {first_name}", self.fine("template", "show", "thanks"))
        self.editor("assert '{first_name}' in t", "p.write_text('Subject: Offer' + chr(10) * 2 + 'hi' + chr(10))")
        self.fine("template", "write", "offer", typed="")
        self.fine("template", "remove", "thanks")
        self.assertEqual([one["name"] for one in self.json("template", "list")], ["offer"])
        self.assertIn("There are: offer", self.refused(Exit.DATA, "template", "show", "thanks"))
        self.refused(Exit.USAGE, "template", "write", "x", typed=b"")
        self.refused(Exit.DATA, "template", "write", "../x", "--stdin", typed=b"hi\n")

    def test_what_cannot_be_used_is_corrected_or_kept(self) -> None:
        self.editor("p.write_text('To: nobody' + chr(10) * 2 + 'my words' + chr(10))")
        err = self.refused(Exit.DATA, "template", "write", "bad", typed="n\n")
        (sheet,) = (self.mailbox.paths.state / "editing").iterdir()
        self.assertIn(str(sheet), err)
        self.assertIn("my words", sheet.read_text())
        self.assertEqual(self.json("template", "list"), [])

    def test_compose_begins_with_a_template(self) -> None:
        words = "Subject: Offer for {project}\n\nDear {first_name},\n{detail}\n"
        self.run_it("template", "write", "offer", "--stdin", typed=words)
        self.editor("assert 'Dear Bob' in t, t", "assert 'Offer for Bridge' in t, t")
        to = "Bob Miller <bob@example.org>"
        status, _, err = self.run_it(
            "compose", "--to", to, "--template", "offer", "--set", "project=Bridge", typed="d\n"
        )
        self.assertEqual(status, Exit.OK, err)
        self.assertIn("Fields without a value: detail", err)
        self.assertEqual((self.draft().subject, self.draft().body), ("Offer for Bridge", "Dear Bob,\n{detail}\n"))
        self.assertIn("project", self.refused(Exit.USAGE, "compose", "--template", "offer", "--set", "x=y", typed=""))
        self.refused(Exit.USAGE, "compose", "--set", "x=y", typed="")
        self.assertIn("offer", self.refused(Exit.DATA, "compose", "--template", "none", typed=""))
