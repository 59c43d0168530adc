"""The servers that are compared: each in a private folder, on free ports, with the same certificate and accounts."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks import process
from emailsys.control.requests import DomainAdd, UserAdd
from emailsys.mail.address import Address
from emailsys.passwords import make_credentials
from tests.live.programs.daemon import Daemon

DOMAIN: Final = "bench.test"
#: Accounts of each server. The workloads use fixed ranges of them.
ACCOUNTS: Final = 200
PASSWORD: Final = "correct-horse-battery"
_CONFIG: Final = """[smtp]
max_connections_per_ip = 0
max_connections = 20000
[pop3]
max_connections_per_ip = 0
max_connections = 20000
[sending]
recipients_per_hour = 0
[[tls.certificates]]
chain = "{chain}"
key = "{key}"
"""


class Certificate:
    """A certificate with an RSA key of 2,048 bits for localhost, and the CA that has signed it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        self.ca, self.chain, self.key = (folder / name for name in ("ca.pem", "server.pem", "server.key"))
        extensions = folder / "extensions"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"]
        signed = ["openssl", "x509", "-req", "-days", "30", "-CAcreateserial", "-extfile", str(extensions)]
        by_ca = ["-CA", str(self.ca), "-CAkey", str(folder / "ca.key")]
        for command in (
            [*new, "-x509", "-subj", "/CN=benchmark CA", "-keyout", str(folder / "ca.key"), "-out", str(self.ca)],
            [*new, "-subj", "/CN=localhost", "-keyout", str(self.key), "-out", str(folder / "request")],
            [*signed, "-in", str(folder / "request"), *by_ca, "-out", str(self.chain)],
        ):
            subprocess.run(command, check=True, capture_output=True)


class Server(ABC):
    """A running server.

    @ivar ports: of the services smtp, submission, pop3 and pop3s.
    """

    name: str
    ports: Mapping[str, int]

    @property
    @abstractmethod
    def roots(self) -> Sequence[int]:
        """The processes from which all others of the server descend."""

    @abstractmethod
    def close(self) -> None:
        """End it."""

    def cpu(self) -> float:
        """Seconds of CPU so far, of all processes."""
        return process.tree_cpu_seconds(self.roots)

    def memory(self) -> float:
        """MiB of all processes."""
        return process.tree_memory(self.roots)


def listens(port: int) -> bool:
    """Whether a program accepts connections on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def addresses() -> list[str]:
    """Return the accounts."""
    return [f"user{number}@{DOMAIN}" for number in range(ACCOUNTS)]


class Emailsys(Server):
    """This checkout, with its default store."""

    name = "emailsys"

    def __init__(self, folder: Path, certificate: Certificate) -> None:
        config = _CONFIG.format(chain=certificate.chain, key=certificate.key)
        self._daemon = Daemon(config, folder=folder)
        self._daemon.start()
        self.ports = self._daemon.ports
        credentials = make_credentials(PASSWORD)
        self._daemon.command(DomainAdd(DOMAIN, Address("user0", DOMAIN)))
        for address in addresses():
            self._daemon.command(UserAdd(Address(*address.split("@")), credentials))

    @property
    def roots(self) -> Sequence[int]:
        return [self._daemon.pid]

    def close(self) -> None:
        self._daemon.stop()


def users_file(folder: Path) -> Path:
    """Write the accounts for the load generator."""
    path = folder / "users"
    path.write_text("".join(f"{address} {PASSWORD}\n" for address in addresses()))
    return path


def private_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a new folder that other users can enter: Postfix and Dovecot run as several of them."""
    folder = tempfile.TemporaryDirectory(prefix="emailsys-bench-", ignore_cleanup_errors=True)
    os.chmod(folder.name, 0o755)
    return folder
