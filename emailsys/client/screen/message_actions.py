"""Moving and marking messages from the full screen: the one under the cursor, or all that are selected."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from emailsys.client.archive.values import (
    ARCHIVE,
    OUTBOX,
    TRASH,
    ArchiveError,
    Flag,
    NoSuchMessage,
    Place,
    Summary,
)
from emailsys.client.display.list_text import counted
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.dialogs import ChoiceDialog, ConfirmDialog, InputDialog
from emailsys.client.screen.panes import Panes
from emailsys.client.text.terminal import safe_line


class MessageActions:
    """What is done with messages that stay on the desk."""

    def __init__(self, mailbox: UserMailbox, screen: Panes) -> None:
        self._mailbox = mailbox
        self._screen = screen
        #: What was deleted or moved together, the latest last: where each was.
        self._moved: list[list[tuple[str, Place]]] = []

    async def _gone(self, summaries: Iterable[Summary], words: str) -> None:
        """These are not in the list any more."""
        keys = {one.key for one in summaries}
        screen = self._screen
        if screen.shown is not None:
            screen.selection.of(screen.shown).difference_update(keys)
        screen.messages.drop(keys)
        if screen.reader.key in keys:
            if screen.focused is screen.reader:
                screen.set_focus(screen.messages)
            screen.reader.close()
        screen.tell(words)
        if screen.messages.summaries:
            await screen.count()
        else:
            # What was not loaded yet may follow.
            await screen.reload()

    async def delete(self, summaries: Sequence[Summary]) -> None:
        """To Trash; what is there goes for good, after a question."""
        trashed = [one for one in summaries if one.place.folder == TRASH]
        staying = [one for one in summaries if one.place.folder != TRASH]
        if staying:
            self._moved.append(await asyncio.to_thread(self._mailbox.delete, [one.key for one in staying]))
            await self._gone(staying, f"{_moved(staying)} to Trash: u brings {_them(staying)} back")
        if not trashed:
            return
        question = ConfirmDialog(f"Remove {_which(trashed)} for good? There is no way back.")
        if await self._screen.app.push_screen_wait(question):
            await asyncio.to_thread(self._mailbox.delete, [one.key for one in trashed])
            await self._gone(trashed, "gone for good")

    async def undelete(self, summaries: Sequence[Summary]) -> None:
        """Those of the messages that are in Trash; where none is, what was deleted or moved last."""
        trashed = [one for one in summaries if one.place.folder == TRASH]
        if trashed:
            found = await asyncio.to_thread(self._mailbox.undelete, [one.key for one in trashed])
            places = sorted({one.place.folder for one in found})
            await self._gone(trashed, f"{_they_are(trashed)} in {' and '.join(places)} again")
            return
        if not self._moved:
            self._screen.tell("nothing was deleted or moved")
            return
        back = await asyncio.to_thread(self._put_back, self._moved.pop())
        self._screen.tell(f"{_they_are(back)} in {' and '.join(sorted({one.folder for one in back}))} again")
        await self._screen.reload()

    def _put_back(self, moved: Sequence[tuple[str, Place]]) -> list[Place]:
        """Move messages to where they were; returns the place of each. @raise ArchiveError: none is there any more."""
        by_place: dict[Place, list[str]] = {}
        for key, place in moved:
            try:
                by_place.setdefault(place, []).append(self._mailbox.archive.get(key).key)
            except NoSuchMessage:
                # Removed for good meanwhile, here or by another program.
                continue
        for place, keys in by_place.items():
            self._mailbox.archive.move(keys, place)
        back = [place for place, keys in by_place.items() for _ in keys]
        if not back:
            raise ArchiveError("what was deleted or moved last is gone for good")
        return back

    async def move(self, summaries: Sequence[Summary]) -> None:
        """To a folder that is chosen."""
        counts = await asyncio.to_thread(self._mailbox.archive.folders)
        origins = {one.place for one in summaries}
        places = [one.place for one in counts if {one.place} != origins and one.place.folder != OUTBOX]
        places.sort(key=lambda place: place.account not in {one.account for one in origins})
        lines = [safe_line(f"{place.account} · {place.folder}") for place in places]
        title = f"Move {_which(summaries)} to which folder?"
        number = await self._screen.app.push_screen_wait(ChoiceDialog(title, lines))
        if number is not None:
            await self._to(summaries, [places[number]] * len(summaries))

    async def archive(self, summaries: Sequence[Summary]) -> None:
        """Each to the folder Archive of its account."""
        await self._to(summaries, [Place(one.place.account, ARCHIVE) for one in summaries])

    async def _to(self, summaries: Sequence[Summary], places: Sequence[Place]) -> None:
        if any(one.place.folder == OUTBOX for one in summaries):
            raise ArchiveError(f"{_they_are(summaries)} waiting to be sent; d stops that and makes a draft")
        moves = [(one, place) for one, place in zip(summaries, places, strict=True) if one.place != place]
        folders = " and ".join(sorted({place.folder for place in places}))
        if not moves:
            self._screen.tell(f"{_they_are(summaries)} in {folders}")
            return
        for place in dict.fromkeys(place for _, place in moves):
            keys = [one.key for one, target in moves if target == place]
            await asyncio.to_thread(self._mailbox.archive.move, keys, place)
        gone = [one for one, _ in moves]
        self._moved.append([(one.key, one.place) for one in gone])
        await self._gone(gone, f"{_moved(gone)} to {folders}: u brings {_them(gone)} back")

    async def toggle(self, summaries: Sequence[Summary], flag: Flag) -> None:
        """Set a flag where one of them does not bear it; where all do, clear it."""
        keys = [one.key for one in summaries]
        if all(one.flags & flag for one in summaries):
            await asyncio.to_thread(self._mailbox.archive.set_flags, keys, Flag.NONE, flag)
        else:
            await asyncio.to_thread(self._mailbox.archive.set_flags, keys, flag)
        await self._screen.renew(keys)

    async def tag(self, summaries: Sequence[Summary]) -> None:
        """Add and take off tags."""
        known = await asyncio.to_thread(self._mailbox.archive.tags)
        hint = f"+add -remove; in use: {', '.join(sorted(known)) or 'none yet'}"
        common = set.intersection(*(set(one.tags) for one in summaries))
        title = "Tags" if len(summaries) == 1 else f"Tags that all {len(summaries):,} have"
        answer = await self._screen.app.push_screen_wait(InputDialog(title, " ".join(sorted(common)), hint))
        if answer is None:
            return
        words = answer.replace("#", " ").split()
        signed = [word for word in words if word[0] in "+-"]
        plain = {word for word in words if word[0] not in "+-"}
        # The line shows the tags that are there: those that were taken out of it are meant to go.
        add = plain | {word[1:] for word in signed if word[0] == "+"}
        remove = (common - plain) | {word[1:] for word in signed if word[0] == "-"}
        keys = [one.key for one in summaries]
        await asyncio.to_thread(self._mailbox.archive.set_tags, keys, add, remove - add)
        await self._screen.renew(keys)


def _them(several: Sequence[object]) -> str:
    return "it" if len(several) == 1 else "them"


def _they_are(several: Sequence[object]) -> str:
    return "it is" if len(several) == 1 else "they are"


def _which(several: Sequence[object]) -> str:
    return "it" if len(several) == 1 else counted(len(several))


def _moved(several: Sequence[object]) -> str:
    return "moved" if len(several) == 1 else f"{counted(len(several))} moved"
