"""A SASL mechanism that needs a stored secret in mid-exchange works over SMTP and POP3 from one table entry."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.mail import smtp
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from emailsys.config.settings import POP3Settings, SMTPSettings
from emailsys.interfaces import ISecrets, StoreError
from emailsys.mail.address import parse
from emailsys.net.pop3.server import POP3ServerFactory
from emailsys.net.pop3.service import POP3Service
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.serving.session_login import MAX_FAILED_LOGINS
from emailsys.net.smtp.server import ESMTPServerFactory
from emailsys.net.smtp.service import Kind, SMTPService
from emailsys.policy.access import Access
from emailsys.policy.login_check import StoredSecrets, build_portal
from emailsys.policy.routing import Router
from emailsys.testing.memory_peer import MemoryPeer
from emailsys.wire.sasl import MECHANISMS, Credentials, SaslSyntaxError, ask, secret_of
from tests.fakes.hashing import CountedHashing
from tests.fakes.net.smtp_house import Events
from tests.fakes.store.memory_store import MemoryStore

HOST: Final = "mx.example.test"
SCHEME: Final = "test-proof"
SECRET: Final = "5ec7e7"


def proof_of(secret: str, nonces: bytes) -> bytes:
    """Returns the proof that client and server both compute."""
    return hmac.new(secret.encode(), nonces, hashlib.sha256).hexdigest().encode()


async def proof(initial: bytes | None) -> Credentials:
    """Like SCRAM (RFC 5802 §5): names and nonces, then the stored secret, a proof, and the server's own proof."""
    first = await ask(b"") if initial is None else initial
    authzid, separator, rest = first.partition(b",")
    account, found, nonce = rest.partition(b",")
    if not (separator and found):
        raise SaslSyntaxError("malformed client-first-message")
    secret = await secret_of(account, SCHEME)
    nonces = nonce + b"-server"
    given = await ask(nonces)
    holds = hmac.compare_digest(given, proof_of(secret or "made up", nonces)) and secret is not None
    if holds:
        await ask(b"v=" + proof_of(secret or "", nonces[::-1]))
    return Credentials(account, authzid=authzid, proven=holds)


TABLE: Final = {**MECHANISMS, "TEST-PROOF": proof}


@implementer(ISecrets)
class HeldSecrets:
    """A store of secrets that answers when the test releases it."""

    def __init__(self, secrets: StoredSecrets) -> None:
        self._secrets = secrets
        self.wait: Deferred[None] | None = None
        self.failure: Exception | None = None
        self.asked: list[tuple[bytes, str]] = []

    async def find_secret(self, name: bytes, scheme: str) -> str | None:
        self.asked.append((name, scheme))
        if self.wait is not None:
            await self.wait
        if self.failure is not None:
            raise self.failure
        return await self._secrets.find_secret(name, scheme)


class Protocol:
    """The replies of one protocol to the same events."""

    def __init__(
        self,
        connect: Callable[[], MemoryPeer],
        challenge: bytes,
        logged_in: bytes,
        refused: bytes,
        delayed: bytes,
        cancelled: bytes,
    ) -> None:
        self.connect = connect
        self.challenge, self.logged_in, self.refused = challenge, logged_in, refused
        self.delayed, self.cancelled = delayed, cancelled

    def challenged(self, octets: bytes) -> bytes:
        return self.challenge + base64.b64encode(octets) + b"\r\n"


def line(octets: bytes) -> bytes:
    return base64.b64encode(octets) + b"\r\n"


class MidExchange(SynchronousTestCase):
    """Neither protocol knows the mechanism. Each gets a table that contains it."""

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.store.seed_account("alice@example.test", {SCHEME: SECRET})
        self.store.seed_account("bob@example.test", {"argon2id": "terces"})
        self.telemetry = Events()
        directory = self.store.directory
        self.secrets = HeldSecrets(StoredSecrets(directory))
        verifyObject(ISecrets, self.secrets)
        verifyObject(ISecrets, StoredSecrets(directory))
        hashing = CountedHashing(lambda stored, password: stored == password[::-1])
        portal = build_portal(directory, self.store.maildrops, hashing, Access(Router(directory), HOST))
        environment = ServiceEnvironment(portal, self.store.clock, self.telemetry, HOST, secrets=self.secrets)
        smtp_factory = ESMTPServerFactory(
            SMTPService(environment, Kind.SUBMISSION, self.store.intake, SMTPSettings(), mechanisms=TABLE)
        )
        pop3_factory = POP3ServerFactory(POP3Service(environment, POP3Settings(), mechanisms=TABLE))
        self.assertIsInstance(smtp_factory, smtp.SMTPFactory)

        def to_smtp() -> MemoryPeer:
            peer = MemoryPeer(smtp_factory.buildProtocol(None), self.store.clock, tls=True)
            peer.say(b"EHLO client\r\n")
            self.assertIn(b"AUTH PLAIN LOGIN TEST-PROOF\r\n", peer.heard())
            return peer

        def to_pop3() -> MemoryPeer:
            peer = MemoryPeer(pop3_factory.buildProtocol(None), self.store.clock, tls=True)
            peer.say(b"CAPA\r\n")
            self.assertIn(b"\r\nSASL PLAIN LOGIN TEST-PROOF\r\n", peer.heard())
            return peer

        self.protocols = (
            Protocol(to_smtp, b"334 ", b"235 ", b"535 ", b"454 4.7.0 ", b"501 5.7.0 "),
            Protocol(to_pop3, b"+ ", b"+OK 0 messages", b"-ERR [AUTH] ", b"-ERR [SYS/TEMP] ", b"-ERR authentication c"),
        )

    def begin(self, protocol: Protocol, first: bytes = b",alice@example.test,n1") -> MemoryPeer:
        """Returns a client after the exchange of nonces."""
        peer = protocol.connect()
        peer.say(b"AUTH test-proof " + line(first))
        self.assertEqual(peer.heard(), protocol.challenged(b"n1-server"))
        return peer

    def test_the_right_proof_logs_in_and_the_server_proves_itself_before_that(self) -> None:
        for protocol in self.protocols:
            peer = self.begin(protocol)
            peer.say(line(proof_of(SECRET, b"n1-server")))
            self.assertEqual(peer.heard(), protocol.challenged(b"v=" + proof_of(SECRET, b"revres-1n")))
            peer.say(b"\r\n")
            self.assertTrue(peer.heard().startswith(protocol.logged_in))
            self.assertEqual(self.secrets.asked.pop(), (b"alice@example.test", SCHEME))
        self.assertEqual(self.telemetry.of("smtp-login")[0]["account"], parse("alice@example.test"))
        self.assertEqual(self.telemetry.of("pop3-login")[0]["user"], "alice@example.test")

    def test_without_an_initial_response_the_server_sends_an_empty_challenge(self) -> None:
        for protocol in self.protocols:
            peer = protocol.connect()
            peer.say(b"AUTH TEST-PROOF\r\n")
            self.assertEqual(peer.heard(), protocol.challenged(b""))
            peer.say(line(b",alice@example.test,n2"))
            self.assertEqual(peer.heard(), protocol.challenged(b"n2-server"))

    def test_a_wrong_proof_is_refused_counted_and_logged(self) -> None:
        for protocol in self.protocols:
            peer = self.begin(protocol)
            for attempt in range(MAX_FAILED_LOGINS):
                peer.say(line(proof_of("guess", b"n1-server")))
                self.assertTrue(peer.heard().startswith(protocol.refused))
                self.assertIs(peer.lost, attempt == MAX_FAILED_LOGINS - 1)
                peer.say(b"AUTH TEST-PROOF " + line(b",alice@example.test,n1"))
                peer.heard()
        self.assertEqual(len(self.telemetry.of("smtp-login-refused")), MAX_FAILED_LOGINS)
        self.assertEqual(self.telemetry.of("pop3-login-refused")[0]["user"], "alice@example.test")
        self.assertEqual(self.telemetry.exceptions, [])

    def test_accounts_that_cannot_log_in_so_look_like_those_that_can(self) -> None:
        """Unknown, disabled, or without a secret of that scheme."""
        self.store.seed_account("carol@example.test", {SCHEME: SECRET})
        self.successResultOf(
            Deferred.fromCoroutine(self.store.accounts.set_enabled(parse("carol@example.test"), False))
        )
        for protocol in self.protocols:
            for account in (b"nobody@example.test", b"carol@example.test", b"bob@example.test", b"\xff"):
                peer = self.begin(protocol, b"," + account + b",n1")
                peer.say(line(proof_of(SECRET, b"n1-server")))
                self.assertTrue(peer.heard().startswith(protocol.refused))

    def test_an_account_disabled_in_mid_exchange_is_refused(self) -> None:
        for protocol in self.protocols:
            peer = self.begin(protocol)
            peer.say(line(proof_of(SECRET, b"n1-server")))
            peer.heard()
            accounts, alice = self.store.accounts, parse("alice@example.test")
            self.successResultOf(Deferred.fromCoroutine(accounts.set_enabled(alice, False)))
            peer.say(b"\r\n")
            self.assertTrue(peer.heard().startswith(protocol.refused))
            self.successResultOf(Deferred.fromCoroutine(accounts.set_enabled(alice, True)))

    def test_a_proven_client_cannot_act_as_another(self) -> None:
        for protocol in self.protocols:
            for authzid, expected in ((b"bob@example.test", protocol.refused), (b"Alice@example.test", None)):
                peer = self.begin(protocol, authzid + b",alice@example.test,n1")
                peer.say(line(proof_of(SECRET, b"n1-server")) + b"\r\n")
                self.assertIn(expected or protocol.logged_in, peer.heard())
                peer.lose()

    def test_commands_behind_wait_while_the_secret_is_looked_up(self) -> None:
        for protocol in self.protocols:
            peer = protocol.connect()
            held: Deferred[None] = Deferred()
            self.secrets.wait = held
            peer.say(b"AUTH TEST-PROOF " + line(b",alice@example.test,n1") + line(proof_of("no", b"n1-server")))
            self.assertEqual(peer.heard(), b"")
            self.secrets.wait = None
            held.callback(None)
            self.assertIn(protocol.challenged(b"n1-server") + protocol.refused, peer.heard())

    def test_a_client_that_leaves_meanwhile_hears_nothing_and_logs_in_nowhere(self) -> None:
        for protocol in self.protocols:
            peer = protocol.connect()
            held: Deferred[None] = Deferred()
            self.secrets.wait = held
            peer.say(b"AUTH TEST-PROOF " + line(b",alice@example.test,n1"))
            peer.lose()
            self.secrets.wait = None
            held.callback(None)
            self.assertEqual(peer.heard(), b"")
        self.assertEqual(self.telemetry.exceptions, [])

    def test_a_store_that_cannot_answer_is_a_temporary_error_and_ends_the_exchange(self) -> None:
        for protocol in self.protocols:
            peer = protocol.connect()
            self.secrets.failure = StoreError("locked")
            peer.say(b"AUTH TEST-PROOF " + line(b",alice@example.test,n1"))
            self.assertTrue(peer.heard().startswith(protocol.delayed))
            self.secrets.failure = None
            peer.say(b"AUTH TEST-PROOF " + line(b",alice@example.test,n1"))
            self.assertEqual(peer.heard(), protocol.challenged(b"n1-server"))

    def test_a_star_after_the_secret_was_read_cancels(self) -> None:
        for protocol in self.protocols:
            peer = self.begin(protocol)
            peer.say(b"*\r\n")
            self.assertTrue(peer.heard().startswith(protocol.cancelled))
            peer.say(b"AUTH TEST-PROOF " + line(b"malformed"))
            self.assertIn(b"malformed client-first-message", peer.heard())

    def test_the_password_mechanisms_are_still_there(self) -> None:
        for protocol in self.protocols:
            peer = protocol.connect()
            peer.say(b"AUTH PLAIN " + line(b"\0bob@example.test\0secret"))
            self.assertTrue(peer.heard().startswith(protocol.logged_in))

    def test_without_secrets_no_proof_holds(self) -> None:
        """A service without stored secrets refuses every proof, and its sessions go on."""
        directory = self.store.directory
        portal = build_portal(directory, self.store.maildrops, CountedHashing(), Access(Router(directory), HOST))
        environment = ServiceEnvironment(portal, self.store.clock, self.telemetry, HOST)
        service = SMTPService(environment, Kind.SUBMISSION, self.store.intake, SMTPSettings(), mechanisms=TABLE)
        peer = MemoryPeer(ESMTPServerFactory(service).buildProtocol(None), self.store.clock, tls=True)
        first = line(b",alice@example.test,n1")
        peer.say(b"EHLO client\r\nAUTH TEST-PROOF " + first + line(proof_of(SECRET, b"n1-server")))
        self.assertIn(b"\r\n535 ", peer.heard())
