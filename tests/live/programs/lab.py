"""A little internet on loopback for a real daemon: a name server in a thread, and smtp-sinks on port 25."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.names import dns

from tests.fakes.net.memory_dns import Zone
from tests.live.programs.daemon import PATIENCE

SMTP_SINK: Final = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def why_not() -> str:
    """Why there is no such lab here; "" where there is."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    if SMTP_SINK is None:
        return "needs smtp-sink of Postfix, which is not installed"
    if os.geteuid() != 0:
        return "needs root, without which nothing listens on port 25"
    return ""


class Addresses:
    """Addresses of 127.0.0.0/8 that no other test takes, one after the other."""

    def __init__(self) -> None:
        self._net = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self._last = 0

    def next(self) -> str:
        """One more."""
        self._last += 1
        return f"{self._net}.{self._last}"


class NameServer:
    """Answers from `zone` over UDP at 127.0.0.1, in a thread."""

    def __init__(self) -> None:
        self.zone = Zone()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            datagram, peer = self._socket.recvfrom(4096)
            if not datagram:
                return
            query = dns.Message()
            query.fromStr(datagram)
            answer = self.zone.answer(query)
            if answer is not None:
                self._socket.sendto(answer.toStr(), peer)

    def host(self, domain: str, address: str) -> None:
        """A domain whose mail goes to an address."""
        self.zone.add(domain, "MX", f"10 mx.{domain}")
        self.zone.add(f"mx.{domain}", "A", address)

    @property
    def config(self) -> str:
        """The lines that name it, and allow its hosts on this machine."""
        return f'nameservers = ["127.0.0.1:{self.port}"]\nallow_private = true\n'

    def close(self) -> None:
        """End the thread."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as farewell:
            farewell.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(PATIENCE)
        self._socket.close()


class Sink:
    """An smtp-sink at an address, port 25; `banner` is what it says first. With `dumps` it keeps what it takes."""

    def __init__(self, address: str, *options: str, dumps: bool = False) -> None:
        assert SMTP_SINK is not None
        self.address = address
        self.folder = Path(tempfile.mkdtemp(prefix="emailsys-sink-"))
        self.folder.chmod(0o777)
        keep = ("-d", f"{self.folder}/message.") if dumps else ()
        command = [SMTP_SINK, "-u", "nobody", *keep, *options, f"{address}:25", "1000"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.banner = wait_for(self._greeting)

    def _greeting(self) -> str:
        assert self._process.poll() is None, "smtp-sink has ended"
        try:
            with socket.create_connection((self.address, 25), timeout=5) as connection:
                return connection.recv(512).decode("latin-1").strip()
        except OSError:
            return ""

    @property
    def messages(self) -> list[bytes]:
        """What it has taken, with LF and some lines of its own at the top."""
        return [path.read_bytes() for path in sorted(self.folder.iterdir())]

    def close(self) -> None:
        """End it, and forget what it took."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_for(what: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The answer, once it is true."""
    deadline = time.monotonic() + patience
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
