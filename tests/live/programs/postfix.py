"""A real Postfix of a test's own: private folders, loopback ports, one SMTP service for each certificate."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.live.programs.daemon import PATIENCE
from tests.ports import free_ports

DAEMONS: Final = Path("/usr/lib/postfix/sbin")


def why_not() -> str:
    """Why no Postfix can be run here; "" where one can."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    if not (DAEMONS / "master").exists() or shutil.which("postfix", path="/usr/sbin") is None:
        return "needs Postfix, which is not installed"
    if os.geteuid() != 0:
        return "needs root, without which Postfix does not start"
    return ""


async def banner(reactor: Any, port: int, alive: Any) -> str:
    """What a host says first, once it listens; `alive` raises where it never will."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                return connection.recv(512).decode("latin-1").strip()
        except OSError:
            alive()
            await deferLater(reactor, 0.02)
    raise AssertionError(f"nobody listens on port {port}")


class Running(ProcessProtocol):
    """A program in the foreground; `ended` fires at its end."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self.said = b""
        self.is_over = False

    def errReceived(self, data: bytes) -> None:
        self.said += data

    def processEnded(self, reason: Failure) -> None:
        self.is_over = True
        self.ended.callback(None)

    def alive(self) -> None:
        """
        @raise AssertionError: it has ended.
        """
        assert not self.is_over, self.said


class Postfix:
    """`services` has pairs of certificate chain and key by name; "" has no TLS. `ports` has where they listen."""

    def __init__(
        self,
        reactor: Any,
        services: Mapping[str, tuple[Path, Path]],
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """@param settings: of main.cf, in place of those here or beside them."""
        self._reactor = reactor
        self._folder = Path(tempfile.mkdtemp(prefix="emailsys-postfix-"))
        self._folder.chmod(0o755)
        self._running = Running()
        self.ports = dict(zip(services, free_ports(len(services)), strict=True))
        self._write(services, settings or {})

    def _write(self, services: Mapping[str, tuple[Path, Path]], others: Mapping[str, str]) -> None:
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        folder, config = self._folder, self._folder / "config"
        for name in ("spool", "data", "config"):
            (folder / name).mkdir()
        os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
        main = {
            "compatibility_level": "3.6",
            "queue_directory": f"{folder}/spool",
            "command_directory": "/usr/sbin",
            "daemon_directory": str(DAEMONS),
            "data_directory": f"{folder}/data",
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "myhostname": "mx.example.net",
            "mydestination": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "virtual_mailbox_domains": "example.net",
            "virtual_mailbox_maps": "inline:{bob@example.net=x, carol@example.net=x, grey@example.net=x,"
            " bøb@example.net=x}",
            "virtual_transport": "discard:",
            "smtpd_recipient_restrictions": "check_recipient_access inline:{{grey@example.net=450 4.2.0 greylisted}},"
            " reject_unauth_destination",
            "alias_maps": "",
            "alias_database": "",
            "maillog_file": "",
            **others,
        }
        (config / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in main.items()), "utf-8")
        lines = []
        for name, (chain, key) in services.items():
            lines.append(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd")
            lines.append(f"  -o smtpd_tls_security_level=may -o smtpd_tls_chain_files={key},{chain}")
        lines += [
            "cleanup unix n - n - 0 cleanup",
            "qmgr unix n - n 300 1 qmgr",
            "rewrite unix - - n - - trivial-rewrite",
            "bounce unix - - n - 0 bounce",
            "defer unix - - n - 0 bounce",
            "discard unix - - n - - discard",
            "virtual unix - n n - - virtual",
            "tlsmgr unix - - n 1000? 1 tlsmgr",
            "anvil unix - - n - 1 anvil",
            "proxymap unix - - n - - proxymap",
            "pickup unix n - n 60 1 pickup",
        ]
        (config / "master.cf").write_text("\n".join(lines) + "\n", "utf-8")
        for name in ("postfix-files", "dynamicmaps.cf"):
            found = Path("/etc/postfix") / name
            if found.exists():
                shutil.copy(found, config / name)

    async def start(self) -> str:
        """Return its banner once it listens."""
        config = self._folder / "config"
        checked = subprocess.run(  # noqa: ASYNC221 -- it makes the folders of the spool, in milliseconds
            ["/usr/sbin/postfix", "-c", str(config), "check"], capture_output=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
        master = str(DAEMONS / "master")
        self._transport = self._reactor.spawnProcess(
            self._running, master, [master, "-c", str(config), "-d"], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        )
        return await banner(self._reactor, next(iter(self.ports.values())), self._running.alive)

    async def stop(self) -> None:
        """End it, and remove its folders."""
        if self._transport.pid is not None:
            self._transport.signalProcess("TERM")
            await self._running.ended
        shutil.rmtree(self._folder, ignore_errors=True)
