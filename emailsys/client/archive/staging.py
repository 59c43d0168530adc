"""Staging of new messages: written and synced under temporary names, without the store's lock."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emailsys.client.archive.files import Spool, SyncThreads, new_key, spool_at, translated_disk_errors
from emailsys.client.archive.marks import NO_MARKS, Marks
from emailsys.client.archive.parts import Parts, remove_unowned
from emailsys.client.archive.values import Addition, Folder
from emailsys.client.base.folders import make_folder

if TYPE_CHECKING:
    from emailsys.client.archive.index_entry import Heading
    from emailsys.client.archive.reading_process import Read

#: The folder of staged messages below the store's folder.
ARRIVING: Final = ".arriving"


def make_staging_folder(root: Path) -> None:
    """Create the staging folder, and remove what dead writers left there.

    @raise OSError: the folder cannot be made or read.
    """
    make_folder(root / ARRIVING)
    remove_unowned(root / ARRIVING)


class Reading(enum.Enum):
    """How much of a message is read while it is staged."""

    #: Nothing: the process that names the file reads its header. This process then needs no parser.
    NOTHING = enum.auto()
    #: The header, for the file name.
    HEADER = enum.auto()
    #: The whole message, for the index too.
    WHOLE = enum.auto()


@dataclass(frozen=True, slots=True)
class Staged:
    """A message whose octets are on disk under a temporary name."""

    key: str
    folder: Folder
    #: The name that the file gets; "" if nothing was read.
    name: str
    octets: int
    arrived: datetime
    spool: Spool
    marks: Marks = NO_MARKS
    #: What was read of it and need not be read again for the index: `IndexFields` if it was the whole message.
    heading: Heading | None = None


class Staging:
    """Writes messages to the staging folder. Any thread may use it. Close it at the end."""

    def __init__(self, root: Path) -> None:
        """@param root: the store's folder, in which `make_staging_folder` was called."""
        # A separate folder: a temporary file in a message folder would make it differ from the index.
        self._parts = Parts(root / ARRIVING)
        self._root = root
        self._syncing = SyncThreads()

    def close(self) -> None:
        """End the threads that sync, and release the temporary names."""
        self._syncing.close()
        self._parts.close()

    @contextmanager
    def staged(
        self,
        additions: Sequence[Addition],
        now: datetime,
        reading: Reading = Reading.HEADER,
        read: Sequence[Read] | None = None,
    ) -> Iterator[list[Staged]]:
        """Write and sync messages. At the end of the context, those without a final name are removed.

        @param now: the time of arrival of messages that have none.
        @param read: file name and index fields of each message, if another process read them.
        @raise ArchiveError: a message could not be written.
        """
        staged: list[Staged] = []
        try:
            for number, addition in enumerate(additions):
                key = new_key(addition.source)
                # The index reads the time of arrival from the file's modification time.
                arrived = addition.arrived or now
                name, heading = self._read(key, addition.octets, arrived, reading) if read is None else read[number]
                marks = NO_MARKS
                if addition.flags or addition.tags or addition.note is not None:
                    marks = Marks(addition.flags, tuple(sorted(set(addition.tags))), addition.note)
                spool = spool_at(self._parts.new_path(), addition.octets, arrived)
                size = len(addition.octets)
                staged.append(Staged(key, addition.folder, name, size, arrived, spool, marks, heading))
            with translated_disk_errors():
                self._syncing.sync([one.spool for one in staged])
            yield staged
        finally:
            for one in staged:
                one.spool.drop()

    def _read(self, key: str, octets: bytes, arrived: datetime, reading: Reading) -> tuple[str, Heading | None]:
        """Return the file name of a message, and what was read of it."""
        if reading is Reading.NOTHING:
            return "", None
        # The parser. A fetch that only stages messages needs none.
        from emailsys.client.archive.unreadable import readable_name, readable_name_and_fields

        if reading is Reading.HEADER:
            return readable_name(self._root, key, octets, arrived)
        return readable_name_and_fields(self._root, key, octets, arrived)
