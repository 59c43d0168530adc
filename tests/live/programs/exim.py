"""A real Exim of a test's own: private folders, loopback ports, one with STARTTLS and one with implicit TLS."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.live.programs.postfix import Running, banner
from tests.ports import free_ports

# Debian lets one mail server be installed at a time. `.ci/run` unpacks Exim beside Postfix.
_PLACES: Final = (Path("/usr/sbin/exim4"), Path("/opt/exim4/usr/sbin/exim4"))
# The user whose name is compiled into Debian's Exim.
_USER: Final = "Debian-exim"


def program() -> Path | None:
    """The program, None where it is not installed."""
    return next((place for place in _PLACES if place.exists()), None)


def why_not() -> str:
    """Why no Exim can be run here; "" where one can."""
    if sys.platform == "win32":
        return "needs Unix"
    import pwd

    if program() is None:
        return "needs Exim, which is not installed"
    if os.geteuid() != 0:
        return "needs root, without which Exim reads no configuration of ours"
    try:
        pwd.getpwnam(_USER)
    except KeyError:
        return f"needs the user {_USER}"
    return ""


class Exim:
    """`smtp` and `submissions` are its ports. It accepts no recipient."""

    def __init__(self, reactor: Any, chain: Path, key: Path) -> None:
        self._reactor = reactor
        # Exim becomes its own user, which must reach all files: its folder cannot be that of the test.
        self._folder = Path(tempfile.mkdtemp(prefix="emailsys-exim-"))
        self._folder.chmod(0o755)
        self._running = Running()
        self.smtp, self.submissions = free_ports(2)
        for name in ("spool", "log"):
            (self._folder / name).mkdir()
            shutil.chown(self._folder / name, _USER)
        for path in (chain, key):
            shutil.copy(path, self._folder / path.name)
            shutil.chown(self._folder / path.name, _USER)
        settings = {
            "primary_hostname": "mx.example.net",
            "spool_directory": f"{self._folder}/spool",
            "log_file_path": f"{self._folder}/log/%slog",
            "pid_file_path": f"{self._folder}/pid",
            "daemon_smtp_ports": f"{self.smtp} : {self.submissions}",
            "tls_on_connect_ports": str(self.submissions),
            "local_interfaces": "127.0.0.1",
            "tls_advertise_hosts": "*",
            "tls_certificate": str(self._folder / chain.name),
            "tls_privatekey": str(self._folder / key.name),
            "host_lookup": "",
            "rfc1413_query_timeout": "0s",
            "smtp_accept_max": "100",
            "keep_environment": "",
            "acl_smtp_rcpt": "deny",
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        (self._folder / "config").write_text("\n".join(lines) + "\n", "utf-8")

    async def start(self) -> str:
        """Return its banner once it listens."""
        path = str(program())
        self._transport = self._reactor.spawnProcess(
            self._running, path, [path, "-C", str(self._folder / "config"), "-bdf"], env={"PATH": "/usr/bin:/bin"}
        )
        return await banner(self._reactor, self.smtp, self._running.alive)

    async def stop(self) -> None:
        """End it, and remove its folders."""
        if self._transport.pid is not None:
            self._transport.signalProcess("TERM")
            await self._running.ended
        shutil.rmtree(self._folder, ignore_errors=True)
