"""Moving and marking messages from the full screen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from emailsys.client.archive.values import ARCHIVE, OUTBOX, TRASH, ArchiveError, Flag, Place, Summary
from emailsys.client.desk import Desk
from emailsys.client.reading import safe_line
from emailsys.client.screen.dialogs import Ask, Choose, Confirm

if TYPE_CHECKING:
    from emailsys.client.screen.panes import Panes


class Handling:
    """What is done with a message that stays on the desk."""

    def __init__(self, desk: Desk, screen: Panes) -> None:
        self._desk = desk
        self._screen = screen
        #: What was deleted, the latest last: where it was.
        self._deleted: list[tuple[str, Place]] = []

    async def _gone(self, key: str, words: str) -> None:
        self._screen.messages.drop(key)
        if self._screen.reader.key == key:
            self._screen.reader.blank()
        if self._screen.focused is self._screen.reader:
            self._screen.set_focus(self._screen.messages)
        self._screen.tell(words)
        await self._screen.count()

    async def delete(self, summary: Summary) -> None:
        """To Trash; what is there goes for good, after a question."""
        if summary.place.folder == TRASH:
            if not await self._screen.app.push_screen_wait(Confirm("Remove it for good? There is no way back.")):
                return
            await asyncio.to_thread(self._desk.delete, [summary.key])
            await self._gone(summary.key, "gone for good")
            return
        self._deleted += await asyncio.to_thread(self._desk.delete, [summary.key])
        await self._gone(summary.key, "moved to Trash: u brings it back")

    async def undelete(self) -> None:
        """What is under the cursor in Trash, else what was deleted last."""
        current = self._screen.messages.current
        if current is not None and current.place.folder == TRASH:
            found = await asyncio.to_thread(self._desk.undelete, [current.key])
            await self._gone(current.key, f"it is in {found[0].place.folder} again")
            return
        if not self._deleted:
            self._screen.tell("nothing was deleted")
            return
        key, place = self._deleted.pop()
        await asyncio.to_thread(self._desk.archive.move, [key], place)
        self._screen.tell(f"it is in {place.folder} again")
        await self._screen.reload()

    async def move(self, summary: Summary) -> None:
        """To a folder that is chosen."""
        counts = await asyncio.to_thread(self._desk.archive.folders)
        places = [one.place for one in counts if one.place != summary.place and one.place.folder != OUTBOX]
        places.sort(key=lambda place: place.account != summary.place.account)
        lines = [safe_line(f"{place.account} · {place.folder}") for place in places]
        number = await self._screen.app.push_screen_wait(Choose("Move to which folder?", lines))
        if number is not None:
            await self._to(summary, places[number])

    async def archive(self, summary: Summary) -> None:
        """To the folder Archive of its account."""
        await self._to(summary, Place(summary.place.account, ARCHIVE))

    async def _to(self, summary: Summary, place: Place) -> None:
        if summary.place.folder == OUTBOX:
            raise ArchiveError("it waits to be sent; d stops it and makes it a draft")
        if summary.place == place:
            self._screen.tell(f"it is in {place.folder}")
            return
        await asyncio.to_thread(self._desk.archive.move, [summary.key], place)
        await self._gone(summary.key, f"moved to {place.folder}")

    async def toggle(self, summary: Summary, flag: Flag) -> None:
        """Set a flag, or clear it."""
        if summary.flags & flag:
            await asyncio.to_thread(self._desk.archive.set_flags, [summary.key], Flag.NONE, flag)
        else:
            await asyncio.to_thread(self._desk.archive.set_flags, [summary.key], flag)
        await self._screen.renew(summary.key)

    async def tag(self, summary: Summary) -> None:
        """Add and take off tags."""
        known = await asyncio.to_thread(self._desk.archive.tags)
        hint = f"+add -remove; in use: {', '.join(sorted(known)) or 'none yet'}"
        answer = await self._screen.app.push_screen_wait(Ask("Tags", " ".join(summary.tags), hint))
        if answer is None:
            return
        words = answer.replace("#", " ").split()
        signed = [word for word in words if word[0] in "+-"]
        plain = {word for word in words if word[0] not in "+-"}
        # The line shows the tags that are there: those that were taken out of it are meant to go.
        add = plain | {word[1:] for word in signed if word[0] == "+"}
        remove = (set(summary.tags) - plain) | {word[1:] for word in signed if word[0] == "-"}
        await asyncio.to_thread(self._desk.archive.set_tags, [summary.key], add, remove - add)
        await self._screen.renew(summary.key)
