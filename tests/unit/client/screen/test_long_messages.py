"""A long message opens at once; the rest is read and laid out behind."""

from __future__ import annotations

from typing import Any

from emailsys.client.archive.values import INBOX, Addition, Folder
from emailsys.client.display import message
from emailsys.client.display.message import MessageView, ReceivedAttachment
from emailsys.client.screen import reading
from emailsys.client.screen.message_pieces import _PIECE, pieces
from emailsys.mail.message.mime import parse
from tests.unit.client.screen.screen_case import Driver, ScreenCase

LINES = [f"line {number} of a message that somebody quoted in full" for number in range(8_000)]
LONG = "From: a@example.org\r\nSubject: long\r\nDate: Mon, 9 Mar 2026 11:30:00 +0000\r\n\r\n" + "\r\n".join(LINES)


class LongMessageTests(ScreenCase):
    def test_a_long_message_is_laid_out_as_it_is_scrolled(self) -> None:
        key = self.mailbox.archive.add(Addition(LONG.encode(), Folder("alice", INBOX)))
        sizes: list[int] = []
        stock = message.view

        def view(octets: bytes, *rest: Any, **named: Any) -> MessageView:
            sizes.append(len(octets))
            return stock(octets, *rest, **named)

        self.patch(message, "view", view)

        def shown(driver: Driver) -> str:
            return driver.read + "".join(str(one.visual) for one in driver.reader._more)

        async def steps(driver: Driver) -> None:
            driver.messages.move_cursor(row=[one.key for one in driver.messages.summaries].index(key))
            await driver.press("enter")
            await driver.until(lambda: driver.reader.key == key and "line 0 of" in driver.read)
            await driver.until(lambda: reading._LOADING not in shown(driver))
            self.assertLess(len(shown(driver)), 10 * _PIECE)
            self.assertFalse(driver.reader.at_end)
            for _ in range(100):
                if driver.reader.at_end:
                    break
                driver.reader.scroll_end(animate=False)
                await driver.pilot.pause()
            self.assertTrue(LINES[-1] in shown(driver), "the last line is not there")
            self.assertEqual([line for line in LINES if line not in shown(driver)], [])

        self.drive(steps)
        self.assertEqual(sizes, [reading._BEGINNING, len(LONG)])

    def test_every_character_is_in_one_piece(self) -> None:
        for body in ("", "a", "a\n" * 30_000, "x" * 70_000, "a" * _PIECE + "\nb", "\n" * 50_000, "> q\n" * 9_999 + "e"):
            view = MessageView((), body, (), ("odd",))
            texts = [str(piece.text) for piece in pieces(view, [("Subject", "s")])]
            self.assertLess(max(map(len, texts)), _PIECE + 100)
            self.assertEqual(
                "".join(texts).replace("\n", ""), f"Subject: s{body}defect: odd".replace("\n", ""), len(body)
            )
            if "x" not in body and not body.endswith("\n"):
                self.assertEqual("".join(texts), f"Subject: s\n\n{body}\ndefect: odd\n")

    def test_a_picture_stands_below_the_first_line_that_names_it(self) -> None:
        """A line may name several. A picture that the message does not bring has no place.

        Many programs call the pictures of their HTML attachments, so that `inline` says nothing.
        """
        part = parse(b"Content-Type: image/png\r\n\r\nx")
        files = tuple(
            ReceivedAttachment(number, "p", "image/png", 1, False, part, picture="1x1 pixels")
            for number in ("1.2", "1.3", "1.4", "1.6")
        )
        long = "x" * (_PIECE - 5)
        for body, expected in (
            ("a\n[picture 1.2]", ["a\n[picture 1.2]:1.2", ""]),
            (
                "a [L: picture 1.3] [picture 1.2]\nb [picture 1.3]\n[picture 9]\n[picture 1.5]\n[picture 1.4]\n\nc",
                [
                    "a [L: picture 1.3] [picture 1.2]:1.3 1.2",
                    "b [picture 1.3]\n[picture 9]\n[picture 1.5]\n[picture 1.4]:1.4",
                    "\nc",
                ],
            ),
            (f"{long}[picture 1.4]\nend", [long + "[pict", "ure 1.4]:1.4", "end"]),
        ):
            found = []
            for piece in pieces(MessageView((), body, files, ()), ()):
                text = str(piece.text).rpartition("pixels\n\n")[2].removesuffix("\n")
                found.append(text + (f":{' '.join(piece.pictures)}" if piece.pictures else ""))
            self.assertEqual(found, expected)
