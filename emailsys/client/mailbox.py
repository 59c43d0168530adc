"""The user's mailbox: accounts, local archive and outbox, with every operation that needs no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from emailsys.client.accounts.file import AccountsFile
from emailsys.client.accounts.values import Account, AccountError, Encrypt
from emailsys.client.archive.values import DRAFTS, INBOX, OUTBOX, ArchiveError, Flag, Folder, NoSuchMessage, Summary

if TYPE_CHECKING:
    from emailsys.client.archive.archive import Archive
    from emailsys.client.archive.saved_searches import SavedSearches
    from emailsys.client.compose.draft import Draft
    from emailsys.client.compose.mailing_list import Unsubscription
    from emailsys.client.compose.message_builder import OutgoingMessage
    from emailsys.client.compose.protection import Plan
    from emailsys.client.compose.templates import Templates
    from emailsys.client.contacts.book import ContactBook
    from emailsys.client.crypto.gpg import Gpg
    from emailsys.client.crypto.opening import Opener
    from emailsys.client.crypto.smime import SMime
    from emailsys.client.send.outbox import Notices, Outbox
    from emailsys.mail.address import Address
    from emailsys.mail.message.mailboxes import Mailbox


@dataclass(frozen=True, slots=True)
class MailboxPaths:
    """Paths of one mailbox: the accounts file, the archive folder, and the state folder."""

    accounts: Path
    archive: Path
    state: Path


class UserMailbox:
    """Accounts, archive and outbox of one user, each opened on first use.

    Methods that read or write block. Call them from a thread.
    """

    def __init__(
        self, paths: MailboxPaths, now: Callable[[], datetime], tell: Callable[[str], None] | None = None
    ) -> None:
        """
        @param now: the current moment, with time zone.
        @param tell: called with what the user should know while the archive is opened.
        """
        self.paths = paths
        self.now = now
        self._tell = tell

    @cached_property
    def accounts_file(self) -> AccountsFile:
        """The accounts file, mail.toml."""
        return AccountsFile(self.paths.accounts)

    @cached_property
    def archive(self) -> Archive:
        """The local archive of messages."""
        # Imported here: a fetch may leave the archive to a second process and never load it.
        from emailsys.client.archive.archive import Archive
        from emailsys.client.base.folders import make_folder

        make_folder(self.paths.archive.parent)
        return Archive(self.paths.archive, self.now, self._tell)

    @cached_property
    def saved_searches(self) -> SavedSearches:
        """The saved searches."""
        from emailsys.client.archive.saved_searches import SavedSearches

        return SavedSearches(self.paths.archive)

    @cached_property
    def outbox(self) -> Outbox:
        """The messages that wait to be sent."""
        from emailsys.client.send.outbox import Outbox

        return Outbox(self.archive, self.paths.state, self.now)

    @cached_property
    def gpg(self) -> Gpg | None:
        """The user's gpg; None if it is not installed."""
        from emailsys.client.crypto.gpg import find_gpg

        return find_gpg()

    @cached_property
    def _smime(self) -> SMime | None:
        from emailsys.client.crypto.smime import find_smime

        return find_smime()

    def opener(self, ask: bool = False) -> Opener:
        """Return what opens protected messages. @param ask: whether the user may be asked for passphrases."""
        from emailsys.client.crypto.opening import Opener

        return Opener(self.gpg, self.now, ask, self._smime)

    @cached_property
    def contacts(self) -> ContactBook:
        """The contact book, contacts.toml beside mail.toml."""
        from emailsys.client.contacts.book import ContactBook

        return ContactBook(self.paths.accounts.with_name("contacts.toml"))

    @cached_property
    def templates(self) -> Templates:
        """The templates of messages, in the folder templates beside mail.toml."""
        from emailsys.client.compose.templates import Templates

        return Templates(self.paths.accounts.with_name("templates"), self.contacts.expand)

    def close(self) -> None:
        """Close the archive if it was opened."""
        archive = self.__dict__.get("archive")
        if archive is not None:
            archive.close()

    # Accounts

    def accounts(self) -> list[Account]:
        """Return all accounts in the order of the file. @raise AccountError: the file is invalid."""
        return list(self.accounts_file.load().values())

    def account(self, name: str | None = None) -> Account:
        """Return an account by name or address, and create its folders.

        @param name: None for the default account.
        @raise AccountError: no such account exists.
        """
        found = self.find_account(name)
        self.archive.add_account(found.name)
        return found

    def find_account(self, name: str | None = None) -> Account:
        """Return an account by name or address, as `account` does, without creating its folders."""
        found = self.accounts_file.find(name) if name is not None else self.accounts_file.default()
        if found is None:
            raise AccountError("There is no account yet. Add one: emailsys mail account add you@example.org")
        return found

    def account_for(self, summary: Summary) -> Account:
        """Return the account that owns a message's folder, or the default account if that one was removed."""
        accounts = self.accounts_file.load()
        return accounts[summary.folder.account] if summary.folder.account in accounts else self.account()

    # Writing

    def blank(self, account: Account) -> Draft:
        """Return an empty draft from an account."""
        from emailsys.client.compose.draft import Draft

        return Draft(sender=sender_mailbox(account), text="", sign=account.sign, encrypt=account.encrypt)

    def letter(self, account: Account, link: str) -> Draft:
        """Return a draft from a mailto: link. @raise ComposeError: it has an invalid address."""
        from emailsys.client.compose.mailto import draft_of_link

        draft = draft_of_link(link)
        draft.sender = sender_mailbox(account)
        return as_usual(account, draft)

    def reply(self, summary: Summary, reply_to: str = "sender", ask: bool = False) -> Draft:
        """Return a draft that answers a message, from the address of the account that the message was sent to.

        @param reply_to: a value of `ReplyTo`: sender, all or list.
        @param ask: whether the user may be asked for a passphrase, to quote an encrypted message.
        """
        from emailsys.client.compose.answer import ReplyTo, reply

        account = self.account_for(summary)
        octets = self.archive.octets(summary.key)
        sender = _identity_for(account, octets)
        return as_usual(account, reply(octets, sender, account.owns, ReplyTo(reply_to), self.opener(ask)))

    def unsubscription(self, summary: Summary) -> Unsubscription | None:
        """Return the best way to leave the mailing list that a message came through, or None if it names none.

        A message that unsubscribes is from the address of the account that the list wrote to.
        """
        from emailsys.client.compose.mailing_list import unsubscription
        from emailsys.mail.message.mime import parse_header

        octets = self.archive.octets(summary.key)
        way = unsubscription(parse_header(octets))
        if way is not None and way.draft is not None:
            way.draft.sender = _identity_for(self.account_for(summary), octets)
        return way

    def forward(self, summary: Summary, inline: bool = False, ask: bool = False) -> Draft:
        """Return a draft that forwards a message: as an attachment, or with its text if `inline`. `ask`: as `reply`."""
        from emailsys.client.compose.answer import forward

        account = self.account_for(summary)
        octets = self.archive.octets(summary.key)
        return as_usual(account, forward(octets, sender_mailbox(account), inline, self.opener(ask)))

    def sign(self, account: Account, draft: Draft) -> None:
        """Put the account's signature below the text of a new draft (RFC 3676 §4.3)."""
        from emailsys.client.compose.signature import signed

        if draft.text is not None:
            draft.text = signed(draft.text, account.signature)
        elif draft.markdown is not None:
            draft.markdown = signed(draft.markdown, account.signature)

    def save_draft(self, account: Account, draft: Draft, key: str | None = None) -> str:
        """Save a draft and return its key. @param key: the saved draft to replace."""
        from emailsys.client.compose.draft_files import save_draft
        from emailsys.client.compose.protection import seal

        sealed = seal(draft, self.gpg, account.openpgp_key) if draft.encrypt is Encrypt.ALWAYS else None
        return save_draft(self.archive, account.name, draft, self.now(), key, sealed)

    def open_draft(self, key: str, ask: bool = False) -> Draft:
        """Open a draft, or any other message as a new draft. Text of other messages is made safe for a terminal.

        @param ask: whether the user may be asked for the passphrase that opens an encrypted one.
        """
        from emailsys.client.compose.draft_files import open_draft
        from emailsys.client.text.terminal import safe_line, safe_text

        draft = open_draft(self.archive, key, self.opener(ask))
        if not self.is_draft(self.archive.get(key)):
            account = self.account_for(self.archive.get(key))
            if draft.sender is None or not account.owns(draft.sender.address):
                draft.sender = sender_mailbox(account)
            draft.subject = safe_line(draft.subject)
            draft.text = draft.text and safe_text(draft.text)
        return draft

    def delete_sent_draft(self, key: str) -> str:
        """Delete a draft for good. Call after its message was put into the outbox: from then on, nothing may fail.

        @return: a sentence for the user if the draft could not be deleted, or "".
        """
        try:
            summary = self.archive.get(key)
            if summary.folder.name == DRAFTS:
                self.archive.purge([summary.key])
        except NoSuchMessage:
            return ""
        except ArchiveError as error:
            return f"The message is in the outbox, but its draft {key} could not be removed: {error}"
        return ""

    def account_with(self, address: Address) -> Account | None:
        """Return the account with an address, or else the first that receives mail for it, or None."""
        accounts = self.accounts()
        exact = (one for one in accounts if one.address.key == address.key)
        return next(exact, None) or next((one for one in accounts if one.owns(address)), None)

    def plan(self, account: Account, draft: Draft) -> Plan:
        """Return how a draft will be protected when it is sent, with the keys of its recipients."""
        from emailsys.client.compose.protection import plan

        return plan(draft, self.gpg, account.openpgp_key)

    def build(self, account: Account, draft: Draft, ask: bool = False) -> OutgoingMessage:
        """Build a message from a draft, signed and encrypted as the draft says.

        @param ask: whether the user may be asked for the passphrase of the key.
        @raise ComposeError: the draft is incomplete, has an invalid field, or cannot be protected.
        """
        from emailsys.client.compose import message_builder, protection

        if not draft.sign and draft.encrypt is Encrypt.NEVER:
            return message_builder.build(draft, self.now())
        return protection.build(draft, self.now(), self.gpg, account.openpgp_key, ask)

    def queue(
        self, account: Account, draft: Draft, hold: float = 0.0, ask: bool = False, at: datetime | None = None
    ) -> str:
        """Build a message from a draft, put it into the outbox and return its key. It is on disk on return.

        @param hold: seconds before the message may be sent.
        @param ask: whether the user may be asked for the passphrase of the key.
        @param at: when to send it, in place of `hold`.
        @raise ComposeError: the draft is incomplete, has an invalid field, or cannot be protected.
        """
        return self.put(account, self.build(account, draft, ask), hold, at=at)

    def put(
        self,
        account: Account,
        message: OutgoingMessage,
        hold: float = 0.0,
        notices: Notices | None = None,
        at: datetime | None = None,
    ) -> str:
        """Put a finished message into the outbox, and return its key. Parameters as `Outbox.put`."""
        return self.outbox.put(account.name, message, hold=hold, at=at, notices=notices)

    def people(self, typed: str, limit: int = 8) -> list[Mailbox]:
        """Return up to `limit` people whose name or address starts with `typed`: contacts, then correspondents.

        Names are safe for a terminal. If the contact book is invalid, there are correspondents only.
        """
        from emailsys.client.text.terminal import safe_line
        from emailsys.mail.message.mailboxes import Mailbox

        found: list[Mailbox] = []
        with suppress(AccountError):
            found = [one.mailboxes[0] for one in self.contacts.find(typed) if not one.is_group]
        found += [Mailbox(safe_line(one.name), one.address) for one in self.archive.people(typed, limit)]
        return list({one.address.key: one for one in reversed(found)}.values())[::-1][:limit]

    # Handling

    def delete(self, seen: Sequence[Summary], for_good: bool = False) -> list[tuple[str, Folder]]:
        """Move messages to Trash. Delete those for good that the caller saw in Trash.

        @param seen: the messages as the caller saw them.
        @param for_good: delete all of them for good.
        @return: the keys of the messages that were moved or deleted, each with its former folder.
        @raise ArchiveError: a message is in the outbox and must be stopped first.
        """
        for one in [self.archive.get(one.key) for one in seen]:
            if one.folder.name == OUTBOX:
                raise ArchiveError(
                    f"{one.key} is in the outbox. Stop it first, which makes it a draft: "
                    f"emailsys mail outbox stop {one.key}"
                )
        return [(one.key, one.folder) for one in self.archive.delete(seen, for_good)]

    def undelete(self, keys: Sequence[str], folder: str | None = None) -> list[Summary]:
        """Move messages out of Trash: into `folder`, or else to their former folder, or else into Inbox."""
        by_target: dict[Folder, list[str]] = {}
        for summary in map(self.archive.get, keys):
            target = folder or self.archive.folder_before_trash(summary.key) or INBOX
            by_target.setdefault(Folder(summary.folder.account, target), []).append(summary.key)
        for place, moved in by_target.items():
            self.archive.move(moved, place)
        return [*map(self.archive.get, keys)]

    def mark_handled(self, key: str, flag: Flag) -> None:
        """Mark a message as answered or forwarded. Does nothing if the message was deleted."""
        try:
            self.archive.set_flags([key], add=flag | Flag.SEEN)
        except ArchiveError:
            return

    def is_draft(self, summary: Summary) -> bool:
        """Whether the message is in Drafts."""
        return summary.folder.name == DRAFTS


def as_usual(account: Account, draft: Draft) -> Draft:
    """Protect a draft as the account says, or more if the draft asks for it."""
    draft.sign = draft.sign or account.sign
    if draft.encrypt is Encrypt.NEVER:
        draft.encrypt = account.encrypt
    return draft


def sender_mailbox(account: Account) -> Mailbox:
    """Return the name and address of an account for the From field."""
    return identities(account)[0]


def _identity_for(account: Account, octets: bytes) -> Mailbox:
    """Return the name and address of an account that a message was sent to."""
    from emailsys.client.compose.answer import recipients_of

    asked = {address.key for address in recipients_of(octets)}
    own = identities(account)
    return next((one for one in own if one.address.key in asked), own[0])


def identities(account: Account) -> list[Mailbox]:
    """Return what From can be for an account: its own address first, then its aliases."""
    from emailsys.mail.message.mailboxes import Mailbox

    return [Mailbox(account.display_name, address) for address in (account.address, *account.aliases)]
