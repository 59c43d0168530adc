"""An SMTP service over fakes: a store in memory, a small policy, a test clock and a list of log events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import Anonymous, IAnonymous, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from typing_extensions import override
from zope.interface import implementer

from emailsys.config.settings import SMTPSettings
from emailsys.interfaces import Account, IDelivery
from emailsys.interfaces.wiretap import IWiretap
from emailsys.mail import reply as replies
from emailsys.mail.address import Address
from emailsys.mail.envelope import Addressee, Arrival, Client, LocalRoute, Recipient, RemoteRoute, Route
from emailsys.mail.message.identity import Identity
from emailsys.mail.reply import Reply
from emailsys.mail.trace_fields import received
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.smtp.server import ESMTPServer, ESMTPServerFactory
from emailsys.net.smtp.service import Kind, SMTPService
from emailsys.telemetry import Telemetry
from emailsys.testing.memory_peer import STRANGER, MemoryPeer
from tests.fakes.store.memory_store import MemoryStore, StoredMessage

PASSWORD = b"secret"


class Events(Telemetry):
    """Telemetry that a test can read."""

    def __init__(self) -> None:
        super().__init__(Logger(namespace="tests"))
        self.lines: list[tuple[str, dict[str, object]]] = []
        self.exceptions: list[BaseException] = []

    @override
    def event(self, name: str, /, **fields: object) -> None:
        self.counters[name] += 1
        self.lines.append((name, fields))

    @override
    def alarm(self, name: str, /, **fields: object) -> None:
        self.event(name, **fields)

    @override
    def exception(self, where: str, failure: Any, /, **fields: Any) -> None:
        self.counters["exception"] += 1
        self.exceptions.append(failure.value)

    def of(self, name: str) -> list[dict[str, object]]:
        """Returns the fields of all events with this name."""
        return [fields for given, fields in self.lines if given == name]


@implementer(IDelivery)
class Delivery:
    """A policy: accounts of the store receive mail, other addresses are unknown or remote. Calls can wait or fail."""

    def __init__(self, house: SMTPHouse, account: Account | None) -> None:
        self._house = house
        self.account = account

    async def validateFrom(self, helo: Client, origin: Address | None) -> Reply | None:
        await self._house.pass_by("validateFrom")
        if self.account is not None and (origin is None or origin.key != self.account.address.key):
            return replies.SENDER_NOT_YOURS
        return None

    async def validateTo(self, user: Addressee) -> Sequence[Route] | Reply:
        house = self._house
        await house.pass_by("validateTo")
        if house.refusal is not None:
            return house.refusal
        directory = house.store.directory
        local, domain = user.dest.key
        if not domain:
            domain = await directory.default_domain() or ""
        if not await directory.is_local_domain(domain):
            return replies.RELAY_DENIED if self.account is None else (RemoteRoute(user.dest),)
        found = await directory.find_address(local.partition("+")[0], domain)
        return replies.NO_SUCH_MAILBOX if found is None else (LocalRoute(found.account_id),)

    async def validate_identity(self, client: Client, reverse_path: Address | None, identity: Identity) -> Reply | None:
        await self._house.pass_by("validate_identity")
        if self.account is None:
            return None
        keys = None if identity.authors is None else tuple(author.key for author in identity.authors)
        return None if keys == (self.account.address.key,) else replies.FROM_MALFORMED

    async def change_password(self, new: bytes) -> Reply:
        await self._house.pass_by("change_password")
        if self._house.password_refusal is not None:
            return self._house.password_refusal
        self._house.new_passwords.append(new)
        return replies.PASSWORD_CHANGED

    def examine(self, client: Client, domains: frozenset[str]) -> bytes | Reply:
        return self._house.marks.get(domains, b"")

    def receivedHeader(self, helo: Client, origin: Arrival, recipients: Sequence[Recipient]) -> bytes:
        if self._house.broken_trace is not None:
            raise self._house.broken_trace
        return received(self._house.hostname, helo, origin, recipients)

    def accepted(self, helo: Client) -> None:
        self._house.accepted.append(helo.ip)


@implementer(IRealm)
class Realm:
    def __init__(self, house: SMTPHouse) -> None:
        self._house = house

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        assert IDelivery in interfaces
        assert isinstance(mind, Client)
        house = self._house
        house.minds.append(mind)
        account = None if avatarId == b"" else house.logins[avatarId]

        def logout() -> None:
            house.logged_out += 1

        return IDelivery, Delivery(house, account), logout


@implementer(ICredentialsChecker)
class Checker:
    credentialInterfaces = (IAnonymous, IUsernamePassword)

    def __init__(self, house: SMTPHouse) -> None:
        self._house = house

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        if isinstance(credentials, Anonymous):
            return Deferred.fromCoroutine(self._check(b"", b""))
        return Deferred.fromCoroutine(self._check(credentials.username, credentials.password))

    async def _check(self, username: bytes, password: bytes) -> bytes:
        await self._house.pass_by("login" if username else "stranger")
        if not username:
            return b""
        if username not in self._house.logins or password != PASSWORD:
            raise UnauthorizedLogin()
        return username


class TakenOnTrust:
    """A context factory for transports that only pretend TLS."""


@dataclass
class SMTPHouse:
    """A service and its fakes. alice and bob of example.test have accounts with the password PASSWORD.

    `marks` has the fields, or the refusals, for messages with authors in these domains. `waits` holds, by name of a
    step (login, stranger, validateFrom, validateTo, validate_identity), a Deferred that it waits for once; `raises` an
    exception that it raises once.
    """

    kind: Kind = Kind.RECEIVE
    settings: SMTPSettings = field(default_factory=SMTPSettings)
    starttls: bool = True
    context_factory: Any = field(default_factory=TakenOnTrust)
    hostname: str = "mx.example.test"
    store: MemoryStore = field(default_factory=MemoryStore)
    telemetry: Events = field(default_factory=Events)
    waits: dict[str, Deferred[None]] = field(default_factory=dict)
    raises: dict[str, Exception] = field(default_factory=dict)
    broken_trace: Exception | None = None
    minds: list[Client] = field(default_factory=list)
    logged_out: int = 0
    marks: dict[frozenset[str], bytes | Reply] = field(default_factory=dict)
    #: The reply to every recipient, None for the policy's own.
    refusal: Reply | None = None
    accepted: list[str] = field(default_factory=list)
    new_passwords: list[bytes] = field(default_factory=list)
    password_refusal: Reply | None = None
    clock: Any = None
    wiretap: IWiretap | None = None

    def __post_init__(self) -> None:
        self.logins = {
            name.encode(): self.store.seed_account(name) for name in ("alice@example.test", "bob@example.test")
        }
        self.clock = self.clock if self.clock is not None else self.store.clock
        self.service = SMTPService(
            environment=ServiceEnvironment(
                portal=Portal(Realm(self), [Checker(self)]),
                clock=self.clock,
                telemetry=self.telemetry,
                hostname=self.hostname,
                context_factory=self.context_factory if self.starttls else None,
                wiretap=self.wiretap,
            ),
            kind=self.kind,
            intake=self.store.intake,
            settings=self.settings,
            now=self.store.now,
        )
        self.factory = ESMTPServerFactory(self.service)

    async def pass_by(self, step: str) -> None:
        """Take one step of the policy, which waits or fails if the test requests it."""
        waiting = self.waits.pop(step, None)
        if waiting is not None:
            await waiting
        error = self.raises.pop(step, None)
        if error is not None:
            raise error

    def limit(self, **limits: Any) -> None:
        """Change settings, from the next connection on."""
        self.factory.service = replace(self.service, settings=replace(self.settings, **limits))

    def server(self) -> ESMTPServer:
        """Returns a session that is not connected yet."""
        server = self.factory.buildProtocol(None)
        assert isinstance(server, ESMTPServer)
        return server

    def connect(self, peer: IAddress = STRANGER, tls: bool = False) -> MemoryPeer:
        """A client of the service."""
        return MemoryPeer(self.server(), self.store.clock, peer, tls)

    @property
    def messages(self) -> list[StoredMessage]:
        """The accepted messages."""
        return self.store.messages

    def body(self) -> bytes:
        """Returns the last accepted message, without the Received field."""
        body = self.messages[-1].body
        end = body.index(b"\r\n")
        while body[end + 2 : end + 3] == b"\t":
            end = body.index(b"\r\n", end + 2)
        return body[end + 2 :]
