"""Pictures in their places in a message, in terminals that can show them."""

from __future__ import annotations

import sys
from typing import Any, Final

from textual.widgets import Static
from textual_image.widget import HalfcellImage

from emailsys.client.archive.values import Addition, Folder
from emailsys.client.compose.draft import Attachment, Draft
from emailsys.client.compose.message_builder import build
from emailsys.client.screen.terminal_pictures import (
    ShownPicture,
    is_worth_asking,
    picture_maker,
    shows_placeholders,
)
from tests.unit.client.display.test_picture_decoding import claiming, drawn
from tests.unit.client.screen.screen_case import ALICE, BOB, NOW, Driver, ScreenCase

WORDS: Final = ("Logo: picture 1.1.2.2", "logo.png", "stands below", "photo.jpg")


class _Terminal:
    def isatty(self) -> bool:
        return True


class _Odd:
    """Makes the import of what asks the terminal raise what it raises on an odd answer."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "textual_image.renderable":
            raise ZeroDivisionError


def layout(driver: Driver) -> list[str]:
    """What the reader has, from top to bottom: words of the text, and the names of pictures."""
    found = []
    for one in driver.reader.children:
        text = str((one.query_one(Static) if isinstance(one, ShownPicture) else one).visual)
        text = text.rpartition("Attached:")[2].partition("\n")[2] or text
        found += [word for word in WORDS if word in text]
    return found


class TerminalPictureTests(ScreenCase):
    def test_only_terminals_that_name_themselves_are_asked(self) -> None:
        """Within tmux and screen, none is. Without a terminal, nobody is asked."""
        for environment, expected in (
            ({}, False),
            ({"TERM": "dumb"}, False),
            ({"TERM": "xterm-256color"}, False),
            ({"TERM": "xterm-kitty"}, True),
            ({"TERM": "foot-extra"}, True),
            ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, True),
            ({"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(379)"}, True),
            ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-0/default,1,0"}, False),
            ({"TERM": "screen", "STY": "1.x", "KITTY_WINDOW_ID": "1"}, False),
        ):
            self.assertEqual(is_worth_asking(environment), expected, environment)
        # A terminal whose answer raises an exception is one without pictures.
        for name in ("__stdin__", "__stdout__"):
            self.patch(sys, name, _Terminal())
        self.patch(sys, "meta_path", [_Odd(), *sys.meta_path])
        for name in [one for one in sys.modules if one.startswith("textual_image")]:
            self.addCleanup(sys.modules.__setitem__, name, sys.modules.pop(name))
        self.assertIsNone(picture_maker({"TERM": "xterm-kitty"}))
        self.patch(sys, "__stdin__", None)
        self.assertIsNone(picture_maker({"TERM": "xterm-kitty"}))

    def test_an_old_kitty_shows_no_pictures(self) -> None:
        """It knows the protocol, but not the characters that pictures take the place of, and would show boxes."""
        for version, expected in (
            ("kitty(0.26.5)", False),
            ("kitty(0.28.1)", True),
            ("ghostty 1.0.0", True),
            ("", True),
        ):
            self.assertEqual(shows_placeholders(version), expected, version)

    def test_pictures_stand_in_their_places(self) -> None:
        """Below the line that names them, or else below the text. Those that cannot be decoded are only listed.

        The next message has none.
        """
        html = '<p>See <img src="cid:logo@x" alt="Logo"></p><p>What stands below</p>'
        draft = Draft(BOB, [ALICE], subject="Pictures", html=html)
        draft.attachments = [
            Attachment("logo.png", drawn("PNG"), "image/png", "logo@x"),
            Attachment("bomb.png", claiming(50_000, 50_000), "image/png"),
            Attachment("photo.jpg", drawn("JPEG", (1600, 1000)), "image/jpeg"),
        ]
        self.mailbox.archive.add(Addition(build(draft, NOW).octets, Folder("alice", "Inbox")))

        async def steps(driver: Driver) -> None:
            make: Any = HalfcellImage
            driver.app.picture_maker = make
            await driver.press("enter")
            await driver.until(lambda: len(driver.reader.query(HalfcellImage)) == 2)
            shown = [str(one.query_one(Static).visual) for one in driver.reader.query(ShownPicture)]
            self.assertEqual([one.split()[1] for one in shown], ["logo.png", "photo.jpg"])
            self.assertIn("bomb.png  image/png", driver.read)
            # The plain text names none; the HTML does.
            self.assertEqual(layout(driver), ["stands below", "logo.png", "photo.jpg"])
            await driver.press("H")
            placed = ["Logo: picture 1.1.2.2", "logo.png", "stands below", "photo.jpg"]
            await driver.until(lambda: layout(driver) == placed)
            # In its own proportions: a cell is twice as high as wide. The photo is below what is seen, and has no size.
            logo = driver.reader.query(HalfcellImage).first()
            await driver.until(lambda: logo.size.area)
            self.assertEqual(logo.size.width, 6)
            self.assertLess(abs(logo.size.width / logo.size.height - 3.2), 0.7)
            await driver.press("j")
            await driver.until(lambda: "the text of Third" in driver.read)
            self.assertEqual(len(driver.reader.query(HalfcellImage)), 0)

        self.drive(steps)
