"""Limit of the size of the files that another process of this user writes: Linux only."""

from __future__ import annotations

import sys


def limit_file_size(pid: int, octets: int | None) -> bool:
    """Lets a process write no octet of a file beyond this size, and None removes the limit; returns whether it could.

    The process gets EFBIG (the signal SIGXFSZ, if it does not ignore it). Needs no privileges: only the soft limit is
    changed.
    """
    if sys.platform == "linux":
        # Imported here, so that the lab can be imported where this module is missing.
        import resource

        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if octets is None else octets, hard))
        return True
    return False
