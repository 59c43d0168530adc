"""Exit statuses of all commands, numbered as in sysexits.h."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """The exit status of a command."""

    OK = 0
    FAILED = 1
    WEAK = 2
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


# What `emailsys --help` says of each.
MEANING: dict[Exit, str] = {
    Exit.OK: "success",
    Exit.FAILED: "the check failed (try, verify, probe, bench), a message is missing (catch), a lesson went wrong "
    "(lab), nothing was found (trace, watch --export), there are differences (apply --check), or messages "
    "stayed where they are (mail delete, mail move, mail spam)",
    Exit.WEAK: "the examined server has weaknesses, but attackers cannot use them directly (probe)",
    Exit.USAGE: "the command line is wrong",
    Exit.DATA: "the request cannot be carried out with these domains, accounts or messages",
    Exit.NO_INPUT: "the store, or the message, folder or file that was named, does not exist",
    Exit.NO_USER: "the user or group to run as does not exist",
    Exit.UNAVAILABLE: "the daemon, a mail server or an address is not available, or the state folder is in use",
    Exit.SOFTWARE: "unexpected exception in emailsys; please report it",
    Exit.OS: "the operating system refused a request",
    Exit.CANNOT_CREATE: "the state folder or a file cannot be created",
    Exit.IO: "reading or writing a file failed",
    Exit.TEMPORARY: "the store is busy or full, or a mail server cannot be reached now; try again later",
    Exit.NO_PERMISSION: "this user does not have permission",
    Exit.CONFIG: "the configuration, the accounts or a certificate are wrong",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
}
