"""Crash-safe journal of the fetched unique ids of a maildrop, with the time of each fetch."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from threading import Lock
from typing import Final

from emailsys.client.archive.files import rewrite
from emailsys.client.base.folders import make_folder, sync_folder
from emailsys.client.text.file_names import safe_name

# Time of the fetch in seconds since 1970, and the unique id.
_ENTRY: Final = re.compile(rb"([0-9]{1,12}) ([!-~ ]+)")
# The journal is rewritten when it has that many obsolete lines, and more obsolete than useful ones.
_MIN_OBSOLETE: Final = 1000


def numbered_ids(unique_ids: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    """Make duplicate unique ids distinct: the second gets the suffix " 2". Ids of servers contain no spaces.

    RFC 1939 §7 lets identical messages share an id. Some servers give one id to different messages.
    """
    seen: dict[str, int] = {}
    result = []
    for message, uid in unique_ids:
        count = seen[uid] = seen.get(uid, 0) + 1
        result.append((message, uid if count == 1 else f"{uid} {count}"))
    return result


class FetchedIds:
    """The journal of one maildrop. Methods block. The caller holds the maildrop's lock."""

    def __init__(self, folder: Path, host: str, username: str) -> None:
        """@param folder: the folder of the journals of all maildrops."""
        maildrop_hash = hashlib.sha256(f"{host}\0{username}".encode()).hexdigest()[:8]
        self._path = folder / f"{safe_name(f'{username} at {host}', 'maildrop', 100)}.{maildrop_hash}.ids"
        self._fetched: dict[str, int] = {}
        self._lines = 0
        self._size = 0
        self._adding = Lock()
        # Whether the file's name has been synced.
        self._is_name_synced = False

    @property
    def lock_path(self) -> Path:
        """Path of the lock file of this maildrop."""
        return self._path.with_suffix(".lock")

    def load(self) -> None:
        """Read the journal. An incomplete last line is ignored: `add` did not return for it.

        @raise OSError: the file cannot be read.
        """
        make_folder(self._path.parent)
        self._fetched = {}
        try:
            octets = self._path.read_bytes()
        except FileNotFoundError:
            octets = b""
        # The start of a torn line may look complete, so `_append` cuts it off.
        self._size = octets.rfind(b"\n") + 1
        lines = octets[: self._size].splitlines()
        self._lines = len(lines)
        for line in lines:
            entry = _ENTRY.fullmatch(line)
            if entry is not None:
                self._fetched[entry[2].decode("ascii")] = int(entry[1])

    def __contains__(self, uid: str) -> bool:
        return uid in self._fetched

    def __len__(self) -> int:
        return len(self._fetched)

    def fetched_at(self, uid: str) -> int:
        """Return the time of a fetch in seconds since 1970. @raise KeyError: the id was not fetched."""
        return self._fetched[uid]

    def add(self, uids: Iterable[str], at: int) -> None:
        """Record fetched ids whose messages are on disk. The record is on disk when this returns. Thread-safe.

        @param at: time of the fetch in seconds since 1970.
        @raise OSError: no id was recorded.
        """
        with self._adding:
            fresh = [uid for uid in uids if uid not in self._fetched]
            self._append(b"".join(b"%d %s\n" % (at, uid.encode("ascii")) for uid in fresh), len(fresh))
            for uid in fresh:
                self._fetched[uid] = at

    def forget(self) -> None:
        """Drop all ids. @raise OSError: none was dropped."""
        if self._size:
            rewrite(self._path, b"")
        self._fetched, self._lines, self._size = {}, 0, 0

    def remove(self) -> None:
        """Delete the journal. @raise OSError: it cannot be deleted."""
        self._path.unlink(missing_ok=True)

    def keep_only(self, on_server: Collection[str]) -> None:
        """Drop ids that the server no longer has, if there are many.

        An empty list drops nothing: it may be a server error, and then every message would be fetched again.
        """
        if not on_server:
            return
        gone = [uid for uid in self._fetched if uid not in on_server]
        left = len(self._fetched) - len(gone)
        if self._lines - left <= max(_MIN_OBSOLETE, left):
            return
        for uid in gone:
            del self._fetched[uid]
        octets = b"".join(b"%d %s\n" % (at, uid.encode("ascii")) for uid, at in self._fetched.items())
        rewrite(self._path, octets)
        self._lines = len(self._fetched)
        self._size = len(octets)

    def _append(self, octets: bytes, lines: int) -> None:
        if not octets:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            os.ftruncate(descriptor, self._size)
            os.lseek(descriptor, self._size, os.SEEK_SET)
            try:
                view = memoryview(octets)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, self._size)
                raise
        finally:
            os.close(descriptor)
        if not self._is_name_synced:
            sync_folder(self._path.parent)
            self._is_name_synced = True
        self._size += len(octets)
        self._lines += lines
