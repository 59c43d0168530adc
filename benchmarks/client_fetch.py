"""Fetch a maildrop with whole programs, one after the other: ours, mpop, getmail; seconds, and ratios to ours."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.live.programs.daemon import Daemon, User

BIN = Path(sys.executable).parent
# What makes a file and its name, and what brings them to the disk.
_CALLS = ("openat", "fsync", "fdatasync", "rename", "link", "unlink")
_WORDS = "the mail of a day has words in it that people search for later, and lines"


@dataclass(frozen=True)
class Program:
    """A mail program: writes its settings into a home of its own and says how it is called."""

    name: str
    needs: str
    prepare: Callable[[Path, Daemon, User], tuple[Sequence[str], Mapping[str, str]]]
    #: Where the messages lie then, below that home.
    pattern: str
    #: Whether it refuses to write mail as root; it is then run as nobody.
    refuses_root: bool = False
    #: A file below that home that is locked as long as it still has something to do when the command is over.
    locked: str | None = None


def _private(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def ours(home: Path, daemon: Daemon, user: User) -> tuple[Sequence[str], Mapping[str, str]]:
    """`emailsys mail fetch`, into one synced .eml a message and the index."""
    (home / "emailsys").mkdir()
    _private(
        home / "emailsys" / "mail.toml",
        f'[accounts.bench]\naddress = "{user.address}"\n[accounts.bench.pop3]\nhost = "localhost"\n'
        f'port = {daemon.ports["pop3s"]}\nsecurity = "tls"\nusername = "{user.address}"\n'
        f'secret = {{ value = "{user.password}" }}\nca_file = "{daemon.ca}"\n',
    )
    environ = {
        "XDG_CONFIG_HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_STATE_HOME": str(home / "state"),
        # An installation has its modules compiled; a checkout may be kept from it.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(daemon.folder / "compiled"),
    }
    return [str(BIN / "emailsys"), "mail", "fetch", "--keep", "leave"], environ


def mpop(home: Path, daemon: Daemon, user: User) -> tuple[Sequence[str], Mapping[str, str]]:
    """mpop into a maildir, which it syncs message by message."""
    for name in ("cur", "new", "tmp"):
        (home / "maildir" / name).mkdir(parents=True)
    settings = home / "mpoprc"
    _private(
        settings,
        f"account a\nhost localhost\nport {daemon.ports['pop3s']}\nuser {user.address}\npassword {user.password}\n"
        f"auth user\ntls on\ntls_starttls off\ntls_trust_file {daemon.ca}\n"
        f"delivery maildir {home}/maildir\nkeep on\nreceived_header off\nuidls_file {home}/uidls\n",
    )
    return ["mpop", "-q", "-C", str(settings), "a"], {}


def getmail(home: Path, daemon: Daemon, user: User) -> tuple[Sequence[str], Mapping[str, str]]:
    """getmail into a maildir."""
    for name in ("cur", "new", "tmp"):
        (home / "maildir" / name).mkdir(parents=True)
    shutil.copy(daemon.ca, home / "ca.pem")
    _private(
        home / "getmailrc",
        f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\nport = {daemon.ports['pop3s']}\n"
        f"username = {user.address}\npassword = {user.password}\nca_certs = {home}/ca.pem\n"
        f"[destination]\ntype = Maildir\npath = {home}/maildir/\n"
        "[options]\ndelete = false\nread_all = false\ndelivered_to = false\nreceived = false\nverbose = 0\n",
    )
    return ["getmail", "--getmaildir", str(home), "--rcfile", "getmailrc"], {}


PROGRAMS = (
    Program("emailsys", str(BIN / "emailsys"), ours, "data/**/*.eml", locked="data/**/.lock"),
    Program("mpop", "mpop", mpop, "maildir/new/*"),
    Program("getmail", "getmail", getmail, "maildir/new/*", refuses_root=True),
)


def fill(daemon: Daemon, user: User, messages: int, octets: int) -> None:
    """Send as many messages of about that size, as mail between people looks."""
    line = _WORDS.encode() + b"\r\n"
    with smtplib.SMTP("localhost", daemon.ports["smtp"]) as session:
        for number in range(messages):
            header = (
                f'From: "Correspondent {number % 50}" <person{number % 50}@example.org>\r\nTo: <{user.address}>\r\n'
                f"Message-ID: <{number}@example.org>\r\nDate: Mon, 2 Mar 2026 10:{number % 60:02d}:00 +0000\r\n"
                f"Subject: the minutes of meeting {number}\r\nMIME-Version: 1.0\r\n"
                "Content-Type: text/plain; charset=utf-8\r\n\r\n"
            ).encode()
            body = header + line * ((octets - len(header)) // len(line))
            session.sendmail("bench@example.org", [user.address], body)


def run(program: Program, home: Path, daemon: Daemon, user: User, before: Sequence[str] = ()) -> float:
    """Seconds of one fetch of everything into a new home. @param before: words before the command."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    command, environ = program.prepare(home, daemon, user)
    as_user = "nobody" if program.refuses_root and os.geteuid() == 0 else None
    if as_user is not None:
        for path in (home, *home.rglob("*")):
            shutil.chown(path, as_user, "nogroup")
    began = time.perf_counter()
    subprocess.run(
        [*before, *command],
        env={**os.environ, "HOME": str(home), **environ},
        cwd=home,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=as_user,
        group="nogroup" if as_user else None,
        extra_groups=[] if as_user else None,
    )
    return time.perf_counter() - began


class Homes:
    """New homes, removed together at the end: ext4 without a journal is slow to make files after many were removed."""

    def __init__(self) -> None:
        self._made: list[Path] = []

    def new(self) -> Path:
        """An empty folder."""
        self._made.append(Path(tempfile.mkdtemp(prefix="emailsys-bench-")))
        return self._made[-1]

    def remove(self) -> None:
        """All of them."""
        for home in self._made:
            shutil.rmtree(home, ignore_errors=True)


def wait_for(program: Program, home: Path) -> float:
    """Seconds until what goes on behind the command has ended: others are not to be measured beside it."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    began = time.perf_counter()
    if program.locked is not None:
        for path in home.glob(program.locked):
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
    return time.perf_counter() - began


def once(program: Program, homes: Homes, daemon: Daemon, user: User, messages: int) -> tuple[float, float]:
    """Seconds of one fetch and of what goes on behind it, checked by counting what is there afterwards."""
    home = homes.new()
    seconds = run(program, home, daemon, user)
    behind = wait_for(program, home)
    count = sum(1 for _ in home.glob(program.pattern))
    assert count == messages, f"{program.name} fetched {count} messages of {messages}"
    return seconds, behind


def traced(program: Program, homes: Homes, daemon: Daemon, user: User) -> Mapping[str, int]:
    """How often each of the calls that bring files to the disk succeeded in one fetch, by strace."""
    home = homes.new()
    report = home / "calls"
    report.touch()
    run(program, home, daemon, user, ["strace", "-f", "-c", "-o", str(report), "-e", f"trace={','.join(_CALLS)}"])
    wait_for(program, home)
    counts = dict.fromkeys(_CALLS, 0)
    for line in report.read_text().splitlines():
        words = line.split()
        if words and words[-1] in counts:
            # Columns: % time, seconds, usecs/call, calls, errors (empty where there are none), syscall.
            counts[words[-1]] = int(words[3]) - (int(words[4]) if len(words) == 6 else 0)
    return counts


def main() -> None:
    """Fill a maildrop by SMTP, let each program fetch it in turn, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=1000)
    options.add_argument("--octets", type=int, default=4096, help="of a message")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--only", nargs="+", choices=[one.name for one in PROGRAMS], help="beside emailsys")
    options.add_argument(
        "--strace", action="store_true", help="Print how often each program syncs and names files, too."
    )
    given = options.parse_args()
    here = [
        one for one in PROGRAMS if shutil.which(one.needs) and (not given.only or one.name in ("emailsys", *given.only))
    ]
    for program in PROGRAMS:
        if shutil.which(program.needs) is None:
            print(f"{program.name} is not installed")
    daemon = Daemon()
    homes = Homes()
    try:
        user = daemon.user()
        fill(daemon, user, given.messages, given.octets)
        messages = given.messages
        taken: dict[str, list[float]] = {program.name: [] for program in here}
        later: dict[str, list[float]] = {program.name: [] for program in here}
        for program in here:
            once(program, homes, daemon, user, messages)
        # In turn: what else the machine does meets all of them.
        for _ in range(given.rounds):
            for program in here:
                seconds, behind = once(program, homes, daemon, user, messages)
                taken[program.name].append(seconds)
                later[program.name].append(behind)
        if given.strace:
            for program in here:
                counts = traced(program, homes, daemon, user)
                print(f"{program.name}: " + ", ".join(f"{count} {call}" for call, count in counts.items()))
    finally:
        homes.remove()
        daemon.close()
    ours_took = statistics.median(taken["emailsys"])
    for name, each in taken.items():
        median = statistics.median(each)
        print(
            f"{name}: {messages} messages of {given.octets} octets in {median:.2f} s (median; {min(each):.2f} to "
            f"{max(each):.2f}), {messages / median:,.0f}/s, {median / ours_took:.2f} times as long as emailsys"
        )
    print(f"emailsys: mail could be searched {statistics.median(later['emailsys']):.2f} s after that (median)")


if __name__ == "__main__":
    main()
