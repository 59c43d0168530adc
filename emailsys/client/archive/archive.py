"""The local store as the rest of the client sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from emailsys.client.archive.values import Addition, Flag, FolderCount, Place, Summary


class Archive:
    """All accounts' messages below one folder. Every method may be called from any thread and blocks until done.

    Several processes may have the same folder open. All methods that write raise ArchiveError (ArchiveFull for a full
    disk) and then have changed nothing that can be seen.
    """

    def __init__(self, root: Path, now: Callable[[], datetime]) -> None:
        """Open the store at `root`, which is made if it is not there (mode 0700).

        @param now: the current moment, with time zone.
        """

    def close(self) -> None:
        """Close the index. The files need no closing."""

    # Folders

    def add_account(self, account: str) -> None:
        """Make the standard folders of an account; does nothing where they are."""

    def accounts(self) -> Sequence[str]:
        """The accounts that have folders."""
        ...

    def folders(self, account: str | None = None) -> Sequence[FolderCount]:
        """The folders of one account or of all, standard ones first, with counts."""
        ...

    def add_folder(self, place: Place) -> None:
        """Make a folder of one's own. @raise ArchiveError: the name cannot be a folder's."""

    def rename_folder(self, place: Place, name: str) -> None:
        """Rename a folder of one's own."""

    def remove_folder(self, place: Place) -> None:
        """Remove an empty folder of one's own."""

    # Keeping

    def add(self, addition: Addition) -> str:
        """Keep one message; returns its key once file and folder are on disk."""
        ...

    def add_many(self, additions: Sequence[Addition]) -> list[str]:
        """Keep messages in one go, much faster than one by one; returns once all files and folders are on disk.

        The keys are in the same order; a source that is kept already gives the key of the message that is there.
        """
        ...

    def known(self, sources: Iterable[str]) -> dict[str, str]:
        """Those of the sources whose messages are here, with their keys."""
        ...

    def replace(self, key: str, octets: bytes) -> None:
        """Put other octets in a message's place, at once or not at all (drafts)."""

    # Reading

    def get(self, key: str) -> Summary:
        """The message whose key begins so. @raise NoSuchMessage: there is none, or several."""
        ...

    def octets(self, key: str) -> bytes:
        """The message, exactly as it came."""
        ...

    def path(self, key: str) -> Path:
        """Its file."""
        ...

    def list(self, place: Place, limit: int = 100, below: int | None = None) -> Sequence[Summary]:
        """Messages of a folder, the newest first. @param below: only those whose `order` is smaller (the next page)."""
        ...

    def search(
        self, query: str, account: str | None = None, limit: int = 100, below: int | None = None
    ) -> Sequence[Summary]:
        """Messages that the query finds, the newest first. Trash only where it is asked for by `folder:` or `is:`.

        @raise BadQuery: with what is wrong.
        """
        ...

    def thread(self, key: str) -> Sequence[Summary]:
        """The conversation a message belongs to, the oldest first."""
        ...

    # Marks

    def set_flags(self, keys: Iterable[str], add: Flag = Flag.NONE, remove: Flag = Flag.NONE) -> None:
        """Set and clear flags."""

    def set_tags(self, keys: Iterable[str], add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Add and remove tags."""

    def tags(self) -> dict[str, int]:
        """All tags in use, each with how many messages bear it."""
        ...

    def set_note(self, key: str, note: Mapping[str, Any] | None) -> None:
        """Put another note to a message, or take it away; on disk when this returns."""

    def note(self, key: str) -> Mapping[str, Any] | None:
        """The note that goes with a message."""
        ...

    # Moving

    def move(self, keys: Iterable[str], place: Place) -> None:
        """Move messages; synced."""

    def delete(self, keys: Iterable[str]) -> None:
        """Move messages to their account's Trash; those that are there go for good."""

    def empty_trash(self, account: str, before: datetime | None = None) -> int:
        """Remove what is in Trash, or what arrived before a moment; returns how many messages that was."""
        ...

    # The index

    def refresh(self) -> None:
        """Take in what changed among the files behind the index's back."""

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Make the index anew from the files; returns the number of messages. `progress` is told done and all."""
        ...
