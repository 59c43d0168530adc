"""The replay of a shim's log up to a power cut.

A disk may have after a power cut:

* of each file, what the last successful sync covered, and any sectors written after it, each in any version;
* of names, what the last sync of their directory covered, and any number of the later changes, in their order.

A sync that failed covers nothing, and no later sync brings what it should have written to the disk, as on Linux.
"""

from __future__ import annotations

import enum
import os
import random
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SECTOR: Final = 512
# As in shim/disk.c: kind, octets of data, inode, offset, value.
_HEADER: Final = struct.Struct("<BxxxIQqq")
_BUFFER: Final = 1 << 20


class Kind(enum.IntEnum):
    """The kinds of events."""

    WRITE = 1
    TRUNCATE = 2
    SYNC_BEGIN = 3
    SYNC_END = 4
    CREATE = 5
    UNLINK = 6
    RENAME = 7
    DIR_SYNC = 8
    SEND = 9
    OPEN = 10


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the log. `value` of a sync is the number of the event at which it began."""

    number: int
    kind: Kind
    file: int
    offset: int
    value: int
    data: bytes


def events(log: Path) -> Iterator[Event]:
    """Read all events of a log."""
    with log.open("rb", buffering=_BUFFER) as octets:
        number = 0
        while len(head := octets.read(_HEADER.size)) == _HEADER.size:
            kind, length, file, offset, value = _HEADER.unpack(head)
            data = octets.read(length)
            yield Event(number, Kind(kind), file, offset, value, data)
            number += 1


@dataclass
class _File:
    """The octets that the disk has for sure, and the writes that no sync has covered yet."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Event] = field(default_factory=list)


def _apply(octets: bytearray, event: Event) -> None:
    if event.kind is Kind.TRUNCATE:
        if event.offset < len(octets):
            del octets[event.offset :]
        else:
            octets.extend(bytes(event.offset - len(octets)))
        return
    end = event.offset + len(event.data)
    if len(octets) < end:
        octets.extend(bytes(end - len(octets)))
    octets[event.offset : end] = event.data


class Replay:
    """The state of a disk while its log is played."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._folders: dict[int, str] = {}
        self._names: dict[str, _File] = {}
        self._name_changes: list[tuple[str, _File | None]] = []

    def play(self, event: Event, chance: random.Random) -> None:
        """Play the next event. Chance decides what a failed sync has left on the disk."""
        kind = event.kind
        if kind in (Kind.WRITE, Kind.TRUNCATE):
            self._file(event).pending.append(event)
        elif kind is Kind.SYNC_END:
            self._synced(self._file(event), event, chance)
        elif kind is Kind.OPEN:
            if event.value:
                self._folders[event.file] = event.data.decode()
        elif kind is Kind.CREATE:
            self._files[event.file] = file = _File()
            self._name_changes.append((event.data.decode(), file))
        elif kind is Kind.UNLINK:
            self._name_changes.append((event.data.decode(), None))
        elif kind is Kind.RENAME:
            self._name_changes.append((event.data.decode(), self._files.setdefault(event.file, _File())))
        elif kind is Kind.DIR_SYNC:
            folder = self._folders.get(event.file)
            later: list[tuple[str, _File | None]] = []
            for name, changed in self._name_changes:
                if folder is not None and os.path.dirname(name) == folder:
                    self._change(self._names, name, changed)
                else:
                    later.append((name, changed))
            self._name_changes = later

    def _file(self, event: Event) -> _File:
        return self._files.setdefault(event.file, _File())

    @staticmethod
    def _synced(file: _File, event: Event, chance: random.Random) -> None:
        begun = event.value
        covered = [one for one in file.pending if one.number < begun]
        file.pending = [one for one in file.pending if one.number >= begun]
        if event.offset == 0:
            for one in covered:
                _apply(file.durable, one)
        elif chance.random() < 0.5:
            file.durable = _torn(file.durable, covered, chance, Manner.SECTORS)

    @staticmethod
    def _change(names: dict[str, _File], name: str, file: _File | None) -> None:
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file

    def cut(self, chance: random.Random, manner: Manner) -> Mapping[str, bytes]:
        """The files after a power cut at this moment, by path."""
        names = dict(self._names)
        count = {Manner.NOTHING: 0, Manner.ALL: len(self._name_changes)}.get(
            manner, chance.randint(0, len(self._name_changes))
        )
        for name, file in self._name_changes[:count]:
            self._change(names, name, file)
        return {name: bytes(_torn(file.durable, file.pending, chance, manner)) for name, file in names.items()}


class Manner(enum.Enum):
    """Which of the writes without a sync are on the disk after the cut."""

    NOTHING = "nothing"
    ALL = "all"
    PREFIX = "the first ones, the last of them torn"
    SECTORS = "any sectors"
    MOST = "all but a few sectors"
    FEW = "a few sectors"


def _torn(durable: bytearray, pending: list[Event], chance: random.Random, manner: Manner) -> bytearray:
    octets = bytearray(durable)
    if manner is Manner.NOTHING or not pending:
        return octets
    if manner is Manner.ALL:
        for event in pending:
            _apply(octets, event)
        return octets
    first = chance.randint(0, len(pending))
    if manner is Manner.PREFIX:
        for event in pending[:first]:
            _apply(octets, event)
        if first < len(pending) and pending[first].kind is Kind.WRITE:
            last = pending[first]
            cut = chance.randrange(len(last.data) + 1) // SECTOR * SECTOR
            _apply(octets, Event(last.number, last.kind, last.file, last.offset, 0, last.data[:cut]))
        return octets
    return _reordered(octets, pending, chance, manner)


def _reordered(octets: bytearray, pending: list[Event], chance: random.Random, manner: Manner) -> bytearray:
    # A truncation happens after all that was written before it; only later writes are reordered, sector by sector.
    cuts = [number for number, event in enumerate(pending) if event.kind is Kind.TRUNCATE]
    start = 0
    if cuts:
        start = chance.choice([0, *(cut + 1 for cut in cuts)])
        for event in pending[:start]:
            _apply(octets, event)
    writes = []
    for event in pending[start:]:
        if event.kind is Kind.TRUNCATE:
            break
        writes.append(event)
    share = {Manner.SECTORS: 0.5, Manner.MOST: 0.98, Manner.FEW: 0.02}[manner]
    by_sector: dict[int, list[Event]] = {}
    for event in writes:
        for sector in range(event.offset // SECTOR, (event.offset + len(event.data) - 1) // SECTOR + 1):
            by_sector.setdefault(sector, []).append(event)
    for sector, some in by_sector.items():
        if chance.random() >= share:
            continue
        version = len(some) if len(some) == 1 else chance.randint(1, len(some))
        begin, end = sector * SECTOR, (sector + 1) * SECTOR
        for event in some[:version]:
            low, high = max(begin, event.offset), min(end, event.offset + len(event.data))
            _apply(
                octets, Event(event.number, event.kind, 0, low, 0, event.data[low - event.offset : high - event.offset])
            )
    return octets
