"""What the system tells of a process: CPU time and memory, from /proc."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tree(roots: Iterable[int]) -> list[int]:
    """Return these processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found: list[int] = []
    left = list(roots)
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def tree_cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time so far of these processes, of their descendants, and of those that have ended."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    ticks = 0
    for pid in tree(roots):
        with suppress(OSError):
            # utime, stime, and the times of the children that were waited for: proc_pid_stat(5).
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def tree_memory(roots: Iterable[int]) -> float:
    """Return the MiB of these processes and their descendants. Pages of several of them are divided (PSS)."""
    kibibytes = 0
    for pid in tree(roots):
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kibibytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kibibytes / 1024


def _status(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"/proc/{pid}/status has no {name}")


def resident(pid: int) -> float:
    """MiB in memory now."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> float:
    """The most MiB in memory since `forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Begin a new peak (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
