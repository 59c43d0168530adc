"""Reading actions of the full screen: open a message, and show its headers, its other form and its parts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from emailsys.client.archive.values import Flag, Summary
from emailsys.client.display.list_text import correspondent, size_text
from emailsys.client.display.message import MessageView, ReceivedAttachment, find_part
from emailsys.client.display.readable import readable_headers, readable_structure, readable_view
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.attachment_actions import AttachmentActions
from emailsys.client.screen.dialogs import ChoiceDialog, TextDialog
from emailsys.client.screen.own_terminal import with_terminal
from emailsys.client.screen.panes import Panes
from emailsys.client.screen.parts_text import parts_text, view_text
from emailsys.client.text.terminal import safe_line

if TYPE_CHECKING:
    from PIL.Image import Image

# Octets of a message that are shown at once. The rest is read behind: 1 MB of HTML takes half a second.
_BEGINNING: Final = 100_000
# Pictures of a message that are shown. All of them are in the list of attachments.
_MAX_PICTURES: Final = 12
# Shown until a message has been read.
_NO_TEXT: Final = MessageView((), "", (), ())
_LOADING: Final = "the rest of the message is being read"


class ReadingActions:
    """Shows messages in the reader. The reader always shows the message that was asked for last."""

    def __init__(self, mailbox: UserMailbox, screen: Panes, attachments: AttachmentActions) -> None:
        self._mailbox = mailbox
        self._screen = screen
        self._attachments = attachments
        self._html = self._every_header = False
        # Counts what the reader was asked for. A result of an earlier request is dropped.
        self._asked = 0
        # One picture is decoded at a time: a large one takes much memory, also after the message was left.
        self._decoding = asyncio.Lock()

    @property
    def is_html(self) -> bool:
        """Whether the HTML part is shown, and not the plain text."""
        return self._html

    def open(self, summary: Summary) -> None:
        """Show the heading of a message at once, and its text when it has been read."""
        self._html = self._every_header = False
        self._screen.reader.close()
        self._start(summary)
        if summary.is_unread:
            seen = replace(summary, flags=summary.flags | Flag.SEEN)
            self._screen.redraw([seen])
            self._screen.start_action(lambda: self._mark_read(seen))

    async def _mark_read(self, seen: Summary) -> None:
        await self._screen.change(lambda: self._mailbox.archive.set_flags([seen.key], Flag.SEEN), marked=[seen])
        await self._screen.update_counts()

    def switch_headers(self, summary: Summary) -> None:
        """Switch between all header fields and the usual ones."""
        self._every_header = not self._every_header
        self._start(summary)

    def switch_html(self, summary: Summary) -> None:
        """Switch between the HTML part, as text, and the plain text."""
        self._html = not self._html
        self._start(summary)

    def _start(self, summary: Summary) -> None:
        if self._screen.reader.key != summary.key:
            self._screen.reader.show(summary.key, _NO_TEXT, _heading(summary), is_whole=False)
        self._screen.set_focus(self._screen.reader)
        self._asked = asked = self._asked + 1
        self._screen.start_action(lambda: self._read(summary, asked))

    def _is_wanted(self, key: str, asked: int) -> bool:
        return asked == self._asked and self._screen.reader.key == key

    async def _read(self, summary: Summary, asked: int) -> None:
        try:
            await self._read_and_show(summary, asked)
        except Exception:
            if self._is_wanted(summary.key, asked):
                # Its heading is all that there is: the keys that wait for the rest go on.
                self._screen.reader.show(summary.key, _NO_TEXT, _heading(summary))
            raise

    async def _read_and_show(self, summary: Summary, asked: int) -> None:
        reader, root, key, html = self._screen.reader, self._mailbox.archive.root, summary.key, self._html
        octets = await asyncio.to_thread(self._mailbox.archive.octets, key)
        is_long = len(octets) > _BEGINNING
        if is_long:
            begins = await asyncio.to_thread(readable_view, root, key, octets[:_BEGINNING], html)
            if not self._is_wanted(key, asked):
                return
            reader.show(key, replace(begins, attachments=(), defects=(_LOADING,)), begins.headers, is_whole=False)
            # Reading the rest competes with the drawing for the interpreter's lock.
            drawn = asyncio.Event()
            self._screen.call_after_refresh(drawn.set)
            await drawn.wait()
        seen = await asyncio.to_thread(readable_view, root, key, octets, html, opener=self._mailbox.opener())
        headers = seen.headers
        if self._every_header:
            headers = tuple(await asyncio.to_thread(readable_headers, root, key, octets))
        if self._is_wanted(key, asked):
            reader.show(key, seen, headers, keep_position=is_long)
            await self._show_pictures(seen, key, asked)

    async def _show_pictures(self, view: MessageView, key: str, asked: int) -> None:
        """Show the pictures of a message in their places, if the terminal can."""
        pictures = [one for one in view.attachments if one.picture]
        make = await self._screen.mail_app.known_picture_maker() if pictures else None
        if make is None:
            return
        from emailsys.client.screen.terminal_pictures import ShownPicture

        for one in pictures[:_MAX_PICTURES]:
            async with self._decoding:
                if not self._is_wanted(key, asked):
                    return
                image = await asyncio.to_thread(_decoded, one)
            if not self._is_wanted(key, asked):
                return
            if image is not None:
                shown = ShownPicture(f"{one.number}  {one.name}  {one.kind}", image, make)
                self._screen.reader.add_picture(one.number, shown)

    async def unlock(self, summary: Summary) -> None:
        """Let gpg ask for the passphrase of a key, and show the message again."""
        octets = await asyncio.to_thread(self._mailbox.archive.octets, summary.key)
        opener = self._mailbox.opener(ask=True)
        work = partial(readable_view, self._mailbox.archive.root, summary.key, octets, opener=opener)
        seen = await with_terminal(self._screen.app, work)
        if seen.is_locked:
            self._screen.show_status("The passphrase was not entered.", error=True)
        elif not seen.protection:
            self._screen.show_status("The message is not encrypted.")
        self._start(summary)

    async def structure(self, summary: Summary) -> None:
        """Show the MIME structure of a message."""
        octets = await asyncio.to_thread(self._mailbox.archive.octets, summary.key)
        root, opener = self._mailbox.archive.root, self._mailbox.opener()
        rows = await asyncio.to_thread(readable_structure, root, summary.key, octets, opener)
        view = await asyncio.to_thread(readable_view, root, summary.key, octets, opener=opener)
        self._screen.app.push_screen(TextDialog("Structure", parts_text(rows, view.defects)))

    async def choose_part(self, summary: Summary) -> None:
        """Let the user choose any part of a message, and show or save it."""
        app, root, opener = self._screen.app, self._mailbox.archive.root, self._mailbox.opener()
        octets = await asyncio.to_thread(self._mailbox.archive.octets, summary.key)
        rows = await asyncio.to_thread(readable_structure, root, summary.key, octets, opener)
        lines = [
            f"{'  ' * min(row.level, 20)}{row.number}  {row.content_type}  {row.name or size_text(row.raw_octets)}"
            for row in rows
        ]
        chosen = await app.push_screen_wait(ChoiceDialog("Parts", lines, "Press Enter to show or save."))
        if chosen is None:
            return
        number = rows[chosen].number
        what = await app.push_screen_wait(ChoiceDialog(f"Part {number}", ["Show it", "Save it"]))
        part = await asyncio.to_thread(find_part, octets, number, opener)
        if what == 0:
            view = await asyncio.to_thread(readable_view, root, summary.key, octets, False, number, opener)
            if view is not None:
                app.push_screen(TextDialog(f"Part {number}", view_text(view)))
        elif what == 1 and part is not None:
            await self._attachments.ask_and_save([part])


def _decoded(picture: ReceivedAttachment) -> Image | None:
    # Pillow is imported only where it is used.
    from emailsys.client.display.picture_decoding import decode_picture

    return decode_picture(picture.content())


def _heading(summary: Summary) -> tuple[tuple[str, str], ...]:
    return (
        ("From", safe_line(correspondent(summary))),
        ("Date", f"{summary.date:%Y-%m-%d %H:%M} UTC"),
        ("Subject", safe_line(summary.subject)),
    )
