"""Which messages of a maildrop were fetched, and when: a journal of unique ids that a crash cannot tear."""

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

# When it was fetched, in seconds since 1970, and the id.
_ENTRY: Final = re.compile(rb"([0-9]{1,12}) ([!-~ ]+)")
# The journal is written anew when it has so many more lines than ids of use, and twice as many.
_MUCH: Final = 1000


def numbered_ids(unique_ids: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    """Tell messages with one unique id apart: the second gets " 2" behind it, which no id of a server has.

    RFC 1939 §7 lets identical messages have one id; servers that give it to others exist.
    """
    seen: dict[str, int] = {}
    result = []
    for message, uid in unique_ids:
        count = seen[uid] = seen.get(uid, 0) + 1
        result.append((message, uid if count == 1 else f"{uid} {count}"))
    return result


class FetchedIds:
    """The journal of one maildrop. Blocking; whoever calls holds the maildrop's claim."""

    def __init__(self, folder: Path, host: str, username: str) -> None:
        """@param folder: where the journals of all maildrops are."""
        told_apart = hashlib.sha256(f"{host}\0{username}".encode()).hexdigest()[:8]
        self._path = folder / f"{safe_name(f'{username} at {host}', 'maildrop', 100)}.{told_apart}.ids"
        self._fetched: dict[str, int] = {}
        self._lines = 0
        self._size = 0
        self._adding = Lock()
        # Whether the file's name is known to be on disk.
        self._named = False

    @property
    def lock_path(self) -> Path:
        """The file of the claim on this maildrop."""
        return self._path.with_suffix(".lock")

    def load(self) -> None:
        """Read the journal. A last line that a crash has torn says nothing, for nobody was told of it.

        @raise OSError: it cannot be read.
        """
        make_folder(self._path.parent)
        self._fetched = {}
        try:
            octets = self._path.read_bytes()
        except FileNotFoundError:
            octets = b""
        # Of a torn line the beginning may look whole: it is cut off before the next one is written.
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
        """Seconds since 1970. @raise KeyError: it was not fetched."""
        return self._fetched[uid]

    def add(self, uids: Iterable[str], at: int) -> None:
        """These were fetched, and are on disk; so is this when it returns. May be called by several threads at once.

        @raise OSError: none of them counts.
        """
        with self._adding:
            fresh = [uid for uid in uids if uid not in self._fetched]
            self._append(b"".join(b"%d %s\n" % (at, uid.encode("ascii")) for uid in fresh), len(fresh))
            for uid in fresh:
                self._fetched[uid] = at

    def keep_only(self, on_server: Collection[str]) -> None:
        """Forget those that the server has no more, once it is worth it. An empty list makes it forget nothing: it may
        be a mistake of the server's, and then everything would come twice."""
        if not on_server:
            return
        gone = [uid for uid in self._fetched if uid not in on_server]
        left = len(self._fetched) - len(gone)
        if self._lines - left <= max(_MUCH, left):
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
        if not self._named:
            sync_folder(self._path.parent)
            self._named = True
        self._size += len(octets)
        self._lines += lines
