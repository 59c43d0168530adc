"""A person's desk: accounts, local store and outbox put together, and what is done with them without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from emailsys.client.accounts.file import AccountsFile
from emailsys.client.accounts.values import Account, AccountError
from emailsys.client.archive.values import DRAFTS, INBOX, OUTBOX, ArchiveError, Flag, Place, Summary

if TYPE_CHECKING:
    from emailsys.client.archive.archive import Archive
    from emailsys.client.compose.draft import Draft
    from emailsys.client.compose.message_builder import Composed
    from emailsys.client.send.outbox import Notices, Outbox
    from emailsys.mail.message.mailboxes import Mailbox


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the desk's things lie: the accounts file, the local store's folder, and that of the state."""

    accounts: Path
    archive: Path
    state: Path


class UserMailbox:
    """Everything is opened when it is first asked for. Methods that read or write block: call them from a thread."""

    def __init__(self, folders: Folders, now: Callable[[], datetime]) -> None:
        """@param now: the current moment, with time zone."""
        self.folders = folders
        self.now = now

    @cached_property
    def accounts_file(self) -> AccountsFile:
        """mail.toml."""
        return AccountsFile(self.folders.accounts)

    @cached_property
    def archive(self) -> Archive:
        """The local store."""
        # A fetch may leave it to another process.
        from emailsys.client.archive.archive import Archive
        from emailsys.client.base.folders import make_folder

        make_folder(self.folders.archive.parent)
        return Archive(self.folders.archive, self.now)

    @cached_property
    def outbox(self) -> Outbox:
        """What waits to be sent."""
        from emailsys.client.send.outbox import Outbox

        return Outbox(self.archive, self.folders.state, self.now)

    def close(self) -> None:
        """Close what was opened."""
        archive = self.__dict__.get("archive")
        if archive is not None:
            archive.close()

    # Accounts

    def accounts(self) -> list[Account]:
        """All accounts, in the order of the file. @raise AccountError: the file is wrong."""
        return list(self.accounts_file.load().values())

    def account(self, name: str | None = None) -> Account:
        """The account of that name or address, by default the default one; its folders are made.

        @raise AccountError: there is none.
        """
        found = self.named(name)
        self.archive.add_account(found.name)
        return found

    def named(self, name: str | None = None) -> Account:
        """The same, and no folder is made."""
        found = self.accounts_file.find(name) if name is not None else self.accounts_file.default()
        if found is None:
            raise AccountError("there is no account yet: emailsys mail account add you@example.org")
        return found

    def account_for(self, summary: Summary) -> Account:
        """The account in whose folders a message lies, else the default one."""
        accounts = self.accounts_file.load()
        return accounts[summary.place.account] if summary.place.account in accounts else self.account()

    def mine(self) -> list[Mailbox]:
        """The person's own mailboxes, of all accounts."""
        return [sender_mailbox(account) for account in self.accounts()]

    # Writing

    def blank(self, account: Account) -> Draft:
        """An empty draft from that account."""
        from emailsys.client.compose.draft import Draft

        return Draft(sender=sender_mailbox(account), text="")

    def reply(self, summary: Summary, to_all: bool = False) -> Draft:
        """An answer to a message."""
        from emailsys.client.compose.answer import reply

        mine = [one.address for one in self.mine()]
        return reply(self.archive.octets(summary.key), sender_mailbox(self.account_for(summary)), mine, to_all)

    def forward(self, summary: Summary, inline: bool = False) -> Draft:
        """A message passed on."""
        from emailsys.client.compose.answer import forward

        return forward(self.archive.octets(summary.key), sender_mailbox(self.account_for(summary)), inline)

    def save_draft(self, account: Account, draft: Draft, key: str | None = None) -> str:
        """Save a draft, in place of the one with that key; returns the key."""
        from emailsys.client.compose.draft_files import save_draft

        return save_draft(self.archive, account.name, draft, self.now(), key)

    def open_draft(self, key: str) -> Draft:
        """Go on with a draft, or with any other message as a new one: what that says is made safe for a terminal."""
        from emailsys.client.compose.draft_files import open_draft
        from emailsys.client.text.terminal import safe_line, safe_text

        draft = open_draft(self.archive, key)
        if not self.is_draft(self.archive.get(key)):
            draft.subject = safe_line(draft.subject)
            draft.text = draft.text and safe_text(draft.text)
        return draft

    def delete_sent_draft(self, key: str) -> None:
        """Remove a draft that was sent: the message is in the outbox or in Sent now."""
        summary = self.archive.get(key)
        if summary.place.folder == DRAFTS:
            self.archive.purge([summary.key])

    def queue(self, account: Account, draft: Draft, hold: float = 0.0, notices: Notices | None = None) -> str:
        """Build a draft and put it into the outbox, on disk when this returns its key.

        @param hold: seconds in which nobody sends it.
        @raise ComposeError: it cannot be built.
        """
        from emailsys.client.compose.message_builder import build

        return self.put(account, build(draft, self.now()), hold, notices)

    def put(self, account: Account, message: Composed, hold: float = 0.0, notices: Notices | None = None) -> str:
        """Put a message that is ready into the outbox."""
        return self.outbox.put(account.name, message, hold=hold, notices=notices)

    def people(self, typed: str, limit: int = 8) -> list[Mailbox]:
        """Whom the beginning of a name or an address may mean, the likeliest first; names fit for the terminal."""
        from emailsys.client.text.terminal import safe_line
        from emailsys.mail.message.mailboxes import Mailbox

        return [Mailbox(safe_line(one.name), one.address) for one in self.archive.people(typed, limit)]

    # Handling

    def delete(self, keys: Iterable[str]) -> list[tuple[str, Place]]:
        """Move messages to Trash, those in Trash go for good; returns where each was before.

        @raise ArchiveError: one waits in an outbox, where it has to be stopped first.
        """
        found = [self.archive.get(key) for key in keys]
        for one in found:
            if one.place.folder == OUTBOX:
                raise ArchiveError(f"{one.key} waits to be sent; stop it first, which makes it a draft")
        self.archive.delete([one.key for one in found])
        return [(one.key, one.place) for one in found]

    def undelete(self, keys: Sequence[str], folder: str | None = None) -> list[Summary]:
        """Move messages out of Trash: into `folder`, else to where each was, else into Inbox."""
        found = []
        for key in keys:
            summary = self.archive.get(key)
            target = folder or self.archive.folder_before_trash(summary.key) or INBOX
            self.archive.move([summary.key], Place(summary.place.account, target))
            found.append(self.archive.get(summary.key))
        return found

    def mark_handled(self, key: str, flag: Flag) -> None:
        """Mark a message as answered or forwarded; nothing happens where it has gone meanwhile."""
        try:
            self.archive.set_flags([key], add=flag | Flag.SEEN)
        except ArchiveError:
            return

    def is_draft(self, summary: Summary) -> bool:
        """Whether opening it means going on to write it."""
        return summary.place.folder == DRAFTS


def sender_mailbox(account: Account) -> Mailbox:
    """How an account names its owner in From."""
    from emailsys.mail.message.mailboxes import Mailbox

    return Mailbox(account.display_name, account.address)
