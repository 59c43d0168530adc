"""SMTP and POP3 services on real sockets with real TLS and the real policy, over a store in memory."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory

from emailsys.config.settings import POP3Settings, SMTPSettings
from emailsys.net.pop3.server import POP3ServerFactory
from emailsys.net.pop3.service import POP3Service
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.smtp.server import ESMTPServerFactory
from emailsys.net.smtp.service import Kind, SMTPService
from emailsys.policy.access import Access
from emailsys.policy.login_check import build_portal
from emailsys.policy.routing import Router
from tests.fakes.hashing import CountedHashing
from tests.fakes.net.attacker import Attacker
from tests.fakes.net.smtp_house import Events
from tests.fakes.net.tls_pipe import development_tls
from tests.fakes.store.memory_store import MemoryStore

HOST = "mx.example.test"
BODY = b"Subject: kept\r\n\r\nkept\r\n"


class TLSHouse:
    """alice@example.test has the password "alice" and one message, bob@example.test the password "bob"."""

    def __init__(self, reactor: Any, cleartext: bool = False, handshake_timeout: float = 30.0) -> None:
        """@param cleartext: whether logins without TLS are taken from loopback."""
        self._reactor = reactor
        clock = IReactorTime(reactor)
        self.store = MemoryStore()
        self.alice = self.store.seed_account("alice@example.test", {"argon2id": "alice"})
        self.store.seed_account("bob@example.test", {"argon2id": "bob"})
        self.store.put(self.alice, BODY)
        self.hashing = CountedHashing(lambda stored, password: stored == password)
        self.telemetry = Events()
        self.folder = tempfile.TemporaryDirectory()
        self.tls, self.authority = development_tls(Path(self.folder.name) / "certs")
        portal = build_portal(
            self.store.directory, self.store.maildrops, self.hashing, Access(Router(self.store.directory), HOST)
        )
        environment = ServiceEnvironment(portal, clock, self.telemetry, HOST, self.tls, handshake_timeout)
        receive = SMTPService(
            environment, Kind.RECEIVE, self.store.intake, SMTPSettings(plaintext_auth_on_loopback=cleartext)
        )
        self.receive = ESMTPServerFactory(receive)
        self.submission = ESMTPServerFactory(replace(receive, kind=Kind.SUBMISSION))
        self.pop3 = POP3ServerFactory(POP3Service(environment, POP3Settings(plaintext_auth_on_loopback=cleartext)))
        self._ports: dict[object, IListeningPort] = {}

    async def port(self, factory: ServerFactory, implicit_tls: bool = False) -> int:
        """The port on which a service listens; it begins to when first asked."""
        key = factory, implicit_tls
        if key not in self._ports:
            served = TLSMemoryBIOFactory(self.tls, False, factory) if implicit_tls else factory
            self._ports[key] = await TCP4ServerEndpoint(self._reactor, 0, interface="127.0.0.1").listen(served)
        return int(self._ports[key].getHost().port)  # type: ignore[attr-defined]

    async def attack(self, factory: ServerFactory, implicit_tls: bool = False) -> Attacker:
        """A client that has connected and heard the greeting, or with implicit TLS nothing yet."""
        endpoint = TCP4ClientEndpoint(self._reactor, "127.0.0.1", await self.port(factory, implicit_tls))
        attacker: Attacker = await connectProtocol(endpoint, Attacker())
        if not implicit_tls:
            await attacker.hears(b"\r\n")
        return attacker

    async def close(self, *attackers: Attacker) -> None:
        """Stop listening and wait until every connection has ended on both sides."""
        for attacker in attackers:
            if not attacker.lost:
                attacker.cut()
            await attacker.gone()
        for port in self._ports.values():
            await maybeDeferred(port.stopListening)
        while self.receive.sessions or self.submission.sessions or self.pop3.sessions:
            await deferLater(self._reactor, 0)
        self.folder.cleanup()


def tls12(ciphers: bytes = b"ECDHE+AESGCM") -> SSL.Context:
    """A client's context that does TLS 1.2 alone."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(ciphers)
    return context
