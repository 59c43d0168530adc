"""Message actions of the full screen: delete, move, flag and tag the current message or the selection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from emailsys.client.archive.values import (
    ARCHIVE,
    OUTBOX,
    TRASH,
    ArchiveError,
    Flag,
    Folder,
    NoSuchMessage,
    Summary,
)
from emailsys.client.display.list_text import message_count
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.dialogs import ChoiceDialog, ConfirmDialog, InputDialog
from emailsys.client.screen.panes import Panes
from emailsys.client.text.terminal import safe_line


class MessageActions:
    """Deletes, moves, flags and tags messages, and undoes the last delete or move."""

    def __init__(self, mailbox: UserMailbox, screen: Panes) -> None:
        self._mailbox = mailbox
        self._screen = screen
        #: Undo stack: for each delete or move, the keys with their former folders.
        self._undo_stack: list[list[tuple[str, Folder]]] = []

    async def _remove_from_list(self, summaries: Iterable[Summary], words: str) -> None:
        """Remove messages from the list, and show what happened to them."""
        keys = {one.key for one in summaries}
        screen = self._screen
        if screen.source is not None:
            screen.selection.of(screen.source).difference_update(keys)
        screen.messages.drop(keys)
        if screen.reader.key in keys:
            if screen.focused is screen.reader:
                screen.set_focus(screen.messages)
            screen.reader.close()
        screen.show_status(words)
        if screen.messages.summaries:
            await screen.update_counts()
        else:
            # Messages that were not loaded yet may follow.
            await screen.reload()

    async def delete(self, summaries: Sequence[Summary]) -> None:
        """Move messages to Trash. Delete those in Trash for good, after a question."""
        trashed = [one for one in summaries if one.folder.name == TRASH]
        staying = [one for one in summaries if one.folder.name != TRASH]
        if staying:
            self._undo_stack.append(await asyncio.to_thread(self._mailbox.delete, [one.key for one in staying]))
            await self._remove_from_list(staying, f"{_moved(staying)} to Trash. u brings {_them(staying)} back.")
        if not trashed:
            return
        question = ConfirmDialog(f"Delete {_subject(trashed)} for good? This cannot be undone.")
        if await self._screen.app.push_screen_wait(question):
            await asyncio.to_thread(self._mailbox.delete, [one.key for one in trashed])
            await self._remove_from_list(trashed, f"{_counted(trashed)} deleted for good.")

    async def undelete(self, summaries: Sequence[Summary]) -> None:
        """Restore the messages that are in Trash. If none is, undo the last delete or move."""
        trashed = [one for one in summaries if one.folder.name == TRASH]
        if trashed:
            found = await asyncio.to_thread(self._mailbox.undelete, [one.key for one in trashed])
            folders = sorted({one.folder.name for one in found})
            await self._remove_from_list(trashed, f"{_moved(trashed)} back to {' and '.join(folders)}.")
            return
        if not self._undo_stack:
            self._screen.show_status("There is nothing to undo: no message was deleted or moved.")
            return
        back = await asyncio.to_thread(self._undo_move, self._undo_stack.pop())
        self._screen.show_status(f"{_moved(back)} back to {' and '.join(sorted({one.name for one in back}))}.")
        await self._screen.reload()

    def _undo_move(self, moved: Sequence[tuple[str, Folder]]) -> list[Folder]:
        """Move messages back to their former folders, and return these.

        @raise ArchiveError: all of the messages were deleted for good.
        """
        by_folder: dict[Folder, list[str]] = {}
        for key, folder in moved:
            try:
                by_folder.setdefault(folder, []).append(self._mailbox.archive.get(key).key)
            except NoSuchMessage:
                # Deleted for good since then, here or by another program.
                continue
        for folder, keys in by_folder.items():
            self._mailbox.archive.move(keys, folder)
        back = [folder for folder, keys in by_folder.items() for _ in keys]
        if not back:
            raise ArchiveError("The last delete or move cannot be undone: its messages were deleted for good.")
        return back

    async def move(self, summaries: Sequence[Summary]) -> None:
        """Move messages to a folder that the user chooses."""
        counts = await asyncio.to_thread(self._mailbox.archive.folders)
        origins = {one.folder for one in summaries}
        folders = [one.folder for one in counts if {one.folder} != origins and one.folder.name != OUTBOX]
        folders.sort(key=lambda folder: folder.account not in {one.account for one in origins})
        lines = [safe_line(f"{folder.account} · {folder.name}") for folder in folders]
        title = f"Folder to move {_subject(summaries)} to"
        number = await self._screen.app.push_screen_wait(ChoiceDialog(title, lines))
        if number is not None:
            await self._move_to(summaries, [folders[number]] * len(summaries))

    async def archive(self, summaries: Sequence[Summary]) -> None:
        """Move each message to the folder Archive of its account."""
        await self._move_to(summaries, [Folder(one.folder.account, ARCHIVE) for one in summaries])

    async def _move_to(self, summaries: Sequence[Summary], folders: Sequence[Folder]) -> None:
        if any(one.folder.name == OUTBOX for one in summaries):
            raise ArchiveError("Messages in the outbox cannot be moved. Press d to stop them, which makes them drafts.")
        moves = [(one, folder) for one, folder in zip(summaries, folders, strict=True) if one.folder != folder]
        names = " and ".join(sorted({folder.name for folder in folders}))
        if not moves:
            self._screen.show_status(f"{_counted(summaries)} already in {names}.")
            return
        for folder in dict.fromkeys(folder for _, folder in moves):
            keys = [one.key for one, target in moves if target == folder]
            await asyncio.to_thread(self._mailbox.archive.move, keys, folder)
        gone = [one for one, _ in moves]
        self._undo_stack.append([(one.key, one.folder) for one in gone])
        await self._remove_from_list(gone, f"{_moved(gone)} to {names}. u brings {_them(gone)} back.")

    async def toggle(self, summaries: Sequence[Summary], flag: Flag) -> None:
        """Set a flag on all messages, or clear it if all have it."""
        keys = [one.key for one in summaries]
        if all(one.flags & flag for one in summaries):
            await asyncio.to_thread(self._mailbox.archive.set_flags, keys, Flag.NONE, flag)
        else:
            await asyncio.to_thread(self._mailbox.archive.set_flags, keys, flag)
        await self._screen.redraw(keys)

    async def tag(self, summaries: Sequence[Summary]) -> None:
        """Ask for tags, and add or remove them."""
        known = await asyncio.to_thread(self._mailbox.archive.tags)
        hint = f"Write +NAME to add, -NAME to remove. In use: {', '.join(sorted(known)) or 'none yet'}"
        common = set.intersection(*(set(one.tags) for one in summaries))
        title = "Tags" if len(summaries) == 1 else f"Tags of all {len(summaries):,} messages"
        answer = await self._screen.app.push_screen_wait(InputDialog(title, " ".join(sorted(common)), hint))
        if answer is None:
            return
        words = answer.replace("#", " ").split()
        signed = [word for word in words if word[0] in "+-"]
        plain = {word for word in words if word[0] not in "+-"}
        # The line shows the present tags: the user removes a tag by deleting its word.
        add = plain | {word[1:] for word in signed if word[0] == "+"}
        remove = (common - plain) | {word[1:] for word in signed if word[0] == "-"}
        keys = [one.key for one in summaries]
        await asyncio.to_thread(self._mailbox.archive.set_tags, keys, add, remove - add)
        await self._screen.redraw(keys)


def _them(several: Sequence[object]) -> str:
    return "it" if len(several) == 1 else "them"


def _subject(several: Sequence[object]) -> str:
    return "the message" if len(several) == 1 else message_count(len(several))


def _counted(several: Sequence[object]) -> str:
    return "Message" if len(several) == 1 else message_count(len(several))


def _moved(several: Sequence[object]) -> str:
    return f"{_counted(several)} moved"
