"""What is being written outlives Ctrl-Q and editors that fail."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import partial
from typing import Any

from textual.events import Paste
from textual.widgets import Input, Static, TextArea

from emailsys.client.archive.values import ArchiveFull
from emailsys.client.compose.draft import Attachment, Draft
from emailsys.client.screen import composer
from emailsys.client.screen.text_fields import AddressInput
from emailsys.mail.message.mailboxes import Mailbox
from tests.unit.client.screen.screen_case import ALICE, BOB, Driver, ScreenCase, account


class ComposerTests(ScreenCase):
    def test_ctrl_q_saves_what_was_typed_a_moment_ago(self) -> None:
        self.patch(composer, "SAVE_EVERY", 3600.0)

        async def steps(driver: Driver) -> None:
            await driver.compose(subject="Unsaved", body="typed just now")
            await driver.app.action_quit()

        self.drive(steps)
        self.assertEqual(self.subjects("Drafts"), ["Unsaved"])

    def has_toast(self, driver: Driver, words: str) -> bool:
        return any(words in one for one in driver.toasts)

    def test_an_editor_that_fails_leaves_the_message_and_the_program(self) -> None:
        script = self.folder / "editor.py"
        script.write_text(
            "import sys, pathlib\n"
            "path = pathlib.Path(sys.argv[1])\n"
            "path.write_text('Attach: ~nobody-here/x\\n' + path.read_text())\n"
        )

        async def steps(driver: Driver) -> None:
            await driver.compose(subject="Mine", body="my text")
            for command, words in (
                ("vi 'x", "No closing quotation"),
                ("rm", "left no text"),
                (f"{sys.executable} {script}", "Cannot attach ~nobody-here/x"),
            ):
                self.patch(os, "environ", {**os.environ, "VISUAL": command})
                driver.toasts.clear()
                await driver.press("f4")
                await driver.until(partial(self.has_toast, driver, words))
                self.assertEqual(type(driver.app.screen).__name__, "Composer")
                self.assertEqual(driver.app.screen.query_one("#body", TextArea).text, "my text")
            await driver.press("escape")

        self.drive(steps)

    def test_pasted_lines_are_all_taken(self) -> None:
        """Addresses get commas between them; a name may stand on the line before its address."""
        for pasted, taken in (
            ("a@x.example\nb@x.example\n", "a@x.example, b@x.example"),
            (
                "a@x.example,\r\n  b@x.example;\r\n\r\nDora\r\n<d@x.example>",
                "a@x.example, b@x.example, Dora <d@x.example>",
            ),
            ("Ann <a@x.example>", "Ann <a@x.example>"),
            ("\n", ""),
        ):
            field = AddressInput()
            self.assertEqual(field.join([one for one in pasted.splitlines() if one.strip()]), taken)

        async def steps(driver: Driver) -> None:
            await driver.compose("x@x.example, ")
            driver.app.screen.query_one("#to", Input).post_message(Paste("a@x.example\nb@x.example\n"))
            driver.app.screen.query_one("#subject", Input).post_message(Paste("two\nlines"))
            await driver.until(lambda: driver.app.screen.query_one("#subject", Input).value == "two lines")
            self.assertEqual(driver.app.screen.query_one("#to", Input).value, "x@x.example, a@x.example, b@x.example")
            await driver.press("escape", "escape")

        self.drive(steps)

    def test_lines_that_cannot_be_used_are_shown_and_hold_the_message_back(self) -> None:
        typed = [("Attach", "gone.pdf"), ("", "a line without a colon"), ("From", "me@")]
        draft = Draft(ALICE, [BOB], subject="Rescued", text="text\n", as_typed=typed)
        key = self.mailbox.save_draft(self.mailbox.account("alice"), draft)

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            screen.start_dialog(lambda: screen._outbox_actions.edit(self.mailbox.archive.get(key)))
            await driver.until_screen("Composer")
            shown = str(driver.app.screen.query_one("#unusable", Static).visual)
            self.assertIn("Attach: gone.pdf\na line without a colon", shown)
            self.assertNotIn("me@", shown)
            await driver.press("ctrl+t")
            await driver.until(partial(self.has_toast, driver, "Press F4"))
            self.assertEqual(type(driver.app.screen).__name__, "Composer")
            await driver.press("escape")

        self.drive(steps)

    def test_names_in_from_are_no_markup(self) -> None:
        """A stranger chooses the name in a draft, and the user the one of the account."""
        self.mailbox.accounts_file.put(replace(account("alice"), display_name="Bob [ACME] [/ACME]"), default=True)
        draft = Draft(Mailbox("[/x] Bank", ALICE.address), [BOB], subject="Named", text="text\n")
        key = self.mailbox.save_draft(self.mailbox.account("alice"), draft)

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            screen.start_dialog(lambda: screen._outbox_actions.edit(self.mailbox.archive.get(key)))
            await driver.until_screen("Composer")
            sender: Any = driver.app.screen.query_one("#from")
            shown = sender.query_one("#label")
            self.assertIn("[/x] Bank", str(shown.visual))
            sender.expanded = True
            await driver.pilot.pause()
            sender.value = 1
            await driver.until(lambda: "Bob [ACME] [/ACME]" in str(shown.visual))
            await driver.press("escape", "escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)

    def test_an_invalid_contact_book_loses_no_text_of_an_editor(self) -> None:
        """The correspondents are suggested all the same."""
        (self.folder / "contacts.toml").write_text("dora = 1\n", "ascii")
        script = self.folder / "editor.py"
        script.write_text(
            "import sys, pathlib\n"
            "path = pathlib.Path(sys.argv[1])\n"
            "path.write_text(path.read_text().replace('To: ', 'To: dora') + 'my words')\n"
        )
        self.patch(os, "environ", {**os.environ, "VISUAL": f"{sys.executable} {script}"})

        async def steps(driver: Driver) -> None:
            await driver.compose()
            await driver.press("f4")
            await driver.until(partial(self.has_toast, driver, "Your text is kept in"))
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        (kept,) = (self.folder / "state" / "editing").iterdir()
        self.assertIn("my words", kept.read_text("utf-8"))
        self.assertEqual([str(one.address) for one in self.mailbox.people("bob")], ["bob@example.org"])

    def test_another_file_of_the_same_name_is_saved(self) -> None:
        files = [Attachment("plan.txt", b"old", "text/plain")]
        draft = Draft(ALICE, [BOB], subject="Files", text="text\n", attachments=files)
        key = self.mailbox.save_draft(self.mailbox.account("alice"), draft)

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            screen.start_dialog(lambda: screen._outbox_actions.edit(self.mailbox.archive.get(key)))
            await driver.until_screen("Composer")
            composing: Any = driver.app.screen
            composing._draft.attachments = [Attachment("plan.txt", b"new", "text/plain")]
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        (saved,) = self.mailbox.archive.search("folder:Drafts")
        self.assertEqual(self.mailbox.open_draft(saved.key).attachments[0].octets, b"new")

    def test_a_draft_that_another_program_removed_is_saved_as_a_new_one(self) -> None:
        async def steps(driver: Driver) -> None:
            await driver.compose(subject="Removed", body="one")
            await driver.press("ctrl+s")
            await driver.until(lambda: self.subjects("Drafts") == ["Removed"])
            self.mailbox.archive.purge([self.mailbox.archive.search("folder:Drafts")[0].key])
            driver.fill("#subject", "Saved again")
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        self.assertEqual(self.subjects("Drafts"), ["Saved again"])

    def test_a_draft_that_another_program_deleted_is_not_continued_in_trash(self) -> None:
        async def steps(driver: Driver) -> None:
            await driver.compose(subject="Deleted", body="one")
            await driver.press("ctrl+s")
            await driver.until(lambda: self.subjects("Drafts") == ["Deleted"])
            self.mailbox.delete(self.mailbox.archive.search("folder:Drafts"))
            driver.fill("#subject", "Saved again")
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        self.assertEqual((self.subjects("Drafts"), self.subjects("Trash")), (["Saved again"], ["Deleted"]))

    def test_a_draft_that_cannot_be_saved_may_be_left_and_its_text_is_in_a_file(self) -> None:
        def full(*arguments: object) -> str:
            raise ArchiveFull("the disk is full")

        self.patch(self.mailbox, "save_draft", full)
        self.patch(composer, "SAVE_EVERY", 3600.0)
        folder = self.folder / "state" / "editing"

        async def steps(driver: Driver) -> None:
            await driver.compose(subject="Unsaved", body="my only text")
            await driver.press("escape")
            await driver.until_screen("ConfirmDialog")
            await driver.press("n")
            await driver.until_screen("Composer")
            await driver.until(lambda: not [*folder.iterdir()])
            await driver.app.action_quit()
            await driver.until_screen("ConfirmDialog")
            await driver.press("y")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        (kept,) = folder.iterdir()
        self.assertIn("my only text", kept.read_text("utf-8"))

    def test_latin_1_of_an_editor_is_read_and_its_file_stays_until_the_draft_is_saved(self) -> None:
        script = self.folder / "editor.py"
        script.write_text(
            "import sys, pathlib\n"
            "path = pathlib.Path(sys.argv[1])\n"
            "path.write_bytes(path.read_bytes() + 'Gr\\xfc\\xdfe'.encode('latin-1'))\n"
        )
        self.patch(os, "environ", {**os.environ, "VISUAL": f"{sys.executable} {script}"})
        self.patch(composer, "SAVE_EVERY", 3600.0)
        folder = self.folder / "state" / "editing"
        save_draft = self.mailbox.save_draft
        is_full = True

        def save(*arguments: Any) -> str:
            if is_full:
                raise ArchiveFull("the disk is full")
            return save_draft(*arguments)

        self.patch(self.mailbox, "save_draft", save)

        async def steps(driver: Driver) -> None:
            nonlocal is_full
            await driver.compose()
            await driver.press("f4")
            await driver.until(lambda: driver.app.screen.query_one("#body", TextArea).text == "Gr\xfc\xdfe")
            await driver.until(partial(self.has_toast, driver, "Your text is kept in"))
            self.assertEqual(len([*folder.iterdir()]), 1)
            is_full = False
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        self.assertEqual(self.mailbox.archive.search("folder:Drafts")[0].preview, "Gr\xfc\xdfe")
