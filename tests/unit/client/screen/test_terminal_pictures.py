"""Pictures in their places in a message, in terminals that can show them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from textual.widgets import Static
from textual_image import widget
from textual_image.widget import HalfcellImage, TGPImage

from emailsys.client.archive.values import Addition, Folder
from emailsys.client.compose.draft import Attachment, Draft
from emailsys.client.compose.message_builder import build
from emailsys.client.screen import app as screen_app
from emailsys.client.screen import terminal_pictures
from emailsys.client.screen.program import MailProgram
from emailsys.client.screen.terminal_pictures import (
    QUESTION,
    ReplyFilter,
    ShownPicture,
    ask_terminal,
    is_worth_asking,
    shows_placeholders,
)
from tests.unit.client.display.test_picture_decoding import claiming, drawn
from tests.unit.client.screen.screen_case import ALICE, BOB, NOW, Driver, ScreenCase

#: The reply of a terminal with the graphics of kitty.
KITTY: Final = "\x1b_Gi=1;OK\x1b\\"
WORDS: Final = ("Logo: picture 1.1.2.2", "logo.png", "stands below", "photo.jpg")


class _Terminal:
    def isatty(self) -> bool:
        return True


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
        self.patch(terminal_pictures, "filter_input", self.fail)
        self.patch(sys, "__stdout__", _Terminal())
        self.patch(sys, "__stdin__", None)
        app: Any = SimpleNamespace()
        ask_terminal(app, {"TERM": "xterm-kitty"})
        self.assertEqual(vars(app), {})

    def asked(self) -> tuple[Any, Callable[[str], str]]:
        """Let a program ask a terminal. Return the program, and the filter of its input."""
        filters: list[Callable[[str], str]] = []
        self.patch(terminal_pictures, "filter_input", filters.append)
        for name in ("__stdin__", "__stdout__"):
            self.patch(sys, name, _Terminal())
        app: Any = SimpleNamespace(call_later=lambda told, maker: told(maker))
        app.terminal_replied = lambda maker: setattr(app, "picture_maker", maker)
        ask_terminal(app, {"TERM": "xterm-kitty"})
        self.assertEqual(app.terminal_question, QUESTION)
        return app, filters[0]

    def test_replies_say_whether_the_terminal_shows_pictures(self) -> None:
        """An exception of the library that draws them means that there are no pictures."""
        cells: list[object] = []

        def import_pictures(cell: object) -> ModuleType:
            cells.append(cell)
            return widget

        self.patch(terminal_pictures, "import_pictures", import_pictures)
        for replies, expected in (
            (f"{KITTY}\x1bP>|kitty(0.35.2)\x1b\\\x1b[6;20;10t\x1b[?62;c", TGPImage),
            (f"{KITTY}\x1bP>|kitty(0.26.5)\x1b\\\x1b[?62;c", None),
            ("\x1b_Gi=1;ENOTSUPPORTED\x1b\\\x1b[?62;c", None),
            ("\x1b[?62;22c", None),
        ):
            app, take_out = self.asked()
            self.assertEqual((take_out(replies), app.picture_maker), ("", expected), replies)
        app, take_out = self.asked()
        self.assertEqual((take_out("\x1b[?62;4;22c"), cells), ("", [(10, 20), None]))
        self.assertTrue(issubclass(app.picture_maker, widget.sixel.Image))
        self.patch(terminal_pictures, "import_pictures", self.fail)
        app, take_out = self.asked()
        self.assertEqual((take_out("\x1b[?62;4;22c"), app.picture_maker), ("", None))

    def test_late_replies_are_no_keys(self) -> None:
        """Wherever a slow line cuts them, and whatever is typed between them."""
        replies = [KITTY, "\x1bP>|kitty(0.35.2)\x1b\\", "\x1b[6;20;10t", "\x1b[?62;c"]
        found = {"graphics": "i=1;OK", "version": "kitty(0.35.2)", "height": "20", "width": "10", "attributes": "62;"}
        sent = "j" + "\x1b[B".join(replies) + "\x1b[1;5A"
        for cut in range(1, len(sent)):
            if sent[cut - 1] == "\x1b":
                # Escape alone is a key.
                continue
            answers: list[Mapping[str, str]] = []
            take_out = ReplyFilter(answers.append, lambda: 0.0)
            left = take_out(sent[:cut]) + take_out(sent[cut:])
            self.assertEqual((left, answers), ("j\x1b[B\x1b[B\x1b[B\x1b[1;5A", [found]), cut)
            # Nothing was asked for again.
            self.assertEqual(take_out("\x1b[?62;c"), "\x1b[?62;c")

    def test_keys_that_begin_as_replies_do_act_at_last(self) -> None:
        """Alt with `_` begins as a reply. Escape never waits."""
        now = 0.0
        take_out = ReplyFilter(self.fail, lambda: now)
        self.assertEqual([take_out(text) for text in ("\x1b", "a\x1b_", "b", "\x1b_")], ["\x1b", "a", "\x1b_b", ""])
        now = 11.0
        self.assertEqual([take_out(text) for text in ("x", "\x1b_", "\x1b[?1")], ["\x1b_x", "\x1b_", "\x1b[?1"])

    def test_the_terminal_is_asked_when_the_program_runs(self) -> None:
        """A message that is opened before the reply gets its pictures when it comes."""
        written: list[str] = []
        self.patch(screen_app, "write_to_terminal", lambda app, text: written.append(text))
        self.patch(MailProgram, "terminal_question", QUESTION)
        draft = Draft(BOB, [ALICE], subject="Picture", text="A logo")
        draft.attachments = [Attachment("logo.png", drawn("PNG"), "image/png")]
        self.mailbox.archive.add(Addition(build(draft, NOW).octets, Folder("alice", "Inbox")))

        async def steps(driver: Driver) -> None:
            self.assertEqual(written, [QUESTION])
            await driver.press("enter")
            await driver.until(lambda: "logo.png" in driver.read)
            self.assertEqual(len(driver.reader.query(HalfcellImage)), 0)
            make: Any = HalfcellImage
            driver.app.terminal_replied(make)
            await driver.until(lambda: len(driver.reader.query(HalfcellImage)) == 1)

        self.drive(steps)

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
