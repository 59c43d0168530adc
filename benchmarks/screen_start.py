"""The full screen with a large mailbox: CPU time and memory until its first rows, from the start of the program.

python -m benchmarks.screen_start [--messages 90000] [--rounds 5] [--folder PATH]
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from emailsys.cli.mail.session import Session
from emailsys.client.accounts.values import Account
from emailsys.client.archive.values import Addition, Flag, Folder
from emailsys.mail.address import parse
from emailsys.mail.trace_fields import date_time

INBOX: Final = Folder("alice", "Inbox")
BEGIN: Final = datetime(2020, 1, 1, tzinfo=UTC)
# A word of each subject, by which a row on the screen is known, and the seconds in which it has to come.
ROW: Final = b"Topic"
PATIENCE: Final = 60.0


def message(number: int) -> bytes:
    """A short message. Five of them are a conversation."""
    references = f"References: <{number - 1}@x.test>\r\n" if number % 5 else ""
    return (
        f"From: Person {number % 400} <p{number % 400}@x.test>\r\nTo: alice@example.org\r\n"
        f"Subject: {'Re: ' if number % 5 else ''}Topic {number // 5} with a longer subject\r\n"
        f"Message-ID: <{number}@x.test>\r\n{references}"
        f"Date: {date_time(BEGIN + timedelta(minutes=30 * number))}\r\n\r\nbody {number}\r\n"
    ).encode()


def fill(count: int) -> None:
    """Store the messages in the folders that the environment names."""
    session = Session()
    mailbox = session.mailbox
    mailbox.accounts_file.put(Account("alice", parse("alice@example.org")), default=True)
    mailbox.archive.add_account("alice")
    for base in range(0, count, 1_000):
        numbers = range(base, min(base + 1_000, count))
        mailbox.archive.add_many([Addition(message(number), INBOX, flags=Flag.SEEN) for number in numbers])
    session.close()


def start() -> tuple[float, float, float]:
    """Start the program at 80x24. Return its CPU seconds and its wall seconds until a row is drawn, and its MB."""
    if sys.platform == "win32":
        raise SystemExit("This measurement needs a POSIX terminal.")
    began = time.monotonic()
    child, terminal = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-m", "emailsys", "mail"])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    drawn = b""
    try:
        while ROW not in drawn:
            if time.monotonic() - began > PATIENCE:
                raise SystemExit(f"No row within {PATIENCE:g} s. The program wrote: {drawn[-2_000:]!r}")
            if select.select([terminal], [], [], 0.02)[0]:
                drawn += os.read(terminal, 65_536)
        wall = time.monotonic() - began
        words = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        cpu = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
        status = Path(f"/proc/{child}/status").read_text()
        memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        return cpu, wall, memory * 1024 / 1e6
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def main() -> None:
    """Measure in a temporary home folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=90_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as home:
        names = {f"XDG_{name}_HOME": str(Path(home) / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
        os.environ.update(names, HOME=home, TERM="xterm-256color")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        fill(arguments.messages)
        # The first start compiles the modules.
        start()
        rounds = [start() for _ in range(arguments.rounds)]
        for name, values in zip(("CPU s", "wall s", "MB"), zip(*rounds, strict=True), strict=True):
            print(f"{name}: {min(values):.2f} to {max(values):.2f}, median {statistics.median(values):.2f}")


if __name__ == "__main__":
    main()
