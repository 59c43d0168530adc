"""The mail client of one person in a folder of its own, with servers in this process on real sockets."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twisted.internet.protocol import ServerFactory

from emailsys.client.accounts.blocking_secrets import CommandSecrets
from emailsys.client.accounts.secrets import Secrets
from emailsys.client.accounts.values import Account, SecretKind, SecretSource, Security, Server
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import INBOX, Folder
from emailsys.client.archive.worker import WorkerArchive, WorkerProcess
from emailsys.client.base.threads import threads_of
from emailsys.client.fetch.fetcher import Fetcher, Progress
from emailsys.client.send.outbox import Outbox
from emailsys.client.send.sender import Sender, SendProgress
from emailsys.mail.address import parse


class ClientHouse:
    """Archive, fetcher, outbox and sender over one folder, and a clock that a test sets. Close it at the end."""

    def __init__(self, reactor: Any, folder: Path | None = None, second: WorkerProcess | None = None) -> None:
        self.reactor = reactor
        self.folder = folder or Path(tempfile.mkdtemp(prefix="emailsys-client-"))
        self.time = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        self.state = self.folder / "state"
        self.archive = Archive(self.folder / "mail", self.now)
        self.in_thread = threads_of(reactor)
        self.secrets = Secrets(self.in_thread)
        self.progress: list[Progress] = []
        self.sending: list[SendProgress] = []
        store = (
            self.archive
            if second is None
            else WorkerArchive(second, self.folder / "mail", self.now, lambda: self.archive)
        )
        self.fetcher = Fetcher(store, CommandSecrets(), self.state, self.now, self.progress.append)
        self.outbox = Outbox(self.archive, self.state, self.now)
        self.sender = Sender(reactor, self.archive, self.outbox, self.secrets, self.now, self.sending.append)
        self._ports: list[Any] = []

    def now(self) -> datetime:
        return self.time

    def pass_days(self, days: float) -> None:
        """Time goes by."""
        self.time += timedelta(days=days)

    def listen(self, factory: ServerFactory) -> int:
        """Serve on loopback; the port."""
        port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self._ports.append(port)
        return int(port.getHost().port)

    def account(
        self, name: str = "alice", *, pop3: int | None = None, smtp: int | None = None, password: str = "secret"
    ) -> Account:
        """An account with servers of this process, in the clear, for they are on this machine."""
        address = parse(f"{name}@example.test")

        def server(port: int | None) -> Server | None:
            secret = SecretSource(SecretKind.FILE, value=password)
            return None if port is None else Server("127.0.0.1", port, Security.NONE, str(address), secret=secret)

        return Account(name, address, pop3=server(pop3), smtp=server(smtp))

    def messages(self, account: str = "alice", folder: str = INBOX) -> list[bytes]:
        """What a folder holds, sorted."""
        return sorted(self.archive.octets(one.key) for one in self.archive.list(Folder(account, folder), 100_000))

    def anew(self) -> ClientHouse:
        """The same folder, as the next start of the program finds it."""
        again = ClientHouse(self.reactor, self.folder)
        again.time = self.time
        return again

    async def close(self) -> None:
        """End what was begun, and remove the folder."""
        await self.sender.close()
        for port in self._ports:
            await port.stopListening()
        self.archive.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def with_pop3(account: Account, **changes: Any) -> Account:
    """The account with a POP3 server that differs."""
    assert account.pop3 is not None
    return replace(account, pop3=replace(account.pop3, **changes))


def numbered(count: int) -> Sequence[bytes]:
    """Messages that differ, each with a dot that begins a line."""
    return [b"From: a@example.org\r\nSubject: message %d\r\n\r\nbody %d\r\n.dot\r\n" % (at, at) for at in range(count)]
