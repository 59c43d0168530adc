"""A whole mail system in memory, put together as the daemon is: its store, its sessions, its queue, on one network."""

from __future__ import annotations

import base64
import email
import email.policy
from collections.abc import Sequence
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from zope.interface import implementer

from emailsys.config.settings import Listen, OutboundSettings, QueueSettings, RoutingSettings, Settings, SMTPSettings
from emailsys.daemon.outbound import Outbound
from emailsys.interfaces import IAliases
from emailsys.interfaces.operators import IQuotas, IRouteAdministration, Usage
from emailsys.mail.address import Address, parse
from emailsys.mail.networks import Networks
from emailsys.mail.next_hop import HostRoute
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.smtp.server import ESMTPServerFactory
from emailsys.net.smtp.service import Kind, SMTPService
from emailsys.policy.login_check import build_portal
from emailsys.testing.memory_peer import LOOPBACK, STRANGER, MemoryPeer
from tests.fakes.hashing import CountedHashing
from tests.fakes.net.memory_net import NAME_SERVER, MemoryNet
from tests.fakes.net.smtp_house import Events, TakenOnTrust
from tests.fakes.store.memory_accounts import MemoryAccounts
from tests.fakes.store.memory_store import MemoryStore

PASSWORD = "secret"
MESSAGE_AUTHOR = b"From: alice@home.test\r\n"
MESSAGE = MESSAGE_AUTHOR + b"Subject: hello\r\nMessage-ID: <one@home.test>\r\n\r\nhow are you?\r\n.dotted\r\n"


@implementer(IAliases)
class AliasedAccounts(MemoryAccounts):
    """Accounts with aliases by (local part, domain); an empty local part is the catch-all."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.aliases: dict[tuple[str, str], tuple[Address, ...]] = {}

    async def targets(self, local_key: str, domain_key: str) -> Sequence[Address]:
        return self.aliases.get((local_key, domain_key), ())


@implementer(IRouteAdministration)
class MemoryRoutes:
    """Routes that an operator has set."""

    def __init__(self) -> None:
        self.known: list[HostRoute] = []

    async def set_route(self, route: HostRoute) -> None:
        self.known.append(route)

    async def remove_route(self, recipient_domain: str, sender_domain: str) -> None:
        self.known.clear()

    async def routes(self) -> Sequence[HostRoute]:
        return tuple(self.known)


@implementer(IQuotas)
class MemoryQuotas:
    """No bounds, but for those in `full`."""

    def __init__(self) -> None:
        self.full: set[int] = set()

    async def usage(self, account_id: int) -> tuple[Usage, Usage]:
        return Usage(1, 1 if account_id in self.full else 0), Usage(0, 0)

    async def set_quota(self, address: Address | str, octets: int | None) -> None:
        """Nothing asks for it."""


class WholeHouse:
    """A mail system at an address of a network; `users` are its accounts, their domains in that order."""

    def __init__(
        self,
        net: MemoryNet,
        hostname: str,
        address: str,
        *users: str,
        queue: QueueSettings | None = None,
        routing: RoutingSettings | None = None,
        outbound: OutboundSettings | None = None,
        store: Any = None,
    ) -> None:
        self.net = net
        self.settings = Settings(
            hostname,
            Path("nowhere"),
            smtp_listen=Listen(((address, 25),)),
            smtp=SMTPSettings(plaintext_auth_on_loopback=True),
            queue=queue or QueueSettings(),
            routing=routing or RoutingSettings(),
            outbound=replace(outbound or OutboundSettings(), nameservers=(NAME_SERVER,)),
        )
        self.store: Any = store or self._new_store()
        self.telemetry = Events()
        for user in users:
            self.store.seed_account(user, {"argon2id": PASSWORD})
        self.draws = 0.5
        self.outbound = Outbound(
            net, self.settings, self.store, self.telemetry, b"x" * 32, self.store.now, lambda: self.draws
        )
        hashing = CountedHashing(lambda stored, password: stored == password)
        portal = build_portal(self.store.directory, self.store.maildrops, hashing, self.outbound.access)
        taken_on_trust: Any = TakenOnTrust()
        environment = ServiceEnvironment(portal, net, self.telemetry, hostname, taken_on_trust)
        self._receive, self._submission = (
            ESMTPServerFactory(
                SMTPService(
                    environment,
                    kind,
                    self.outbound.intake,
                    self.settings.smtp,
                    now=self.store.now,
                    is_trusted=Networks(self.settings.routing.trusted_networks).__contains__,
                )
            )
            for kind in (Kind.RECEIVE, Kind.SUBMISSION)
        )
        net.listen(address, self._receive)
        for domain in dict.fromkeys(user.rpartition("@")[2] for user in users):
            net.zone.add(domain, "MX", f"10 {hostname}")
        net.zone.add(hostname, "A", address)
        self.outbound.start()

    def _new_store(self) -> Any:
        store: Any = MemoryStore(self.net)
        store.accounts = store.directory = AliasedAccounts(store.make_id, store.drops, store.known_networks)
        store.routes, store.quotas = MemoryRoutes(), MemoryQuotas()
        return store

    def alias(self, name: str, *targets: str) -> None:
        """A name stands for others."""
        local, _, domain = name.rpartition("@")
        self.store.directory.aliases[local, domain] = tuple(parse(target) for target in targets)

    def submit(self, sender: str, *recipients: str, body: bytes = MESSAGE, mail: str = "", rcpt: str = "") -> str:
        """A user sends a message through the submission port, with the user as its author; its queue id.

        @param mail: parameters of MAIL. @param rcpt: parameters of each RCPT.
        """
        token = base64.b64encode(f"\0{sender}\0{PASSWORD}".encode()).decode()
        return self._send(
            MemoryPeer(self._submission.buildProtocol(None), self.net, LOOPBACK),
            [f"EHLO client\r\nAUTH PLAIN {token}"],
            sender,
            recipients,
            body.replace(MESSAGE_AUTHOR, f"From: {sender}\r\n".encode()),
            mail,
            rcpt,
        )

    def receive(self, sender: str, *recipients: str, body: bytes = MESSAGE, mail: str = "", rcpt: str = "") -> str:
        """A stranger sends a message to port 25; its queue id."""
        peer = MemoryPeer(self._receive.buildProtocol(None), self.net, STRANGER)
        return self._send(peer, ["EHLO stranger"], sender, recipients, body, mail, rcpt)

    def _send(
        self,
        peer: MemoryPeer,
        lines: list[str],
        sender: str,
        recipients: Sequence[str],
        body: bytes,
        mail: str,
        rcpt: str,
    ) -> str:
        lines.append(f"MAIL FROM:<{sender}> {mail}".rstrip())
        lines += [f"RCPT TO:<{recipient}> {rcpt}".rstrip() for recipient in recipients]
        peer.say("".join(f"{line}\r\n" for line in (*lines, "DATA")).encode())
        heard = peer.heard()
        assert heard.splitlines()[-1].startswith(b"354"), heard
        peer.say(
            b"\r\n".join(b"." + line if line.startswith(b".") else line for line in body.split(b"\r\n")) + b".\r\n"
        )
        reply = peer.heard().decode()
        assert "queued as" in reply, reply
        peer.say(b"QUIT\r\n")
        self.net.settle()
        return reply.split()[-1]

    def maildrop(self, user: str) -> list[EmailMessage]:
        """What a user finds."""
        account = next(login.account for key, login in self.store.accounts._logins.items() if key == parse(user).key)
        rows = self.store.drops.get(account.account_id, ())
        return [email.message_from_bytes(row.octets, policy=email.policy.default) for row in rows]

    @property
    def waiting(self) -> list[Any]:
        """Recipients in the queue."""
        return list(self.store.waiting)
