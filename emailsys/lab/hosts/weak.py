"""Deliberately weak servers, for the lab only: each has one fault that real servers had. They listen on loopback."""

from __future__ import annotations

import re
from typing import Final

from typing_extensions import override

from emailsys.lab.hosts.mail_host import MailHost, Stored

_ENDS: Final = re.compile(rb"(?:^|\r\n|\n)(\.(?:\r\n|\n))")


class WeakKeepsPlaintext(MailHost):
    """Runs inside TLS what came in the clear behind STARTTLS (CVE-2011-0411 and its relatives)."""

    name = "weak.example.test"

    @override
    def plaintext_after_starttls(self, octets: bytes) -> bytes:
        """Keeps them: the fault."""
        return octets


class WeakEndOfData(MailHost):
    """Takes a dot between two bare LF for the end of a message (SMTP smuggling, CVE-2023-51764 and its relatives)."""

    name = "weak.example.test"

    @override
    def end_of_data(self, octets: bytes) -> tuple[int, int] | None:
        """Accepts any line end around the dot: the fault."""
        found = _ENDS.search(octets)
        return None if found is None else (found.start(1), found.end(1))


class WeakBufferedDisk(MailHost):
    """Says 250 before the message is on disk, and writes later. Its disk is full.

    The disk is /dev/full where the system has it: the kernel answers every write with ENOSPC. Elsewhere the lab raises
    the same error.
    """

    name = "weak.example.test"

    def __init__(self) -> None:
        self.errors: list[str] = []
        super().__init__()

    @override
    def store(self, message: Stored) -> bytes:
        """Answers first, then writes: the fault."""
        try:
            write_to_full_disk(message.octets)
        except OSError as error:
            self.errors.append(error.strerror or str(error))
        else:
            self.keep(message)
        return b"250 2.0.0 Accepted for delivery"


def write_to_full_disk(octets: bytes) -> None:
    """Writes to a device that is always full.

    @raise OSError: always, ENOSPC.
    """
    import errno
    import os

    try:
        device = os.open("/dev/full", os.O_WRONLY)
    except OSError:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
    try:
        os.write(device, octets)
    finally:
        os.close(device)
