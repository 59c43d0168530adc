"""Pictures of the full screen, line by line, in four sizes of the terminal, with one program for all of them.

The expected pictures are in `screens/`. After an intended change, draw them again and read the diff before you commit:
`EMAILSYS_DRAW_SCREENS=1 trial tests.unit.client.screen.test_pictures`
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from textual.widgets import Input

from emailsys.client.archive.values import Flag, Folder
from emailsys.client.contacts.book import Contact
from emailsys.mail.address import parse
from tests.unit.client.screen.screen_case import Driver, ScreenCase
from tests.upstream import screen_update

SCREENS: Final = Path(__file__).parent / "screens"
# Environment variable: draw the expected pictures before comparing.
_DRAW: Final = "EMAILSYS_DRAW_SCREENS"
SIZES: Final = ((40, 15), (80, 24), (120, 40), (200, 60))


def drawn(app: Any) -> str:
    """Return the text on the screen, without colours."""
    width, height = app.size
    console = Console(width=width, height=height, file=io.StringIO(), record=True, legacy_windows=False)
    console.print(screen_update(app))
    lines = [line.rstrip() for line in console.export_text(styles=False).split("\n")]
    return "\n".join(lines).rstrip("\n") + "\n"


def draw(path: Path, app: Any) -> None:
    """Write an expected picture."""
    SCREENS.mkdir(exist_ok=True)
    path.write_text(drawn(app), "utf-8")


def drawn_before(path: Path) -> str:
    """Return an expected picture."""
    return path.read_text("utf-8")


class PictureTests(ScreenCase):
    """Alice's Inbox of ScreenCase, in each terminal size."""

    def setUp(self) -> None:
        super().setUp()
        self.mailbox.archive.set_flags([self.second], Flag.FLAGGED | Flag.ANSWERED)
        self.mailbox.archive.set_tags([self.first], ["work"])
        self.mailbox.archive.add_folder(Folder("alice", "Projects"))

    async def compare(self, driver: Driver, name: str) -> None:
        """Compare the screen in each size of the terminal. It begins and ends in the smallest."""
        for size in (*SIZES[1:], SIZES[0]):
            await driver.pilot.resize_terminal(*size)
            await self._compare_one(driver, SCREENS / f"{name}-{size[0]}x{size[1]}.txt")

    async def _compare_one(self, driver: Driver, path: Path) -> None:
        if os.environ.get(_DRAW):
            # Wait until everything is drawn: the footer comes last.
            await driver.pilot.pause(1.0)
            draw(path, driver.app)
        expected = drawn_before(path)
        # On a busy machine the last change may not be drawn yet. If it never is, the next line shows the difference.
        with contextlib.suppress(self.failureException):
            await driver.until(lambda: drawn(driver.app) == expected)
        self.assertEqual(drawn(driver.app).split("\n"), expected.split("\n"), path.name)

    def test_the_list_and_a_message(self) -> None:
        """A small screen shows the folder pane on request, a large one always. The current line stays in view."""

        async def steps(driver: Driver) -> None:
            await driver.until(lambda: len(driver.messages.summaries) == 3)
            await self.compare(driver, "list")
            await driver.press("j", "enter")
            await driver.until(lambda: "the text of Second" in driver.read)
            await self.compare(driver, "message")
            await driver.press("c")
            await self.compare(driver, "folders")

        self.drive(steps, size=SIZES[0])

    def test_windows(self) -> None:
        """Help, structure, attachments, move, search, contacts, and the actions for the selection look as expected."""
        team = tuple(parse(f"{name}@x.example") for name in ("ann", "ben", "cy"))
        self.mailbox.contacts.put([Contact("zoe", "Zoë", team[:1]), Contact("team", "", team, is_group=True)])

        async def steps(driver: Driver) -> None:
            await driver.until(lambda: len(driver.messages.summaries) == 3)
            await driver.press("equals_sign", "j")
            for key, window, name in (
                ("question_mark", "TextDialog", "help"),
                ("V", "TextDialog", "structure"),
                ("v", "ChoiceDialog", "attachments"),
                ("s", "ChoiceDialog", "move"),
                ("slash", "InputDialog", "search"),
                ("A", "ContactBookDialog", "contacts"),
            ):
                await driver.press(key)
                await driver.until_screen(window)
                await self.compare(driver, name)
                await driver.press("escape")
                await driver.until_screen("MainScreen")
            await driver.press("t", "semicolon")
            await driver.until_screen("SelectionDialog")
            await self.compare(driver, "for-all")
            await driver.press("escape", "t")

        self.drive(steps, size=SIZES[0])

    def test_writing(self) -> None:
        """A reply with a suggestion for Cc looks as expected."""

        async def steps(driver: Driver) -> None:
            await driver.press("equals_sign", "r")
            await driver.until_screen("Composer")
            await self.compare(driver, "answer")
            driver.app.screen.query_one("#cc", Input).focus()
            await driver.pilot.pause()
            await driver.type("bo")
            field: Any = driver.app.screen.query_one("#cc").parent
            await driver.until(lambda: field.is_offering)
            await self.compare(driver, "offered")
            await driver.press("escape", "escape")
            await driver.until_screen("MainScreen")

        self.drive(steps, size=SIZES[0])
