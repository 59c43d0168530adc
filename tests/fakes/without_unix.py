"""Run emailsys on Linux without what Windows lacks.

The first argument is `all` (import every module), `trial` (run tests) or `cli` (the console program, with arguments).
Twisted and the standard library have their own ways on Windows, and have been imported for Unix before the removal.
`os.name` and `sys.platform` stay as they are, for these libraries read them at every turn; so do `os.O_NONBLOCK` and
`signal.SIGCHLD`, which Twisted's reactor uses wherever `os.name` is posix.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import select
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

# They ask for the system once, when they are imported.
BEFORE: Final = (
    *("asyncio", "concurrent.futures", "ctypes", "getpass", "mailbox", "multiprocessing", "pathlib", "platform"),
    *("selectors", "ssl", "subprocess", "tempfile", "uuid", "webbrowser", "zipfile"),
    *("twisted.internet.selectreactor", "twisted.internet.process", "twisted.internet.unix", "twisted.python.lockfile"),
    *(
        "twisted.internet.endpoints",
        "twisted.internet.posixbase",
        "twisted.python.logfile",
        "twisted.scripts.twistd",
        "prompt_toolkit",
        "textual.app",
    ),
    *("textual.drivers.linux_driver", "textual.drivers.headless_driver", "prompt_toolkit.input.vt100"),
    *("prompt_toolkit.output.vt100", "prompt_toolkit.input.typeahead", "prompt_toolkit.shortcuts", "keyring"),
)
MODULES: Final = ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog")
NAMES: Final[dict[Any, Sequence[str]]] = {
    os: (
        *("fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "setuid", "setgid", "setgroups", "getgroups"),
        *("getgrouplist", "setsid", "getpgid", "killpg", "uname", "statvfs", "fwalk", "chown", "fchown", "lchown"),
        *("pread", "pwrite", "posix_fadvise", "openpty", "getloadavg", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW"),
        *("O_PATH", "ST_RDONLY", "mkfifo", "sched_getaffinity", "waitid", "wait3", "fdatasync"),
    ),
    signal: ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGPIPE", "SIGSTOP", "SIGCONT", "alarm"),
    socket: ("AF_UNIX", "SO_PEERCRED", "SO_REUSEPORT"),
    select: ("epoll", "poll"),
}


def remove_unix() -> None:
    """Take away what Windows has not; `msvcrt` comes in its place."""
    from tests.fakes.msvcrt import Locking

    for name in BEFORE:
        importlib.import_module(name)
    modules: dict[str, Any] = sys.modules
    files: Any = shutil
    if sys.platform == "win32":
        raise RuntimeError("needs Linux")
    fcntl, statvfs = importlib.import_module("fcntl"), os.statvfs
    pair, family = socket.socketpair, socket.AF_UNIX
    usage: Any = type(shutil.disk_usage("/"))
    # Windows has pairs, which Python makes of two connections over loopback.
    socket.socketpair = lambda *of: pair(family)

    def disk_usage(path: Any) -> Any:
        disk = statvfs(path)
        total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        return usage(total, total - free, free)

    # Twisted leaves these out where it finds no Unix.
    modules["twisted.internet.posixbase"].unixEnabled = False
    # The standard library's own asks Windows there.
    files.disk_usage = disk_usage
    for module in MODULES:
        modules[module] = None
    for place, names in NAMES.items():
        for name in names:
            if hasattr(place, name):
                delattr(place, name)
    modules["msvcrt"] = Locking(fcntl)


def import_all() -> None:
    """Import every module of emailsys, and print those that cannot be."""
    import emailsys

    for found in pkgutil.walk_packages(emailsys.__path__, "emailsys."):
        # Migrations are run by Alembic, which gives them a context.
        if found.name.endswith("__main__") or ".migrations." in found.name:
            continue
        try:
            importlib.import_module(found.name)
        except (AttributeError, ImportError) as error:
            print(f"{found.name}: {error}")


def main(arguments: Sequence[str]) -> None:
    """Remove Unix, then import all modules, run tests, or be the console program."""
    remove_unix()
    if arguments[0] == "all":
        import_all()
        return
    if arguments[0] == "trial":
        from twisted.scripts.trial import run

        sys.argv = [*arguments]
        run()
        return
    from emailsys.cli.main import main as console_program

    sys.argv = ["emailsys", *arguments[1:]]
    console_program()


if __name__ == "__main__":
    main(sys.argv[1:])
