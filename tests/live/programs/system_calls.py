"""Run a program under a filter of system calls, as systemd makes it of SystemCallFilter=.

python -m tests.live.programs.system_calls @system-service "~@privileged @resources" setpriority -- PROGRAM ARGUMENT...

Each word before -- is one of these settings. As in systemd, the calls of one that begins with ~ are taken away, and
those of the others are added. Calls that are not allowed end with EPERM.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from ctypes.util import find_library
from typing import Final

# libseccomp's seccomp.h and linux/prctl.h.
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_NO_NEW_PRIVILEGES: Final = 38


def calls_of(group: str) -> set[str]:
    """Return the system calls of a group, with those of the groups in it; or the call of that name."""
    if not group.startswith("@"):
        return {group}
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], check=True, capture_output=True, text=True
    ).stdout
    found: set[str] = set()
    for word in map(str.strip, listed.splitlines()[1:]):
        if word.startswith("@"):
            found |= calls_of(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def restrict(settings: list[str]) -> None:
    """Allow this process, and those that it starts, only the calls that the settings allow."""
    allowed = calls_of("@default")
    for setting in settings:
        calls = set().union(*map(calls_of, setting.removeprefix("~").split()))
        allowed = allowed - calls if setting.startswith("~") else allowed | calls
    library = ctypes.CDLL(find_library("seccomp"))
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    rules = library.seccomp_init(_ERRNO | errno.EPERM)
    for name in allowed:
        number = library.seccomp_syscall_resolve_name(name.encode())
        # This machine's kernel or library may be older than systemd's list.
        if number >= 0:
            library.seccomp_rule_add(rules, _ALLOW, number, 0)
    ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if library.seccomp_load(rules) != 0:
        raise SystemExit("the filter cannot be loaded")


if __name__ == "__main__":
    end = sys.argv.index("--")
    restrict(sys.argv[1:end])
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])
