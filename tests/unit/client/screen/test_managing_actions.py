"""The menu for folders, rules and files: what its lines leave in the archive and on disk."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from textual.widgets import Input, OptionList, Static

from emailsys.client.archive.import_export import Importer
from emailsys.client.archive.values import Flag, Folder
from emailsys.client.screen.list_sources import FolderList
from tests.unit.client.screen.screen_case import Driver, ScreenCase, tries

RULE = """
[[accounts.alice.rules]]
name = "seconds"
subject = "second"
folder = "Projects"
tags = ["later"]
"""


class ManagingTests(ScreenCase):
    async def choose(self, driver: Driver, words: str) -> None:
        """Press M, and choose the line of the menu that has these words."""
        await driver.press("M")
        await driver.until_screen("ChoiceDialog")
        options = driver.app.screen.query_one(OptionList)
        lines = [str(options.get_option_at_index(at).prompt) for at in range(options.option_count)]
        (options.highlighted,) = [at for at, line in enumerate(lines) if words in line]
        await driver.press("enter")

    async def answer(self, driver: Driver, dialog: str, text: str) -> None:
        await driver.until_screen(dialog)
        driver.app.screen.query_one(Input).value = text
        await driver.press("enter")

    async def point_at(self, driver: Driver, name: str) -> None:
        """Go to the line of a folder in the folder pane."""
        await driver.press("c")
        pane: Any = driver.app.screen.query_one("#folders")
        source = FolderList(Folder("alice", name))
        await driver.until(lambda: source in pane._shown)
        pane.point_at(source)
        await driver.until(lambda: pane.under_cursor == source)

    def folders(self) -> set[str]:
        return {one.name for one in (self.folder / "mail" / "alice").iterdir() if one.is_dir()}

    @tries("manage")
    def test_a_folder_is_added_renamed_and_removed(self) -> None:
        """A name that is taken stays in its dialog. A folder with messages is not removed."""

        async def steps(driver: Driver) -> None:
            await self.choose(driver, "Add a folder to alice")
            await self.answer(driver, "InputDialog", "inbox")
            await driver.until(lambda: "already exists" in driver.refusal)
            await self.answer(driver, "InputDialog", "Projects")
            await driver.until(lambda: "Projects" in self.folders() and "now has the folder" in driver.said)
            self.mailbox.archive.move([self.third], Folder("alice", "Projects"))
            await self.point_at(driver, "Projects")
            await self.choose(driver, "Rename the folder alice/Projects")
            await self.answer(driver, "InputDialog", "Plans")
            await driver.until(lambda: "Plans" in self.folders() and "Renamed" in driver.said)
            self.assertNotIn("Projects", self.folders())
            self.assertEqual(self.subjects("Plans"), ["Third"])
            for words in ("empty", "Removed the folder"):
                await self.point_at(driver, "Plans")
                await self.choose(driver, "Remove the folder alice/Plans")
                await driver.until_screen("ConfirmDialog")
                await driver.press("y")
                await driver.until(lambda words=words: words in driver.said)  # type: ignore[misc]
                if words == "empty":
                    self.mailbox.archive.move([self.third], Folder("alice", "Inbox"))
            self.assertNotIn("Plans", self.folders())

        self.drive(steps)

    def test_trash_is_emptied_after_a_question(self) -> None:
        self.mailbox.delete([self.mailbox.archive.get(self.first)])

        async def steps(driver: Driver) -> None:
            await self.choose(driver, "Delete all messages in Trash of alice")
            await driver.until_screen("ConfirmDialog")
            # No has the focus.
            await driver.press("enter")
            await driver.until_screen("MainScreen")
            self.assertEqual(self.subjects("Trash"), ["First"])
            await self.choose(driver, "Delete all messages in Trash of alice")
            await driver.until_screen("ConfirmDialog")
            await driver.press("y")
            await driver.until(lambda: "deleted for good" in driver.said)

        self.drive(steps)
        self.assertEqual(self.subjects("Trash"), [])

    def test_rules_are_tried_and_applied(self) -> None:
        """To try them changes nothing. u undoes their moves, but not their marks."""
        path = self.mailbox.paths.accounts
        path.write_text(path.read_text() + RULE)
        self.mailbox.archive.add_folder(Folder("alice", "Projects"))

        async def steps(driver: Driver) -> None:
            await self.choose(driver, "Try the rules")
            await driver.until_screen("TextDialog")
            shown = "".join(str(one.visual) for one in driver.app.screen.query(Static))
            self.assertIn("The rules match 1 of 3 messages", shown)
            self.assertIn("seconds: to Projects, #later", shown)
            self.assertEqual(self.folder_of(self.second), "Inbox")
            await driver.press("q")
            await self.choose(driver, "Apply the rules")
            await driver.until_screen("ConfirmDialog")
            await driver.press("y")
            await driver.until(lambda: "The rules matched 1 of 3 messages. u moves 1 message back." in driver.said)
            self.assertEqual(self.folder_of(self.second), "Projects")
            await driver.press("u")
            await driver.until(lambda: "back to Inbox" in driver.said)

        self.drive(steps)
        back = self.mailbox.archive.get(self.second)
        self.assertEqual((back.folder.name, back.tags), ("Inbox", ("later",)))

    def test_mail_is_exported_and_imported(self) -> None:
        """An mbox file that exists is extended after a question. What is imported twice is there once."""
        box = self.folder / "out.mbox"

        async def steps(driver: Driver) -> None:
            await self.choose(driver, "Export this list as an mbox file")
            await self.answer(driver, "PathDialog", str(self.folder / "none" / "out.mbox"))
            await driver.until(lambda: "No such file" in driver.refusal)
            await self.answer(driver, "PathDialog", str(box))
            await driver.until(lambda: "3 messages exported" in driver.said)
            subjects = [line for line in box.read_bytes().split(b"\n") if line.startswith(b"Subject:")]
            self.assertEqual(subjects, [b"Subject: First", b"Subject: Second", b"Subject: Third"])
            await self.choose(driver, "Export this list as an mbox file")
            await self.answer(driver, "PathDialog", str(box))
            await driver.until_screen("ConfirmDialog")
            await driver.press("enter")
            await driver.until_screen("MainScreen")
            await self.choose(driver, "Export this list as a maildir")
            await self.answer(driver, "PathDialog", str(self.folder / "maildir"))
            await driver.until(lambda: "/maildir" in driver.said and "exported" in driver.said)
            self.mailbox.archive.purge([self.first, self.second, self.third])
            for words in ("3 messages imported", "Skipped 3 messages"):
                await self.choose(driver, "Import files of mail into alice/Inbox")
                await self.answer(driver, "PathDialog", str(self.folder / "nothing"))
                await driver.until(lambda: "No such file" in driver.refusal)
                await self.answer(driver, "PathDialog", str(self.folder / "maildir"))
                await driver.until(lambda words=words: words in driver.said)  # type: ignore[misc]
            await driver.until(lambda: len(driver.messages.summaries) == 3)

        self.drive(steps)
        self.assertEqual(self.subjects("Inbox"), ["Third", "Second", "First"])
        flags = {one.subject: one.flags for one in self.mailbox.archive.list(Folder("alice", "Inbox"))}
        self.assertEqual(flags["First"], Flag.SEEN)

    def test_leaving_waits_for_the_end_of_an_import(self) -> None:
        """A pipe is refused at once: reading it might wait for ever."""
        ended = threading.Event()
        read = Importer.import_path

        def import_path(importing: Importer, path: Path, form: str | None = None) -> None:
            ended.wait()
            read(importing, path, form)

        self.patch(Importer, "import_path", import_path)
        letter = self.folder / "new.eml"
        letter.write_bytes(self.octets("Imported"))

        async def leave(driver: Driver) -> None:
            await self.choose(driver, "Import files of mail into alice/Inbox")
            if hasattr(os, "mkfifo"):
                os.mkfifo(self.folder / "pipe")
                await self.answer(driver, "PathDialog", str(self.folder / "pipe"))
                await driver.until(lambda: "it is neither a file nor a folder" in driver.refusal)
            await self.answer(driver, "PathDialog", str(letter))
            await driver.until(lambda: "Importing" in driver.said)
            await driver.press("q")
            await driver.until(lambda: "Saving changes" in driver.said)
            self.assertIsNone(driver.app.return_code)

        async def steps(driver: Driver) -> None:
            try:
                await leave(driver)
            finally:
                ended.set()
            await driver.until(lambda: driver.app.return_code is not None)

        self.drive(steps)
        self.assertIn("Imported", self.subjects("Inbox"))
