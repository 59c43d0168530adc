"""Message actions of the full screen: delete, move, flag and tag the current message or the selection."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from emailsys.client.accounts.values import Account
from emailsys.client.archive.marks import check_tags
from emailsys.client.archive.snooze import snooze
from emailsys.client.archive.values import (
    ARCHIVE,
    OUTBOX,
    SPAM,
    TRASH,
    ArchiveError,
    Flag,
    Folder,
    NoSuchMessage,
    Summary,
)
from emailsys.client.compose.moments import EXAMPLES, parse_moment
from emailsys.client.display.list_text import message_count
from emailsys.client.mailbox import UserMailbox
from emailsys.client.rules.spam import add_spam_rules, spam_senders
from emailsys.client.screen.dialogs import ChoiceDialog, ConfirmDialog, InputDialog
from emailsys.client.screen.panes import Panes
from emailsys.client.text.terminal import safe_line
from emailsys.mail.address import Address


class MessageActions:
    """Deletes, moves, flags and tags messages, and undoes the last delete or move."""

    def __init__(self, mailbox: UserMailbox, screen: Panes) -> None:
        self._mailbox = mailbox
        self._screen = screen
        #: Undo stack: for each delete or move, the keys with their former folders.
        self._undo_stack: list[list[tuple[str, Folder]]] = []

    def _remove(
        self,
        summaries: Sequence[Summary],
        change: Callable[[], list[tuple[str, Folder]]],
        words: str,
        undo: bool = True,
    ) -> None:
        """Remove messages from the list at once, and from their folders after the changes of earlier keys.

        @param change: moves or deletes them. Returns the keys of those that moved, with their former folders.
        """
        screen, source = self._screen, self._screen.source
        screen.remove_rows(summaries)
        moved: list[tuple[str, Folder]] = []
        if undo:
            self._undo_stack.append(moved)

        async def remove() -> None:
            try:
                moved.extend(await screen.change(change, summaries))
            except Exception:
                # Half of them may have moved before the failure.
                moved.extend(await asyncio.to_thread(self._moved_away, summaries))
                if not moved:
                    self._forget(moved)
                raise
            screen.show_status(words if moved else f"Another program has moved {_subject(summaries)} already.")
            if not moved:
                self._forget(moved)
            if screen.messages.summaries and screen.source == source:
                await screen.update_counts()
            else:
                # Messages that were not loaded yet may follow, or the list shown now may have got these.
                await screen.reload()

        screen.start_action(remove)

    def _moved_away(self, summaries: Sequence[Summary]) -> list[tuple[str, Folder]]:
        """Return the messages that are no longer in their folders, with these."""
        return [(one.key, one.folder) for one in summaries if self._is_elsewhere(one.key, one.folder)]

    async def let_undo(self, summaries: Sequence[Summary]) -> Sequence[tuple[str, Folder]]:
        """Let `u` bring back those of these messages that have been moved away. Return these."""
        moved = await asyncio.to_thread(self._moved_away, summaries)
        if moved:
            self._undo_stack.append(moved)
        return moved

    def _forget(self, moved: list[tuple[str, Folder]]) -> None:
        self._undo_stack = [one for one in self._undo_stack if one is not moved]

    def delete(self, summaries: Sequence[Summary]) -> None:
        """Move messages to Trash. Delete those in Trash for good, after a question."""
        trashed = [one for one in summaries if one.folder.name == TRASH]
        staying = [one for one in summaries if one.folder.name != TRASH]
        if staying:
            words = f"{_moved(staying)} to Trash. u brings {_them(staying)} back."
            self._remove(staying, lambda: self._mailbox.delete(staying), words)
        if not trashed:
            return

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                words = f"{_counted(trashed)} deleted for good."
                self._remove(trashed, lambda: self._mailbox.delete(trashed), words, undo=False)

        question = ConfirmDialog(f"Delete {_subject(trashed)} for good? This cannot be undone.", is_risky=True)
        self._screen.app.push_screen(question, answered)

    def undelete(self, summaries: Sequence[Summary]) -> None:
        """Restore the messages that are in Trash. If none is, undo the last delete or move."""
        trashed = [one for one in summaries if one.folder.name == TRASH]
        if trashed:
            self._restore(trashed)
        elif self._undo_stack:
            moved = self._undo_stack.pop()
            self._screen.start_action(lambda: self._undo(moved))
        else:
            self._screen.show_status("There is nothing to undo: no message was deleted or moved.")

    def _restore(self, trashed: Sequence[Summary]) -> None:
        self._screen.remove_rows(trashed)

        async def restore() -> None:
            keys = [one.key for one in trashed]
            found = await self._screen.change(lambda: self._mailbox.undelete(keys), trashed)
            self._screen.bring_back(keys)
            names = sorted({one.folder.name for one in found})
            self._screen.show_status(f"{_moved(trashed)} back to {' and '.join(names)}.")
            await self._screen.reload()

        self._screen.start_action(restore)

    async def _undo(self, moved: Sequence[tuple[str, Folder]]) -> None:
        try:
            back = await self._screen.change(lambda: self._undo_move(moved))
        except Exception:
            # u tries again with those that are not back.
            left = [(key, folder) for key, folder in moved if await asyncio.to_thread(self._is_elsewhere, key, folder)]
            if left:
                self._undo_stack.append(left)
            raise
        self._screen.bring_back(key for key, _ in moved)
        self._screen.show_status(f"{_moved(back)} back to {' and '.join(sorted({one.name for one in back}))}.")
        await self._screen.reload()

    def _is_elsewhere(self, key: str, folder: Folder) -> bool:
        try:
            return self._mailbox.archive.get(key).folder != folder
        except ArchiveError:
            return False

    def _undo_move(self, moved: Sequence[tuple[str, Folder]]) -> list[Folder]:
        """Move messages back to their former folders, and return these.

        @raise ArchiveError: no message was moved, or all of them were deleted for good.
        """
        if not moved:
            raise ArchiveError("There is nothing to undo: another program had moved the messages before.")
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

    def move(self, summaries: Sequence[Summary]) -> None:
        """Move messages to a folder that the user chooses."""
        self._screen.start_dialog(lambda: self._ask_folder(summaries))

    async def _ask_folder(self, summaries: Sequence[Summary]) -> None:
        counts = await asyncio.to_thread(self._mailbox.archive.folders)
        origins = {one.folder for one in summaries}
        folders = [one.folder for one in counts if {one.folder} != origins and one.folder.name != OUTBOX]
        folders.sort(key=lambda folder: folder.account not in {one.account for one in origins})
        lines = [*(safe_line(f"{one.account} · {one.name}") for one in folders), "A new folder ..."]
        title = f"Folder to move {_subject(summaries)} to"
        number = await self._screen.app.push_screen_wait(ChoiceDialog(title, lines))
        if number is None:
            return
        target = folders[number] if number < len(folders) else await self._ask_new_folder(summaries[0].folder.account)
        if target is not None:
            self._move_to(summaries, [target] * len(summaries))

    async def _ask_new_folder(self, account: str) -> Folder | None:
        """Ask for the name of a folder, and add it. Return None if the user cancels."""
        archive = self._mailbox.archive

        def read(typed: str) -> Folder:
            folder = Folder(account, typed.strip())
            return archive.alike(folder) or archive.add_folder(folder)

        dialog = InputDialog(safe_line(f"Name of the new folder of {account}"), read=read)
        folder: Folder | None = await self._screen.app.push_screen_wait(dialog)
        return folder

    def archive(self, summaries: Sequence[Summary]) -> None:
        """Move each message to the folder Archive of its account."""
        self._move_to(summaries, [Folder(one.folder.account, ARCHIVE) for one in summaries])

    def spam(self, summaries: Sequence[Summary]) -> None:
        """Move each message to the folder Spam of its account."""
        self._move_to(summaries, [Folder(one.folder.account, SPAM) for one in summaries])

    def spam_with_rule(self, summaries: Sequence[Summary]) -> None:
        """Ask, add a rule for the senders of messages, and move the messages to Spam."""
        self._screen.start_dialog(lambda: self._ask_spam_rule(summaries))

    async def _ask_spam_rule(self, summaries: Sequence[Summary]) -> None:
        mailbox = self._mailbox

        def find() -> list[tuple[Account, list[Address]]]:
            accounts = [mailbox.account_for(one) for one in summaries]
            return [
                (account, spam_senders(mailbox.archive.octets(one.key), account))
                for one, account in zip(summaries, accounts, strict=True)
            ]

        found = await asyncio.to_thread(find)
        senders = list(dict.fromkeys(str(address) for _, addresses in found for address in addresses))
        if not senders:
            self._screen.show_status("No sender but yourself is named, so there is no rule. ! moves to Spam.")
            return
        shown = f"{', '.join(senders[:3])}{f' and {len(senders) - 3:,} more' if len(senders) > 3 else ''}"
        question = f"Move {_subject(summaries)} to Spam, and from now on all new messages from {shown}?"
        if not await self._screen.app.push_screen_wait(ConfirmDialog(safe_line(question), is_risky=True)):
            return

        def add() -> None:
            for account, addresses in found:
                add_spam_rules(mailbox.accounts_file, account, addresses)

        # The rules first: if they cannot be changed, nothing is moved.
        await asyncio.to_thread(add)
        folders = [Folder(one.folder.account, SPAM) for one in summaries]
        self._move_to(summaries, folders, f" The rule stays in {mailbox.paths.accounts.name}.")

    def snooze(self, summaries: Sequence[Summary]) -> None:
        """Ask for a moment, and put the messages out of sight until then."""
        self._screen.start_dialog(lambda: self._ask_moment(summaries))

    async def _ask_moment(self, summaries: Sequence[Summary]) -> None:
        title = f"Until when to put {_subject(summaries)} out of sight"
        dialog = InputDialog(title, "", EXAMPLES, read=lambda typed: parse_moment(typed, self._mailbox.now()))
        until = await self._screen.app.push_screen_wait(dialog)
        if until is None:
            return

        def change() -> list[tuple[str, Folder]]:
            snooze(self._mailbox.archive, summaries, until)
            return [(one.key, one.folder) for one in summaries]

        words = f"{_counted(summaries)} in Snoozed until {until:%Y-%m-%d %H:%M}. u brings {_them(summaries)} back."
        self._remove(summaries, change, words)

    def _move_to(self, summaries: Sequence[Summary], folders: Sequence[Folder], more: str = "") -> None:
        """Move each message to its folder. @param more: what the status line says besides."""
        if any(one.folder.name == OUTBOX for one in summaries):
            words = "Messages in the outbox cannot be moved. Press d to stop them, which makes them drafts."
            self._screen.show_status(words, error=True)
            return
        moves = [(one, folder) for one, folder in zip(summaries, folders, strict=True) if one.folder != folder]
        names = " and ".join(sorted({folder.name for folder in folders}))
        if not moves:
            self._screen.show_status(f"{_counted(summaries)} already in {names}.{more}")
            return

        def move() -> list[tuple[str, Folder]]:
            for folder in dict.fromkeys(folder for _, folder in moves):
                self._mailbox.archive.add_folder(folder)
                self._mailbox.archive.move([one.key for one, target in moves if target == folder], folder)
            return [(one.key, one.folder) for one, _ in moves]

        gone = [one for one, _ in moves]
        self._remove(gone, move, f"{_moved(gone)} to {names}. u brings {_them(gone)} back.{more}")

    def toggle(self, summaries: Sequence[Summary], flag: Flag) -> None:
        """Set a flag on all messages, or clear it if all have it."""
        keys = [one.key for one in summaries]
        add, remove = (Flag.NONE, flag) if all(one.flags & flag for one in summaries) else (flag, Flag.NONE)
        self._mark(
            [replace(one, flags=(one.flags | add) & ~remove) for one in summaries],
            lambda: self._mailbox.archive.set_flags(keys, add, remove),
        )

    def _mark(self, marked: Sequence[Summary], change: Callable[[], None]) -> None:
        """Show messages with new flags or tags at once, and change them on disk."""
        self._screen.redraw(marked)

        async def mark() -> None:
            await self._screen.change(change, marked=marked)
            await self._screen.update_counts()

        self._screen.start_action(mark)

    def tag(self, summaries: Sequence[Summary]) -> None:
        """Ask for tags, and add or remove them."""
        self._screen.start_dialog(lambda: self._ask_tags(summaries))

    async def _ask_tags(self, summaries: Sequence[Summary]) -> None:
        known = await asyncio.to_thread(self._mailbox.archive.tags)
        hint = f"Write +NAME to add, -NAME to remove. In use: {', '.join(sorted(known)) or 'none yet'}"
        common = set.intersection(*(set(one.tags) for one in summaries))
        title = "Tags" if len(summaries) == 1 else f"Tags of all {len(summaries):,} messages"

        def read(typed: str) -> tuple[set[str], set[str]]:
            words = re.sub("[#,]", " ", typed).split()
            signed = [word for word in words if word[0] in "+-"]
            plain = {word for word in words if word[0] not in "+-"}
            # The line shows the present tags: the user removes a tag by deleting its word.
            add = plain | {word[1:] for word in signed if word[0] == "+"}
            check_tags(add)
            return add, ((common - plain) | {word[1:] for word in signed if word[0] == "-"}) - add

        dialog = InputDialog(title, " ".join(sorted(common)), hint, read=read, may_be_empty=True)
        answer = await self._screen.app.push_screen_wait(dialog)
        if answer is None:
            return
        add, remove = answer
        keys = [one.key for one in summaries]
        self._mark(
            [replace(one, tags=tuple(sorted({*one.tags, *add} - remove))) for one in summaries],
            lambda: self._mailbox.archive.set_tags(keys, add, remove),
        )


def _them(several: Sequence[object]) -> str:
    return "it" if len(several) == 1 else "them"


def _subject(several: Sequence[object]) -> str:
    return "the message" if len(several) == 1 else message_count(len(several))


def _counted(several: Sequence[object]) -> str:
    return "Message" if len(several) == 1 else message_count(len(several))


def _moved(several: Sequence[object]) -> str:
    return f"{_counted(several)} moved"
