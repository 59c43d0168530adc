"""Keys that give a message to other programs."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from unittest import SkipTest

from textual.widgets import Input, Label, OptionList

from emailsys.client.archive.values import Addition, Folder
from tests.unit.client.opening.recorder import Recorder
from tests.unit.client.screen.screen_case import PATIENCE, Driver, ScreenCase, tries

_TARGET = "https://a.example/" + "x" * 300


def reading_end(path: Path) -> int:
    """Make a named pipe, and open it for reading before it has a writer. Return the file descriptor."""
    if sys.platform == "win32":
        raise SkipTest("Windows has no named pipes that are files")
    os.mkfifo(path)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


class OpeningTests(ScreenCase):
    """A message with HTML, a link and two attachments is the newest."""

    def setUp(self) -> None:
        super().setUp()
        self.recorder = Recorder(self)
        files = b"".join(
            b"--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=%s\r\n\r\nfile\r\n" % name
            for name in (b"a.txt", b"run.sh")
        )
        octets = (
            b"From: Bob <bob@example.org>\r\nSubject: Links\r\nDate: Mon, 09 Mar 2026 11:59:00 +0000\r\n"
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n"
            b"<p><a href='%s'>here</a><img src='http://e/x.png'>\r\n%s--b--\r\n" % (_TARGET.encode(), files)
        )
        self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox")))

    @tries("links", "browser")
    def test_nothing_is_opened_without_a_key_and_an_answer(self) -> None:
        """At 40 columns, too, the question has the whole target."""

        async def steps(driver: Driver) -> None:
            await driver.press("enter")
            await driver.until(lambda: "[1] https://a" in driver.read)
            await driver.press("U")
            await driver.until_screen("ChoiceDialog")
            await driver.press("enter")
            await driver.until_screen("OpenDialog")
            # An Enter that was typed too early is no answer.
            await driver.press("enter", "n")
            await driver.until_screen("MainScreen")
            self.assertEqual(self.recorder.told, [])
            await driver.press("U")
            await driver.until_screen("ChoiceDialog")
            await driver.press("enter")
            await driver.until_screen("OpenDialog")
            await driver.press("y")
            await driver.until(lambda: "Opened https" in driver.said)
            self.assertEqual(self.recorder.told, [["browser", _TARGET]])
            await driver.press("B")
            await driver.until(lambda: "without scripts" in driver.said)

        self.drive(steps, size=(40, 15))
        page = Path(self.recorder.told[-1][1])
        self.assertNotIn("http://e/", page.read_text())
        self.assertEqual(page.stat().st_mode & 0o777, 0o600)

    @tries("links")
    def test_a_mailto_link_is_written_to_in_our_own_composer(self) -> None:
        """No program of the system gets it, no file is attached, and nothing is sent by itself."""
        link = b"mailto:help@example.org?subject=Help%20me&body=Hi&attach=/etc/passwd"
        octets = b"From: b@example.org\r\nSubject: Letter\r\nDate: Mon, 09 Mar 2026 11:59:30 +0000\r\n\r\n%s\r\n" % link
        self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox")))

        async def steps(driver: Driver) -> None:
            await driver.press("enter")
            await driver.until(lambda: "mailto:" in driver.read)
            await driver.press("U")
            await driver.until_screen("ChoiceDialog")
            await driver.press("enter")
            await driver.until_screen("Composer")
            screen = driver.app.screen
            self.assertIn("help@example.org", screen.query_one("#to", Input).value)
            self.assertEqual(screen.query_one("#subject", Input).value, "Help me")
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        self.assertEqual(self.recorder.told, [])
        self.assertEqual(self.network.sent, [])

    @tries("pipe", "print", "attachments")
    def test_messages_and_files_go_to_commands_and_folders(self) -> None:
        """An attachment is opened from a copy, a program never; all are saved together, and Tab completes the path."""
        target = self.folder / "Target folder"
        target.mkdir(parents=True)

        async def choose(driver: Driver, *lines: int) -> None:
            await driver.press("v")
            for title, line in zip(("Attachments", "."), lines, strict=False):
                await driver.until(lambda title=title: title in titles(driver))  # type: ignore[misc]
                driver.app.screen.query_one(OptionList).highlighted = line
                await driver.press("enter")

        def titles(driver: Driver) -> str:
            return "".join(str(one.render()) for one in driver.app.screen.query(".title").results(Label))

        async def answer(driver: Driver, text: str, dialog: str = "InputDialog", *keys: str) -> None:
            await driver.until_screen(dialog)
            line = driver.app.screen.query_one(Input)
            line.value = text
            line.cursor_position = len(text)
            await driver.press(*keys, "enter")

        old = self.mailbox.paths.state / "opened" / "0"
        old.mkdir(parents=True)
        os.utime(old, (0, 0))
        # It has a writer while the command runs.
        running = self.folder / "running"
        end = reading_end(running)
        self.addCleanup(os.close, end)

        async def steps(driver: Driver) -> None:
            # What was opened on another day is removed when the screen starts.
            await driver.until(lambda: not old.exists())
            await choose(driver, 0, 1)
            await driver.until(lambda: "Opened a.txt" in driver.said)
            await choose(driver, 1, 1)
            await driver.until(lambda: "run.sh is a program" in driver.said)
            await choose(driver, 2)
            await answer(driver, str(self.mailbox.paths.accounts), "PathDialog")
            await driver.until(lambda: "File exists" in driver.refusal)
            await answer(driver, str(target)[:-4], "PathDialog", "tab")
            await driver.until(lambda: "2 files" in driver.said)
            await driver.press("vertical_line")
            await answer(driver, f"tee '{self.folder}/piped'")
            await driver.until_screen("TextDialog")
            # A command that does not end keeps no keys.
            await driver.press("q", "vertical_line")
            await answer(driver, f"sh -c 'exec 3>{running}; echo it runs >&3; exec sleep 600'")
            await driver.until(lambda: select.select([end], [], [], 0)[0])
            self.assertEqual(os.read(end, 100), b"it runs\n")
            await driver.press("p")
            await answer(driver, f"dd of={self.folder}/printed")
            await driver.until(lambda: "Printed" in driver.said)
            # Another screen keeps its keys when a command is done.
            await driver.press("vertical_line")
            await answer(driver, f"sh -c 'until test -e {self.folder}/go; do sleep 0.05; done; echo said so'")
            await driver.press("question_mark")
            await driver.until_screen("TextDialog")
            help_screen = driver.app.screen
            (self.folder / "go").touch()
            await driver.until(lambda: "said so" in driver.toasts)
            self.assertIs(driver.app.screen, help_screen)
            await driver.press("q")
            await driver.press("vertical_line")
            await answer(driver, "no-such-program")
            await driver.until(lambda: "there is no such program" in driver.refusal)
            await answer(driver, "false")
            await driver.until(lambda: "failed with exit status 1" in driver.said)

        self.drive(steps)
        # It is stopped when the program ends, by a thread that Python waits for.
        self.assertTrue(select.select([end], [], [], PATIENCE)[0], "the command goes on")
        self.assertEqual(os.read(end, 100), b"")
        (opened,) = self.recorder.told
        self.assertEqual(Path(opened[1]).name, "a.txt")
        self.assertEqual(Path(opened[1]).stat().st_mode & 0o777, 0o400)
        self.assertEqual(sorted(path.name for path in target.iterdir()), ["a.txt", "run.sh"])
        self.assertIn(b"Subject: Links", (self.folder / "piped").read_bytes())
        self.assertIn("Subject: Links", (self.folder / "printed").read_text())
