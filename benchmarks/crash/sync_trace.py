"""Judge a trace of strace: whether replies left after the sync that keeps their promise."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.live.programs.tracing import Call, calls

WATCHED: Final = (
    "openat,mkdir,fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg,recvfrom,read,ftruncate,unlink,rename"
)
_WAL: Final = "mail.sqlite-wal"
_READS: Final = frozenset({"recvfrom", "read"})
_SENDS: Final = frozenset({"sendto", "sendmsg", "write", "writev"})
# Files that a power cut may take: the index of the WAL, locks, the reserve of the disk, and the list of open ports.
_NEED_NO_SYNC: Final = ("-shm", ".lock", ".locks", "-lock", ".reserve", "listening.json")


def read(path: Path) -> list[Call]:
    """The calls of a trace that strace has written."""
    with path.open(errors="replace") as lines:
        return list(calls(lines))


def early(trace: Iterable[Call], reply: str, count: int) -> list[str]:
    """The replies that left too early.

    Between the last octets that were read and a reply, something must be written to the WAL, and a sync of the WAL that
    began after that write must have returned 0. What other transactions write may stay unsynced.

    @param reply: the text of the replies.
    @param count: the number of replies that the client has seen.
    """
    found: list[str] = []
    written = synced = False
    # By thread, whether the sync that it has begun covers the write.
    covers: dict[str, bool] = {}
    seen = 0
    for call in trace:
        text = call.text
        if call.name == "pwrite64" and _WAL in text:
            written = True
        elif call.name == "sync begins" and _WAL in text:
            covers[call.thread] = written
        elif call.name == "sync" and _WAL in text:
            synced = covers.pop(call.thread, written) or synced
        elif call.name in _READS and ("TCP" in text or "UNIX" in text) and not text.endswith(("= 0", "= -1")):
            written = synced = False
            covers = dict.fromkeys(covers, False)
        elif call.name in _SENDS and reply in text and "mail.sqlite" not in text:
            seen += 1
            if not synced:
                what = "written and not synced" if written else "nothing was written"
                found.append(f"{call.name}({text[:100]}): {what}")
            written = synced = False
    if seen != count:
        found.append(f"the trace has {seen} replies, the client saw {count}")
    return found


def writing_threads(trace: Iterable[Call]) -> set[str]:
    """The threads that have written to the WAL since the first client connected: only the writer may (decision 0002).

    Before, the store is opened in the main thread.
    """
    found: set[str] = set()
    connected = False
    for call in trace:
        connected = connected or (call.name in _READS and ("TCP" in call.text or "UNIX" in call.text))
        if connected and call.name == "pwrite64" and _WAL in call.text:
            found.add(call.thread)
    return found


def settled(trace: Sequence[Call], reply: str) -> list[str]:
    """Whether the store is written and synced after the last reply of the remote host."""
    last = max((n for n, call in enumerate(trace) if call.name in _READS and reply in call.text), default=-1)
    if last < 0:
        return ["no reply of the sink was seen"]
    wrote = synced = False
    for call in trace[last:]:
        if call.name == "pwrite64" and _WAL in call.text:
            wrote, synced = True, False
        elif call.name == "sync" and _WAL in call.text:
            synced = wrote
    return [] if wrote and synced else [f"written {wrote}, synced {synced}"]


def unsynced_names(trace: Iterable[Call], state: Path) -> list[str]:
    """The state folder and its files, where their folder was not synced after they were made."""
    made: dict[str, int] = {}
    last_sync: dict[str, int] = {}
    folder = -1
    for number, call in enumerate(trace):
        paths = re.findall(r'"([^"]+)"', call.text)
        if call.name == "mkdir" and call.text.endswith("= 0") and paths and paths[0] == str(state):
            folder = number
        elif call.name == "openat" and "O_CREAT" in call.text and paths and str(state) in paths[0]:
            made.setdefault(paths[0], number)
        elif call.name == "rename" and paths and str(state) in paths[-1]:
            made[paths[-1]] = number
            made.pop(paths[0], None)
            if paths[0] in last_sync:
                last_sync[paths[-1]] = last_sync[paths[0]]
        elif call.name == "sync" and (path := re.search(r"\d+<([^>]+)>", call.text)):
            last_sync[path[1].split("<")[0]] = number
    wrong = []
    if last_sync.get(str(state.parent), -1) < folder:
        wrong.append(f"the name of the state folder {state} is not synced")
    for file, number in made.items():
        if file.endswith(_NEED_NO_SYNC):
            continue
        if last_sync.get(os.path.dirname(file), -1) < number:
            wrong.append(f"the name {file} is not synced")
        if last_sync.get(file, -1) < 0 and not file.endswith("-wal"):
            wrong.append(f"the octets of {file} are not synced")
    return wrong
