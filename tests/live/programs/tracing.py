"""Read what strace saw of a daemon: when it synced its files, and when it answered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# -f -y -ttt: "PID 1700000000.123456 fdatasync(7</state/mail.sqlite-wal>) = 0"
_SYNCS = frozenset({"fsync", "fdatasync", "sync_file_range", "msync"})
_CALL = re.compile(r"(?:\[pid +)?(\d+)\]? +([\d.]+) (?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)$")


@dataclass(frozen=True)
class Call:
    """A system call, at the moment it began or, for a sync, at the moment it returned.

    A sync that took its time stands there twice: first as "sync begins".
    """

    name: str
    text: str
    thread: str


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """The calls of a trace, in the order of their lines; a sync stands where it returned 0, with its file."""
    begun: dict[str, str] = {}
    for line in lines:
        found = _CALL.match(line.strip())
        if found is None:
            continue
        process, name, text = found[1], found[3], found[4]
        if name not in _SYNCS:
            yield Call(name, text, process)
        elif text.endswith("<unfinished ...>"):
            begun[process] = text
            yield Call("sync begins", text, process)
        elif re.search(r"\)\s*= 0$", text):
            yield Call("sync", begun.pop(process, "") + text, process)


def accepted(call: Call) -> list[str]:
    """The queue ids whose acceptance a writing call tells a client."""
    if call.name not in {"write", "writev", "send", "sendto", "sendmsg"}:
        return []
    return re.findall(r"250 2\.0\.0 queued as (\w+)", call.text)
