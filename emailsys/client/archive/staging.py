"""Messages written and synced before they have a name that counts: anybody may do that, without the store's lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from emailsys.client.archive.files import Spool, Syncing, file_name, new_key, speaking_of_the_disk, spool_at
from emailsys.client.archive.index_entry import heading_of
from emailsys.client.archive.marks import NO_MARKS, Marks
from emailsys.client.archive.parts import Parts
from emailsys.client.archive.values import Addition, Place

#: The folder, in that of the store, of messages that have no name yet.
ARRIVING: Final = ".arriving"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message whose octets are on disk, under a name that does not count yet."""

    key: str
    place: Place
    name: str
    octets: int
    spool: Spool
    marks: Marks = NO_MARKS


class Spooling:
    """Writes into a folder of the store's own. Several threads may use one; close it at the end."""

    def __init__(self, root: Path) -> None:
        """@param root: of the store, which has that folder."""
        # Not in the messages' folders, which would seem changed to whoever compares them with the index.
        self._parts = Parts(root / ARRIVING)
        self._syncing = Syncing()

    def close(self) -> None:
        """End what syncs."""
        self._syncing.close()
        self._parts.close()

    @contextmanager
    def spooled(self, additions: Sequence[Addition], now: datetime) -> Iterator[list[Waiting]]:
        """Write and sync all of them; what was not named at the end is dropped."""
        waiting: list[Waiting] = []
        try:
            for addition in additions:
                key = new_key(addition.source)
                # The time of the file is that of arrival: the index takes it from there.
                arrived = addition.arrived or now
                heading = heading_of(addition.octets, arrived)
                name = file_name(key, heading.date, heading.sender, heading.subject)
                marks = NO_MARKS
                if addition.flags or addition.tags or addition.note is not None:
                    marks = Marks(addition.flags, tuple(sorted(set(addition.tags))), addition.note)
                spool = spool_at(self._parts.new_path(), addition.octets, arrived)
                waiting.append(Waiting(key, addition.place, name, len(addition.octets), spool, marks))
            with speaking_of_the_disk():
                self._syncing.sync([one.spool for one in waiting])
            yield waiting
        finally:
            for one in waiting:
                one.spool.drop()
