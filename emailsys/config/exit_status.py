"""The exit statuses of every command, by the numbers of sysexits.h."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """How a command ended; `emailsys --help` lists these."""

    OK = 0
    FAILED = 1
    USAGE = 64
    DATA = 65
    NO_INPUT = 66
    NO_USER = 67
    UNAVAILABLE = 69
    SOFTWARE = 70
    OS = 71
    CANNOT_CREATE = 73
    IO = 74
    TEMPORARY = 75
    NO_PERMISSION = 77
    CONFIG = 78
    INTERRUPTED = 130


MEANING: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILED: "it was tried and did not hold (try), is not known (trace), or is not as it should be (verify)",
    Exit.USAGE: "the command line is wrong",
    Exit.DATA: "what was asked for cannot be done with these domains and accounts, or with this message",
    Exit.NO_INPUT: "the message, folder or file that was named is not there",
    Exit.NO_USER: "the user or group to run as does not exist",
    Exit.UNAVAILABLE: "the daemon, a mail server or an address is not available, or the state folder is in use",
    Exit.SOFTWARE: "a defect of emailsys; please report it",
    Exit.OS: "the operating system refused",
    Exit.CANNOT_CREATE: "the state folder or a file cannot be made",
    Exit.IO: "reading or writing failed",
    Exit.TEMPORARY: "the store is busy or full, or a mail server cannot be reached now; try again",
    Exit.NO_PERMISSION: "not allowed for this user",
    Exit.CONFIG: "the configuration, the accounts or a certificate are wrong",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
}
