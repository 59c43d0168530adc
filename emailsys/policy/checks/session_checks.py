"""Checks of one session: asks the plugins at each point, and carries out their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from emailsys import extension
from emailsys.extension.checks import POINTS
from emailsys.extension.verdicts import VERDICTS
from emailsys.interfaces import IChecks, IHeldMessage, ISessionChecks, Ruling
from emailsys.mail import reply as replies
from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import Client, Envelope, Recipient, RemoteRoute, Route
from emailsys.mail.message.headers import fields_end, header_end
from emailsys.mail.reply import Reply
from emailsys.policy.checks.calls import Calls, TooLate
from emailsys.telemetry import Telemetry

#: RFC 3463 §3.4, X.3.5: a plugin names an address that does not exist here.
MISCONFIGURED: Final = Reply(451, "4.3.5", "the checks of this system are misconfigured, try again later")
TOO_LATE: Final = Reply(451, "4.3.0", "a check of this system takes too long, try again later")

Asked = tuple[tuple[str, Callable[..., Any]], ...]


class Resolves(Protocol):
    """Resolves addresses, as `policy.routing.Router` does."""

    async def resolve(self, path: Address, local_ip: str = "", sender: Address | None = None) -> Sequence[Route]:
        """Return the routes of an address; empty if it does not exist."""


@implementer(IChecks)
class Checks:
    """The checks of a service.

    @param plugins: the checks with their names, in the order in which they are asked.
    @param quarantine: the address that gets quarantined mail; "" if none does.
    @param folder: where large messages wait; None for the system's folder for temporary files.
    """

    def __init__(
        self,
        plugins: Sequence[tuple[str, Any]],
        calls: Calls,
        router: Resolves,
        telemetry: Telemetry,
        quarantine: str = "",
        folder: str | None = None,
    ) -> None:
        self.plugins = plugins
        self.calls = calls
        self.router = router
        self.telemetry = telemetry
        self.folder = folder
        self.quarantine = parse(quarantine) if quarantine else None
        #: By point, the checks that have something to say there.
        self.asked: dict[str, Asked] = {
            point: tuple((name, getattr(check, point)) for name, check in plugins if _says_something(check, point))
            for point in POINTS
        }

    async def stop(self) -> None:
        """Stop the plugins."""
        for name, check in self.plugins:
            try:
                await self.calls.call(name, check.stop)
            except TooLate:
                self.telemetry.event("check-late", check=name, at="stop", seconds=self.calls.deadline)
            except GeneratorExit:
                raise
            except BaseException:
                self.telemetry.exception("check-exception", Failure(), check=name, at="stop")

    def begin(self, service: str, is_trusted: bool) -> SessionChecks:
        """Return the checks of a new session."""
        return SessionChecks(self, service, is_trusted)


def _says_something(check: Any, point: str) -> bool:
    return getattr(type(check), point, None) is not getattr(extension.PolicyCheck, point)


@dataclass(slots=True)
class _Found:
    """The findings of the verdicts so far, for a session or for a transaction."""

    fields: list[str] = field(default_factory=list)
    quarantine: str = ""
    redirect: Address | None = None


_Answer = Coroutine[Any, Any, Reply | _Found | None]


@implementer(ISessionChecks)
class SessionChecks:
    """The checks of one session."""

    def __init__(self, checks: Checks, service: str, is_trusted: bool) -> None:
        self._checks = checks
        self.folder = checks.folder
        self._service = service
        self._is_trusted = is_trusted
        asked = checks.asked
        self._at_sender, self._at_recipient, self._at_message = (
            asked[point] for point in ("sender", "recipient", "message")
        )
        # What was found by the points before MAIL, and from MAIL on; None for nothing, as for nearly all mail.
        self._by_connection: _Found | None = None
        self._by_hello: _Found | None = None
        self._found: _Found | None = None
        # What `_found` was before the last recipient.
        self._found_before: _Found | None = None
        # Why every transaction is refused: a check failed before the greeting, where no reply is possible.
        self._failed: Reply | None = None
        self._known: extension.Client | None = None
        self._known_of: Client | None = None
        # The transaction: its sender, its recipients, the declared size, and how many there were.
        self._sender: Address | None = None
        self._recipients: tuple[str, ...] = ()
        self._size = 0
        self._count = 0
        self._told: extension.Transaction | None = None

    @property
    def needs_message(self) -> bool:
        """Whether a check reads the message, or a header field is put in front of it."""
        return bool(self._at_message or any(found.fields or found.quarantine for found in self._levels))

    @property
    def _levels(self) -> list[_Found]:
        found, by_hello, by_connection = self._found, self._by_hello, self._by_connection
        if found is None and by_hello is None and by_connection is None:
            return []
        return [level for level in (found, by_hello, by_connection) if level is not None]

    def _client(self, client: Client) -> extension.Client:
        known = self._known
        if known is None or self._known_of is not client:
            account = None if client.account is None else str(client.account)
            names = client.ip, client.local_ip, client.helo, client.tls, account
            self._known = known = extension.Client(client.session, self._service, *names, self._is_trusted)
            self._known_of = client
        return known

    def _transaction(self, client: Client) -> extension.Transaction:
        """Return the transaction so far. Two points in a row are told the same object."""
        told = self._told
        if told is None:
            self._told = told = self._told_now(client, self._size)
        return told

    def _told_now(self, client: Client, size: int, queue_id: str = "") -> extension.Transaction:
        sender = "" if self._sender is None else str(self._sender)
        instance = f"{client.session}.{self._count}"
        return extension.Transaction(self._client(client), sender, self._recipients, size, instance, queue_id)

    async def connected(self, client: Client) -> Reply | None:
        """Return None if the client may go on, else the reply in place of the greeting."""
        answer = self._ask(self._checks.asked["connection"], "connection", None, self._client(client))
        found = None if answer is None else await answer
        if not isinstance(found, Reply):
            self._by_connection = found
            return None
        refusal = found
        if refusal in (replies.LOCAL_ERROR, TOO_LATE):
            self._failed = refusal
            return None
        # RFC 5321 §3.1 and §3.8: in place of the greeting.
        return replace(refusal, code=554 if refusal.code >= 500 else 421)

    async def greeted(self, client: Client) -> Reply | None:
        """Return None, or the reply that refuses EHLO or HELO."""
        self._by_hello = None
        answer = self._ask(self._checks.asked["hello"], "hello", None, self._client(client))
        found = None if answer is None else await answer
        if isinstance(found, Reply):
            return found
        self._by_hello = found
        return None

    async def sender(self, client: Client, reverse_path: Address | None, size: int) -> Reply | None:
        """Return None, or the reply that refuses MAIL."""
        self._found = None
        self._sender, self._recipients, self._size = reverse_path, (), size
        self._count += 1
        self._told = None
        if self._failed is not None or not self._at_sender:
            return self._failed
        answer = self._ask(self._at_sender, "sender", None, self._transaction(client))
        if answer is not None:
            found = await answer
            if isinstance(found, Reply):
                return found
            self._found = found
        return None

    async def recipient(
        self, client: Client, forward_path: Address, routes: Sequence[Route]
    ) -> Sequence[Route] | Reply:
        """Return the routes of a recipient, perhaps others than before, or the reply that refuses it."""
        self._found_before = self._found
        name = str(forward_path)
        answer = None
        if self._at_recipient:
            answer = self._ask(self._at_recipient, "recipient", None, self._transaction(client), name)
        if answer is not None:
            found = await answer
            if isinstance(found, Reply):
                return found
            if found is not None and found.redirect is not None:
                resolved = await self._routes(found.redirect, forward_path, client.local_ip)
                if isinstance(resolved, Reply):
                    return resolved
                routes = resolved
            if found is not None and (found.fields or found.quarantine):
                before = self._found or _Found()
                new = [line for line in found.fields if line not in before.fields]
                self._found = replace(
                    before, fields=before.fields + new, quarantine=found.quarantine or before.quarantine
                )
        self._recipients = (*self._recipients, name)
        self._told = None
        return routes

    def withdraw_recipient(self) -> None:
        """Forget the last recipient, which was refused after all, and what was found for it."""
        self._recipients = self._recipients[:-1]
        self._found = self._found_before
        self._told = None

    async def message(self, envelope: Envelope, queue_id: str, held: IHeldMessage | None) -> Ruling | Reply | None:
        """Return what the message becomes, None if it stays as it is, or the reply that refuses it."""
        client = envelope.client
        assert client is not None
        if held is not None and self._at_message:
            beginning = held.beginning
            end = header_end(beginning)
            head = beginning[: fields_end(beginning) if end is None else end]
            told = extension.Message(head, held.octets, held.pieces)
            transaction = self._told_now(client, held.octets, queue_id)
            answer = self._ask(self._at_message, "message", self._found, transaction, told)
            if answer is not None:
                found = await answer
                if isinstance(found, Reply):
                    return found
                self._found = found
        levels = self._levels
        if not levels:
            return None
        fields = [line for level in reversed(levels) for line in level.fields]
        quarantine = next((level.quarantine for level in levels if level.quarantine), "")
        target = next((level.redirect for level in levels if level.redirect is not None), None)
        if quarantine:
            target = self._checks.quarantine
            if target is None:
                return self._misconfigured("quarantine", "checks.quarantine names no address")
            to = ", ".join(str(recipient.forward_path) for recipient in envelope.recipients)
            fields += [_folded("X-Quarantine-To", to), _folded("X-Quarantine-Reason", quarantine)]
        if target is not None:
            routes = await self._routes(target, target, client.local_ip)
            if isinstance(routes, Reply):
                return routes
            envelope = replace(envelope, recipients=(Recipient(target, tuple(routes)),))
        # The field that was added last comes first, as with trace fields.
        return Ruling(envelope, "".join(reversed(fields)).encode("ascii"))

    async def _routes(self, target: Address, instead_of: Address, local_ip: str) -> Sequence[Route] | Reply:
        try:
            routes = await self._checks.router.resolve(target, local_ip, self._sender)
        except Exception:
            self._checks.telemetry.exception("check-exception", Failure(), check="redirect")
            return replies.LOCAL_ERROR
        if not routes:
            return self._misconfigured(str(target), "there is no such address here")
        # As an alias that forwards: the sender is rewritten, and the sending limits count it.
        return tuple(
            RemoteRoute(route.forward_path, forwarded=True, alias=instead_of)
            if isinstance(route, RemoteRoute) and not route.forwarded
            else route
            for route in routes
        )

    def _misconfigured(self, target: str, why: str) -> Reply:
        self._checks.telemetry.event("check-misconfigured", target=target, why=why)
        return MISCONFIGURED

    def _ask(self, asked: Asked, point: str, found: _Found | None, *arguments: object) -> _Answer | None:
        """Ask the checks in turn. Return None if each has said at once that it has no opinion, as for nearly all mail.

        @return: else a coroutine for the reply of the first that refuses, or for what was found before and now.
        """
        begin = self._checks.calls.begin
        turns = iter(asked)
        for name, method in turns:
            try:
                opinion = begin(name, method, arguments)
            except BaseException:
                opinion = Failure()
            if opinion is not None:
                return self._weigh(name, opinion, turns, point, found, arguments)
        return None

    async def _weigh(
        self,
        name: str,
        opinion: Any,
        turns: Iterator[tuple[str, Callable[..., Any]]],
        point: str,
        found: _Found | None,
        arguments: tuple[object, ...],
    ) -> Reply | _Found | None:
        """Weigh the opinion of a check, or its failure, and those of the checks after it."""
        checks = self._checks
        calls = checks.calls
        session = "" if self._known is None else self._known.session
        while True:
            try:
                if isinstance(opinion, Failure):
                    opinion.raiseException()
                if isinstance(opinion, Deferred):
                    opinion = await calls.in_time(opinion)
                verdicts = () if opinion is None else (opinion,) if type(opinion) in VERDICTS else tuple(opinion)
                for verdict in verdicts:
                    # Not a subclass, which could leave out the checks of its text.
                    if type(verdict) not in VERDICTS:
                        raise TypeError(f"{verdict!r} is no verdict")
                    checks.telemetry.event(
                        "check-verdict", session=session, check=name, at=point, verdict=_shown(verdict)
                    )
                    if isinstance(verdict, extension.Refuse | extension.Defer):
                        return Reply(verdict.code, verdict.enhanced, verdict.text)
                    if isinstance(verdict, extension.Accept):
                        return found
                    found = found or _Found()
                    _take(found, verdict)
                following = next(turns, None)
                if following is None:
                    return found
                name, method = following
                opinion = calls.begin(name, method, arguments)
            except TooLate:
                checks.telemetry.event(
                    "check-late", session=session, check=name, at=point, seconds=checks.calls.deadline
                )
                return TOO_LATE
            except extension.CheckFailed as error:
                checks.telemetry.event("check-failed", session=session, check=name, at=point, why=str(error))
                return replies.LOCAL_ERROR
            except GeneratorExit:
                raise
            # Also SystemExit, and what other frameworks raise, such as CancelledError of asyncio.
            except BaseException:
                checks.telemetry.exception("check-exception", Failure(), session=session, check=name, at=point)
                return replies.LOCAL_ERROR


def _take(found: _Found, verdict: extension.Verdict) -> None:
    if isinstance(verdict, extension.AddField):
        found.fields.append(_folded(verdict.name, verdict.value))
    elif isinstance(verdict, extension.Quarantine):
        found.quarantine = verdict.reason or "no reason"
    elif isinstance(verdict, extension.Redirect):
        found.redirect = parse(verdict.address)


def _folded(name: str, value: str) -> str:
    """Return a header field on one line, which RFC 5322 §2.1.1 allows up to 998 octets."""
    text = value.encode("ascii", "backslashreplace").decode("ascii")
    return f"{name}: {text[: 996 - len(name)]}\r\n"


def _shown(verdict: extension.Verdict) -> str:
    """Return a verdict as the log shows it."""
    if isinstance(verdict, extension.Refuse | extension.Defer):
        return f"{verdict.code} {verdict.enhanced} {verdict.text}"
    values = " ".join(str(getattr(verdict, name)) for name in verdict.__dataclass_fields__)
    return f"{type(verdict).__name__.lower()} {values}".rstrip()
