"""A POP3 service over a store in memory: two accounts, three messages, and a portal that can be delayed."""

from __future__ import annotations

from typing import Any, cast

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, Logger
from zope.interface import implementer
from zope.interface.verify import verifyObject

from emailsys.config.settings import POP3Settings
from emailsys.interfaces import LoginBusy
from emailsys.interfaces.wiretap import IWiretap
from emailsys.net.pop3.server import POP3Server, POP3ServerFactory
from emailsys.net.pop3.service import POP3Service
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.telemetry import Telemetry
from emailsys.testing.memory_peer import LOOPBACK, MemoryPeer
from tests.fakes.store.memory_store import MemoryStore

FIRST = b"From: carol@example.org\r\nSubject: one\r\n\r\nHello\r\n.dot\r\n..two\r\nlast\r\n"
SECOND = b"Subject: two\r\n\r\nline 1\r\nline 2\r\nline 3\r\n"
THIRD = "Subject: gr\u00fc\u00dfe\r\n\r\nutf8\r\n".encode()
LOGIN = b"USER alice@example.test\r\nPASS secret\r\n"


@implementer(IRealm, ICredentialsChecker)
class MemoryLogins:
    """Checker and realm in one: plaintext passwords, maildrops of a MemoryStore.

    `hold` makes every check wait for `held` to be fired; `busy` refuses it; `asked` records the names and the minds;
    `opened` the maildrops that were handed out.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.passwords: dict[bytes, tuple[bytes, int]] = {}
        self.hold = False
        self.busy = False
        self.failure: Exception | None = None
        self.held: list[Deferred[None]] = []
        self.asked: list[Any] = []
        self.opened: list[Any] = []

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._check(credentials.username, credentials.password))

    async def _check(self, username: bytes, password: bytes) -> int:
        self.asked.append(username)
        if self.hold:
            held: Deferred[None] = Deferred()
            self.held.append(held)
            await held
        if self.busy:
            raise LoginBusy
        if self.failure is not None:
            raise self.failure
        known, account_id = self.passwords.get(username, (b"", 0))
        if not account_id or known != password:
            raise UnauthorizedLogin
        return account_id

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Deferred[Any]:
        self.asked.append(mind)
        return Deferred.fromCoroutine(self._open(avatarId, interfaces[0]))

    async def _open(self, account_id: int, interface: Any) -> Any:
        maildrop = await self.store.maildrops.open(account_id)
        self.opened.append(maildrop)
        return interface, maildrop, maildrop.release


class LogLines:
    """A telemetry log that is kept in memory."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.telemetry = Telemetry(Logger(namespace="test", observer=cast(ILogObserver, self._observe)))

    def _observe(self, event: Any) -> None:
        self.lines.append(event["mail_event"])


class POP3House:
    """The service, its clock and its store. alice@example.test has three messages, bob@example.test has none."""

    def __init__(
        self,
        settings: POP3Settings | None = None,
        context_factory: Any = None,
        clock: Any = None,
        wiretap: IWiretap | None = None,
    ) -> None:
        """@param context_factory: used by STLS. In memory, any object will do."""
        self.clock = clock if clock is not None else Clock()
        self.store = MemoryStore()
        self.alice = self.store.seed_account("alice@example.test")
        self.bob = self.store.seed_account("bob@example.test")
        self.store.put(self.alice, FIRST)
        self.store.put(self.alice, SECOND)
        self.store.put(self.alice, THIRD, smtputf8=True)
        self.logins = MemoryLogins(self.store)
        verifyObject(IRealm, self.logins)
        verifyObject(ICredentialsChecker, self.logins)
        self.logins.passwords = {
            b"alice@example.test": (b"secret", self.alice.account_id),
            b"bob@example.test": (b"pass  word ", self.bob.account_id),
            "j\u00fcrgen@example.test".encode(): ("gr\u00fc\u00df".encode(), self.bob.account_id),
        }
        self.log = LogLines()
        self.factory = POP3ServerFactory(
            POP3Service(
                ServiceEnvironment(
                    Portal(self.logins, [self.logins]),
                    self.clock,
                    self.log.telemetry,
                    "mx.example.test",
                    context_factory,
                    wiretap=wiretap,
                ),
                settings if settings is not None else POP3Settings(plaintext_auth_on_loopback=True),
            )
        )
        assert isinstance(self.factory, ServerFactory)
        self.server: POP3Server

    @property
    def telemetry(self) -> Telemetry:
        return self.log.telemetry

    def connect(self, peer: IAddress = LOOPBACK, tls: bool = False) -> MemoryPeer:
        """A client that has just connected, by default from this machine."""
        server = self.factory.buildProtocol(None)
        assert isinstance(server, POP3Server)
        self.server = server
        return MemoryPeer(self.server, self.clock, peer, tls)

    def login(self) -> MemoryPeer:
        """A client logged in as alice, the greeting and the replies read."""
        peer = self.connect()
        peer.say(LOGIN)
        peer.heard()
        return peer

    def bodies(self) -> list[bytes]:
        """Returns the messages in alice's maildrop."""
        return [row.octets for row in self.store.drops.get(self.alice.account_id, ())]
