"""Daemons of the lab: started when a lesson first needs their settings, stopped together at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from emailsys.cli.password import credentials_of
from emailsys.cli.tryout.daemon_process import RunningDaemon
from emailsys.config.loader import embedded
from emailsys.config.settings import (
    AddressOrder,
    CertificateFiles,
    Listen,
    OutboundSettings,
    QueueSettings,
    Settings,
    TLSSettings,
)
from emailsys.config.toml_text import render
from emailsys.control.requests import (
    DomainAdd,
    QueueChangeRows,
    QueueList,
    RouteSet,
    Status,
    UserAddMany,
    UserMaySendAs,
)
from emailsys.interfaces.operators import QueueChange
from emailsys.lab.base.loopback import HOST
from emailsys.lab.base.stage import PASSWORDS, Change, Pki
from emailsys.mail.address import Address
from emailsys.mail.next_hop import TLSPolicy
from emailsys.platforms.file_size import limit_file_size

_DOMAIN: Final = "example.test"
_SERVICES: Final = ("smtp", "submission", "submissions", "pop3", "pop3s")


class LabDaemon:
    """A running daemon with the lab's accounts; see `emailsys.lab.base.stage.System`."""

    def __init__(self, folder: Path, settings: Settings, accounts: list[tuple[Address, list[tuple[str, str]]]]) -> None:
        folder.mkdir(mode=0o700)
        config = folder / "emailsys.toml"
        config.write_text(render(settings), "utf-8")
        self.daemon = RunningDaemon(folder, config, folder / "daemon.log")
        self._folder = folder
        self._ports: dict[str, int] = {}
        self._accounts = accounts

    def start(self) -> None:
        """Starts the daemon and makes its accounts."""
        self.daemon.start()
        listening = self.daemon.ask(Status())["listening"]
        self._ports = {name: int(addresses[0].rpartition(":")[2]) for name, addresses in listening.items()}
        self.daemon.ask(DomainAdd(_DOMAIN, self._accounts[0][0]))
        self.daemon.ask(UserAddMany(tuple(self._accounts)))

    @property
    def ports(self) -> Mapping[str, int]:
        """The port of each service, by name."""
        return self._ports

    def set_route(self, domain: str, port: int, tls: TLSPolicy) -> None:
        """Sends mail for a domain to a port of this machine."""
        self.daemon.ask(RouteSet("localhost", tls, port, domain))

    def may_send_as(self, account: str, sender: str, allowed: bool) -> None:
        """Allows or forbids an account to send from another address."""
        self.daemon.ask(UserMaySendAs(_address(account), (_address(sender),), not allowed))

    def queue(self) -> list[dict[str, Any]]:
        """Returns the rows of the queue."""
        rows: list[dict[str, Any]] = self.daemon.ask(QueueList())
        return rows

    def retry(self) -> None:
        """Makes all rows of the queue due now."""
        self.daemon.ask(QueueChangeRows(change=QueueChange.RETRY))

    def limit_growth(self, octets: int | None) -> bool:
        """Lets the daemon's database and its log grow by that number of octets only; None removes the limit."""
        if octets is None:
            return limit_file_size(self.daemon.pid, None)
        sizes = [(self._folder / name).stat().st_size for name in ("mail.sqlite", "mail.sqlite-wal")]
        return limit_file_size(self.daemon.pid, max(sizes) + octets)

    def drop_queue(self) -> None:
        """Removes all rows of the queue that are not under way."""
        self.daemon.ask(QueueChangeRows(change=QueueChange.DROP))


class LabDaemons:
    """Daemons by their settings.

    @param folder: each daemon gets a state folder of its own in it.
    """

    def __init__(self, folder: Path, pki: Pki) -> None:
        self._folder, self._pki = folder, pki
        self._running: dict[Settings, LabDaemon] = {}
        self._accounts: list[tuple[Address, list[tuple[str, str]]]] = []

    def running(self, change: Change) -> LabDaemon:
        """Returns the daemon whose settings are the lab's, changed by this function; starts it if necessary."""
        settings = change(self._own_settings())
        found = self._running.get(settings)
        if found is None:
            if not self._accounts:
                # Hashing takes 20 ms each, on purpose.
                self._accounts = [(_address(one), credentials_of(password)) for one, password in PASSWORDS.items()]
            found = LabDaemon(self._folder / f"daemon-{len(self._running) + 1}", settings, self._accounts)
            self._running[settings] = found
            found.start()
        return found

    def stop(self) -> None:
        """Stops all daemons and waits for them."""
        for one in self._running.values():
            one.daemon.end()
        for one in self._running.values():
            one.daemon.stop()

    def _own_settings(self) -> Settings:
        """Returns the default settings on free ports of 127.0.0.1, with short times of the queue.

        Unlike in the embedded default, passwords in the clear are refused.
        """
        plain = embedded(self._folder)
        listens: dict[str, Any] = {f"{name}_listen": Listen(((HOST, 0),)) for name in _SERVICES}
        return replace(
            plain,
            smtp=replace(plain.smtp, plaintext_auth_on_loopback=False),
            pop3=replace(plain.pop3, plaintext_auth_on_loopback=False),
            tls=TLSSettings(tuple(CertificateFiles(one.chain, one.key) for one in self._pki.certificates)),
            queue=QueueSettings(
                first_retry=1.0,
                retry_growth=1.0,
                retry_jitter=0.0,
                first_pause=1.0,
                max_pause=1.0,
                poll=1.0,
                stop_grace=0.0,
            ),
            # Without idle connections, the attacker sees QUIT at once.
            outbound=OutboundSettings(
                ca_file=self._pki.authority, address_order=AddressOrder.IPV4_ONLY, idle_connections=0
            ),
            **listens,
        )


def _address(text: str) -> Address:
    return Address(*text.split("@"))
