"""Menu of the full screen for folders, rules, import and export: the actions that have no key of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from emailsys.client.accounts.values import AccountError
from emailsys.client.archive.import_export import Importer, export_eml, export_maildir, export_mbox
from emailsys.client.archive.values import DRAFTS, INBOX, OUTBOX, STANDARD_FOLDERS, TRASH, Folder
from emailsys.client.display.list_text import message_count
from emailsys.client.mailbox import UserMailbox
from emailsys.client.opening.paths import existing_path, new_file, path_of
from emailsys.client.rules.application import Judged, apply, judged
from emailsys.client.rules.words import verdict_text
from emailsys.client.screen.dialogs import ChoiceDialog, ConfirmDialog, InputDialog, TextDialog
from emailsys.client.screen.list_sources import FolderList, ListSource
from emailsys.client.screen.message_actions import MessageActions
from emailsys.client.screen.opening_dialogs import PathDialog
from emailsys.client.screen.panes import Panes
from emailsys.client.text.terminal import safe_line

# What an export is called in the menu, what is asked for, and the function that writes it.
_EXPORTS: Final = (
    ("an mbox file", new_file, export_mbox),
    ("a maildir", path_of, export_maildir),
    (".eml files", path_of, export_eml),
)


class ManagingActions:
    """Changes folders, tries and applies rules, imports and exports. The coroutines run in workers."""

    def __init__(self, mailbox: UserMailbox, screen: Panes, messages: MessageActions) -> None:
        self._mailbox = mailbox
        self._screen = screen
        self._messages = messages

    async def choose(self, source: ListSource | None) -> None:
        """Let the user choose what to do with a list, or with the folder that it is."""
        folder = source.folder if isinstance(source, FolderList) else self._screen.folder
        if source is None or folder is None:
            return
        account, place = folder.account, f"{folder.account}/{folder.name}"
        choices: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = [
            (f"Add a folder to {account} ...", lambda: self._add(account))
        ]
        if isinstance(source, FolderList) and folder.name not in STANDARD_FOLDERS:
            choices += [
                (f"Rename the folder {place} ...", lambda: self._rename(folder)),
                (f"Remove the folder {place} ...", lambda: self._remove(folder)),
            ]
        choices += [
            (f"Delete all messages in Trash of {account} ...", lambda: self._empty_trash(account)),
            ("Try the rules on this list: nothing is changed", lambda: self._try_rules(source)),
            ("Apply the rules to this list ...", lambda: self._apply_rules(source)),
            (f"Import files of mail into {place} ...", lambda: self._import(folder)),
            *(
                (f"Export this list as {kind} ...", lambda number=number: self._export(source, number))
                for number, (kind, _, _) in enumerate(_EXPORTS)
            ),
        ]
        title = safe_line(f"Folders, rules and files: {source.title}")
        chosen = await self._ask(ChoiceDialog(title, [safe_line(words) for words, _ in choices]))
        if chosen is not None:
            await choices[chosen][1]()

    async def _ask(self, dialog: Any) -> Any:
        return await self._screen.app.push_screen_wait(dialog)

    async def _is_sure(self, question: str) -> bool:
        return bool(await self._ask(ConfirmDialog(safe_line(question), is_risky=True)))

    # Folders

    async def _add(self, account: str) -> None:
        def read(typed: str) -> Folder:
            return self._mailbox.archive.add_folder(Folder(account, typed.strip()))

        folder: Folder | None = await self._ask(InputDialog(f"Name of the new folder of {account}", read=read))
        if folder is not None:
            await self._screen.update_counts()
            self._screen.show_status(f"The account {account} now has the folder {folder.name}.")

    async def _rename(self, folder: Folder) -> None:
        def read(typed: str) -> Folder:
            name = typed.strip()
            self._mailbox.archive.rename_folder(folder, name)
            return Folder(folder.account, name)

        new: Folder | None = await self._ask(InputDialog(f"New name of {folder.name}", folder.name, read=read))
        if new is not None:
            if self._screen.source == FolderList(folder):
                await self._screen.show(FolderList(new))
            await self._screen.update_counts()
            self._screen.show_status(f"Renamed the folder {folder.name} to {new.name}.")

    async def _remove(self, folder: Folder) -> None:
        if not await self._is_sure(f"Remove the folder {folder.account}/{folder.name}? It must be empty."):
            return
        await asyncio.to_thread(self._mailbox.archive.remove_folder, folder)
        if self._screen.source == FolderList(folder):
            await self._screen.show(FolderList(Folder(folder.account, INBOX)))
        await self._screen.update_counts()
        self._screen.show_status(f"Removed the folder {folder.name}.")

    async def _empty_trash(self, account: str) -> None:
        archive = self._mailbox.archive
        counts = {one.folder.name: one.messages for one in await asyncio.to_thread(archive.folders, account)}
        if not counts.get(TRASH):
            self._screen.show_status(f"There are no messages in Trash of {account}.")
            return
        number = message_count(counts[TRASH])
        if await self._is_sure(f"Delete all {number} in Trash of {account} for good? This cannot be undone."):
            gone = await self._screen.change(lambda: archive.empty_trash(account))
            await self._screen.reload()
            self._screen.show_status(f"{message_count(gone)} deleted for good.")

    # Rules

    def _judged(self, source: ListSource) -> list[Judged]:
        """Try the rules of their accounts on the received messages of a list.

        @raise AccountError: no account has rules, or they have errors.
        """
        archive = self._mailbox.archive
        accounts = {one.name: one for one in self._mailbox.accounts()}
        messages = [
            one
            for one in source.matching(archive, "")
            if one.folder.account in accounts and one.folder.name not in (DRAFTS, OUTBOX)
        ]
        used = [accounts[name] for name in dict.fromkeys(one.folder.account for one in messages)]
        problems = [problem for one in used for problem in one.rule_problems]
        if problems:
            raise AccountError("\n".join(problems))
        if used and not any(one.rules for one in used):
            names = " and ".join(one.name for one in used)
            raise AccountError(f"There are no rules for {names}. Write them in {self._mailbox.paths.accounts}.")
        found = (judged(archive, accounts[one.folder.account].rules, one) for one in messages)
        return [one for one in found if one is not None]

    async def _try_rules(self, source: ListSource) -> None:
        found = await asyncio.to_thread(self._judged, source)
        lines = [verdict_text(one) for one in found if one.verdict.rules or one.problem]
        heading = f"The rules match {len(lines):,} of {message_count(len(found))}."
        self._screen.app.push_screen(TextDialog("Rules", Text("\n".join([heading, *lines]))))

    async def _apply_rules(self, source: ListSource) -> None:
        screen = self._screen
        found = await asyncio.to_thread(self._judged, source)
        matching = sum(1 for one in found if one.verdict.rules)
        if not matching:
            screen.show_status(f"The rules match none of {message_count(len(found))}.")
            return
        question = f"Apply the rules to {message_count(len(found))}? They match {matching:,}, and move or mark these."
        if not await self._is_sure(question):
            return
        notes: list[str] = []
        try:
            await screen.change(lambda: apply(self._mailbox.archive, found, notes.append))
        finally:
            # Half of them may have moved before a failure.
            moved = await self._messages.let_undo([one.summary for one in found if one.verdict.folder is not None])
        await screen.reload()
        words = [f"The rules matched {matching:,} of {message_count(len(found))}."]
        if moved:
            words.append(f"u moves {message_count(len(moved))} back.")
        screen.show_status(" ".join([*words, *notes]), error=bool(notes))

    # Files

    async def _import(self, folder: Folder) -> None:
        dialog = PathDialog("mbox file, maildir, .eml file, or folder of these", "", existing_path, files=True)
        path: Path | None = await self._ask(dialog)
        if path is not None:
            self._screen.start_action(lambda: self._import_from(path, folder))

    async def _import_from(self, path: Path, folder: Folder) -> None:
        screen, loop = self._screen, asyncio.get_running_loop()

        def progress(number: int) -> None:
            loop.call_soon_threadsafe(screen.show_status, f"{message_count(number)} imported so far ...")

        importing = Importer(self._mailbox.archive, folder, progress)
        screen.show_status(f"Importing {path} ...")
        try:
            await screen.run_to_its_end(lambda: importing.import_path(path))
        finally:
            await screen.reload()
        words = [f"{message_count(importing.added)} imported into {folder.account}/{folder.name}."]
        if importing.already_stored:
            words.append(f"Skipped {message_count(importing.already_stored)} imported before.")
        words += [f"Not imported: {problem}" for problem in importing.left_out[:3]]
        screen.show_status(" ".join(words), error=bool(importing.left_out))

    async def _export(self, source: ListSource, number: int) -> None:
        kind, read, write = _EXPORTS[number]
        path = await self._ask(PathDialog(f"Export as {kind} to", "", read, files=True))
        if path is None:
            return
        is_there = await asyncio.to_thread(path.is_file)
        if is_there and not await self._is_sure(f"{path} exists. Add the messages to it?"):
            return
        screen, archive = self._screen, self._mailbox.archive

        def export() -> int:
            found: Sequence[Any] = source.matching(archive, "")
            return write(archive, [one.key for one in reversed(found)], path)

        async def run() -> None:
            screen.show_status(f"Exporting to {path} ...")
            screen.show_status(f"{message_count(await screen.run_to_its_end(export))} exported to {path}.")

        screen.start_action(run)
