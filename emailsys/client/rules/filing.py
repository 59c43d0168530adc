"""Filing of fetched messages: by the rules of their account, and into Inbox if a rule cannot be followed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from shlex import quote
from threading import Lock
from typing import TYPE_CHECKING, Final

from emailsys.client.accounts.values import Account
from emailsys.client.archive.values import INBOX, TRASH, Addition, ArchiveError, ArchiveFull, FetchStore, Flag, Folder

if TYPE_CHECKING:
    from emailsys.client.rules.matching import Verdict

# Sentences for the user about one fetch.
_MAX_NOTES: Final = 20


def advice(folder: Folder) -> str:
    """Return a sentence that tells how to add the folder of a rule to its account."""
    return f"Add it: emailsys mail folder add {quote(f'{folder.account}/{folder.name}')}"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The new messages of a fetch that are worth a notification, with sender and subject of the last one.

    Their texts are decoded, but not safe for a terminal.
    """

    count: int = 0
    sender: str = ""
    subject: str = ""


class Filing:
    """Stores fetched messages of one account where its rules say. Any thread may call it.

    Each message is stored once, with its folder and its marks in one step: a crash leaves it on the server, or in its
    place. If a rule cannot be followed, the message is in Inbox, and a note says why.
    """

    def __init__(self, account: Account, store: FetchStore, now: Callable[[], datetime]) -> None:
        self._account = account
        self._store = store
        self._now = now
        self._inbox = Folder(account.name, INBOX)
        self._known_folders: dict[str, bool] = {}
        self._lock = Lock()
        #: Sentences for the user about rules that could not be followed.
        self.notes: list[str] = []
        #: Number of the messages that a rule put into another folder.
        self.filed = 0
        self.arrivals = Arrivals()
        if account.rule_problems:
            self.notes.append(
                f"The rules of {account.name} have errors, so that all messages stay in Inbox: "
                f"{'; '.join(account.rule_problems)}"
            )

    def add(self, messages: Sequence[tuple[bytes, str]]) -> list[str]:
        """Store messages, each with its source. Return their keys once they are on disk.

        @raise ArchiveError: they could not be stored.
        """
        additions = [Addition(octets, self._inbox, source) for octets, source in messages]
        filed = [self._filed(one) for one in additions] if self._account.rules else additions
        try:
            keys = self._store.add_many(filed)
        except ArchiveFull:
            raise
        except ArchiveError as error:
            if filed == additions:
                raise
            keys = self._store.add_many(additions)
            self._note(f"Messages stay in Inbox, because they could not be filed by the rules: {error}")
            filed = additions
        self._count(filed)
        return keys

    def _filed(self, addition: Addition) -> Addition:
        # Imported here: a fetch without rules has no use for it.
        from emailsys.client.rules.matching import verdict

        try:
            found = verdict(self._account.rules, addition.octets)
        except Exception as error:  # A message never stays behind because of a rule.
            self._note(f"A message stays in Inbox, because the rules failed: {type(error).__name__}: {error}")
            return addition
        if not found.rules:
            return addition
        return replace(addition, folder=self._folder(found), flags=found.flags, tags=found.tags)

    def _folder(self, found: Verdict) -> Folder:
        name = found.folder
        if name is None or name == INBOX:
            return self._inbox
        folder = Folder(self._account.name, name)
        with self._lock:
            is_known = self._known_folders.get(name)
        if is_known is None:
            is_known = self._store.has_folder(folder)
            with self._lock:
                self._known_folders[name] = is_known
        if is_known:
            return folder
        rule = next(one for one in reversed(found.rules) if one.folder is not None)
        self._note(
            f"{rule.name}: the account {self._account.name} has no folder {name}, so that its messages stay in Inbox. "
            f"{advice(folder)}"
        )
        return self._inbox

    def _note(self, text: str) -> None:
        with self._lock:
            if text not in self.notes and len(self.notes) < _MAX_NOTES:
                self.notes.append(text)

    def _count(self, additions: Sequence[Addition]) -> None:
        filed = sum(one.folder != self._inbox for one in additions)
        new = [one for one in additions if not one.flags & Flag.SEEN and one.folder.name != TRASH]
        with self._lock:
            self.filed += filed
            if new and self._account.notify is not None:
                from emailsys.client.archive.index_entry import heading_of

                heading = heading_of(new[-1].octets, self._now())
                self.arrivals = Arrivals(self.arrivals.count + len(new), heading.sender, heading.subject)
