"""How fast queued mail leaves for one smtp-sink: this system side by side with Postfix, one after the other.

Both get the same messages while their way out is closed; then it is opened, and the time is taken until the sink has
counted the last one. Postfix has its defaults but for what a private instance on loopback needs.
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.outbound_domains import DOMAINS, UNLIMITED, fill
from benchmarks.process import tree_cpu_seconds
from emailsys.control.requests import QueueChangeRows, Status
from emailsys.interfaces.operators import QueueChange
from tests.live.programs.daemon import Daemon
from tests.live.programs.lab import SMTP_SINK, wait_for, why_not
from tests.live.programs.postfix import DAEMONS
from tests.ports import free_ports

SMTP_SOURCE: Final = shutil.which("smtp-source", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_PATIENCE: Final = 600.0


class CountingSink:
    """An smtp-sink that prints how many messages it has taken."""

    def __init__(self) -> None:
        assert SMTP_SINK is not None
        [self.port] = free_ports(1)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 -- as long as the sink
        command = [SMTP_SINK, "-c", "-u", "nobody", f"127.0.0.1:{self.port}", "1000"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output)
        wait_for(self._listens)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    @property
    def taken(self) -> int:
        """Messages so far."""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - 200))
        counts = re.findall(rb"mesg=([0-9]+)", self._output.read())
        return int(counts[-1]) if counts else 0

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True)
class Taken:
    """How long the messages took, and the CPU time of the system that sent them."""

    seconds: float
    cpu_seconds: float


def timed(
    taken: Callable[[], int], messages: int, open_the_way: Callable[[], object], used: Callable[[], float]
) -> Taken:
    """Take the time from opening the way until the last message is there.

    @param taken: returns how many are there. @param used: returns the CPU seconds of the system so far.
    """
    before, used_before = taken(), used()
    began = time.perf_counter()
    open_the_way()
    wait_for(lambda: taken() - before >= messages, _PATIENCE)
    return Taken(time.perf_counter() - began, used() - used_before)


def ours(route: str, taken: Callable[[], int], messages: int, octets: int) -> Taken:
    """This system, with its defaults and a route, which is its keys in TOML."""
    daemon = Daemon(f"[[routing.routes]]\n{route}{UNLIMITED}[outbound]\nenabled = false\n")
    try:
        fill(daemon, daemon.user(), messages, octets)
        # What was not tried yet would leave as soon as the daemon starts again.
        wait_for(lambda: daemon.command(Status())["counters"].get("delayed", 0) >= messages)
        daemon.stop()
        daemon.config_path.write_text(daemon.config_path.read_text().replace("enabled = false\n", ""))
        daemon.start()
        request = QueueChangeRows(change=QueueChange.RETRY)
        return timed(taken, messages, lambda: daemon.command(request), lambda: tree_cpu_seconds([daemon.pid]))
    finally:
        daemon.close()


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def postfix(way: str, taken: Callable[[], int], messages: int, octets: int) -> Taken:
    """A private Postfix with its defaults.

    @param way: where all mail goes, as a transport and its next hop, such as "smtp:[127.0.0.1]:25".
    """
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    folder = Path(tempfile.mkdtemp(prefix="emailsys-postfix-"))
    folder.chmod(0o755)
    config = folder / "config"
    for name in ("spool", "data", "config"):
        (folder / name).mkdir()
    os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
    [port] = free_ports(1)
    main = f"""compatibility_level = 3.6
queue_directory = {folder}/spool
command_directory = /usr/sbin
daemon_directory = {DAEMONS}
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
default_transport = {way}
smtp_dns_support_level = disabled
smtp_host_lookup = native
alias_maps =
alias_database =
maillog_file =
"""
    (config / "main.cf").write_text(f"{main}defer_transports = {way.partition(':')[0]}\n")
    services = [f"127.0.0.1:{port} inet n - n - - smtpd"]
    services += [
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "flush unix n - n 1000? 0 flush",
        "retry unix - - n - - error",
        "smtp unix - - n - - smtp",
        "lmtp unix - - n - - lmtp",
        "tlsmgr unix - - n 1000? 1 tlsmgr",
        "anvil unix - - n - 1 anvil",
        "scache unix - - n - 1 scache",
        "proxymap unix - - n - - proxymap",
        "pickup unix n - n 60 1 pickup",
        "showq unix n - n - - showq",
    ]
    (config / "master.cf").write_text("\n".join(services) + "\n")
    for name in ("postfix-files", "dynamicmaps.cf"):
        found = Path("/etc/postfix") / name
        if found.exists():
            shutil.copy(found, config / name)
    program = ["/usr/sbin/postfix", "-c", str(config)]
    subprocess.run([*program, "check"], check=True, capture_output=True)
    master = subprocess.Popen([str(DAEMONS / "master"), "-c", str(config), "-d"], stderr=subprocess.DEVNULL)
    try:
        assert SMTP_SOURCE is not None
        source = [
            SMTP_SOURCE,
            "-s",
            "20",
            "-m",
            str(messages // DOMAINS),
            "-l",
            str(octets),
            "-f",
            "alice@example.test",
        ]
        for number in range(DOMAINS):
            command = [*source, "-f", "alice@example.test", "-t", f"bob@d{number}.test", f"127.0.0.1:{port}"]
            wait_for(partial(_succeeds, command))
        waiting = folder / "spool" / "deferred"
        wait_for(lambda: sum(1 for path in waiting.rglob("*") if path.is_file()) >= messages, _PATIENCE)

        def open_the_way() -> None:
            (config / "main.cf").write_text(main)
            subprocess.run([*program, "reload"], check=True, capture_output=True)
            subprocess.run(["/usr/sbin/postqueue", "-c", str(config), "-f"], check=True)

        return timed(taken, messages, open_the_way, lambda: tree_cpu_seconds([master.pid]))
    finally:
        master.terminate()
        master.wait()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Each in turn, and the ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=10_000)
    options.add_argument("--octets", type=int, default=4096)
    given = options.parse_args()
    if why_not() or SMTP_SOURCE is None:
        sys.exit(why_not() or "needs smtp-source of Postfix, which is not installed")
    messages = given.messages // DOMAINS * DOMAINS
    rates = {}
    for name in ("emailsys", "Postfix"):
        sink = CountingSink()
        taken = partial(getattr, sink, "taken")
        try:
            if name == "emailsys":
                way = f'host = "[127.0.0.1]"\nport = {sink.port}\n'
                found = ours(way, taken, messages, given.octets)
            else:
                found = postfix(f"smtp:[127.0.0.1]:{sink.port}", taken, messages, given.octets)
        finally:
            sink.close()
        rates[name] = show(name, messages, given.octets, found)
    print(f"ratio: {rates['emailsys'] / rates['Postfix']:.2f}")


def show(name: str, messages: int, octets: int, found: Taken) -> float:
    """Print what was measured, and return the messages a second."""
    rate, each = messages / found.seconds, found.cpu_seconds / messages * 1e6
    told = f"{messages} messages of {octets} octets in {found.seconds:.1f} s, {rate:.0f}/s, {each:.0f} µs CPU each"
    print(f"{name}: {told}", flush=True)
    return rate


if __name__ == "__main__":
    main()
