"""Submission of messages over HTTP: the same policy, checks, limits and queue as in an SMTP submission session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from emailsys.config.settings import Settings
from emailsys.interfaces import IChecks, IIntake, ISessionChecks, StoreFull, TooMuchHeld
from emailsys.mail import reply as replies
from emailsys.mail.address import Address
from emailsys.mail.envelope import (
    Addressee,
    Arrival,
    BodyType,
    Client,
    Envelope,
    MailParameters,
    Recipient,
    RemoteRoute,
)
from emailsys.mail.reply import Reply
from emailsys.net.smtp.held_message import HeldMessage
from emailsys.net.smtp.incoming import HeaderRules, IncomingMessage
from emailsys.telemetry import Telemetry

# Octets that are passed to the store at once.
_PIECE: Final = 64 * 1024
# As checks know it: mail of users, as on the submission ports.
_SERVICE: Final = "submission"


def utc_now() -> datetime:
    """Return the time of the wall clock."""
    return datetime.now(UTC)


def _with_crlf(octets: bytes) -> bytes:
    """Return a message whose lines end with CRLF. A regular expression would hold the reactor three times as long."""
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was accepted: its queue id, its Message-ID, and its size in the store."""

    queue_id: str
    message_id: str
    octets: int


class SubmissionRefused(Exception):
    """The message was not accepted, for no recipient.

    @ivar refusals: pairs of what was refused and the reply: a recipient, or "" for the sender or the message.
    """

    def __init__(self, refusals: Sequence[tuple[str, Reply]]) -> None:
        super().__init__("; ".join(f"{what}: {reply.text}" if what else reply.text for what, reply in refusals))
        self.refusals = tuple(refusals)

    @property
    def is_transient(self) -> bool:
        """Whether the same message may be accepted later."""
        return all(reply.code < 500 for _, reply in self.refusals)


class Submission:
    """Accepts messages from clients that have logged in."""

    def __init__(
        self,
        intake: IIntake,
        settings: Settings,
        telemetry: Telemetry,
        now: Callable[[], datetime] = utc_now,
        checks: tuple[IChecks, IReactorTime] | None = None,
    ) -> None:
        """
        @param intake: that of the submission ports, with the queue and the sending limits.
        @param checks: those of the submission ports, and the clock by which they are asked; None if there are none.
        """
        self._intake = intake
        self._smtp = settings.smtp
        self._rules = HeaderRules(
            settings.hostname, settings.smtp.max_header_size, settings.smtp.max_received_fields, is_submission=True
        )
        self._telemetry = telemetry
        self._now = now
        self._checks = checks

    async def submit(
        self, delivery: Any, client: Client, reverse_path: Address | None, recipients: Sequence[Address], octets: bytes
    ) -> Sent:
        """Accept a message for all recipients, or for none.

        @param delivery: the IDelivery avatar of the account.
        @param client: with the address of the account.
        @param octets: the message. Its line ends become CRLF. A missing Date and Message-ID are added.
        @raise SubmissionRefused: it was not accepted.
        @raise StoreError: the store cannot take it now.
        """
        try:
            return await self._submit(delivery, client, reverse_path, recipients, _with_crlf(octets))
        except SubmissionRefused as error:
            for what, reply in error.refusals:
                self._telemetry.event(
                    "refused",
                    session=client.session,
                    ip=client.ip,
                    reply=f"{reply.code} {reply.enhanced}",
                    account=client.account,
                    recipient=what or None,
                )
            raise

    async def _submit(
        self, delivery: Any, client: Client, reverse_path: Address | None, recipients: Sequence[Address], octets: bytes
    ) -> Sent:
        smtp = self._smtp
        if len(octets) > smtp.max_message_size:
            raise SubmissionRefused([("", replies.TOO_BIG)])
        if not await self._intake.has_room(smtp.max_message_size):
            raise SubmissionRefused([("", replies.STORE_FULL)])
        refusal = await delivery.validateFrom(client, reverse_path)
        if refusal is not None:
            raise SubmissionRefused([("", refusal)])
        checks = None if self._checks is None else self._checks[0].begin(_SERVICE, False)
        if checks is not None:
            refusal = await checks.sender(client, reverse_path, len(octets))
            if refusal is not None:
                raise SubmissionRefused([("", refusal)])
        taken = await self._recipients(delivery, checks, client, reverse_path, recipients)
        leads_elsewhere = any(isinstance(route, RemoteRoute) for one in taken for route in one.routes)
        if b"\0" in octets and leads_elsewhere:
            raise SubmissionRefused([("", replies.NUL_NOT_RELAYED)])
        incoming = self._intake.begin()
        held = None
        if self._checks is not None and checks is not None and checks.needs_message:
            held = HeldMessage(incoming, self._checks[1], checks.folder)
        try:
            arrival = Arrival(incoming.queue_id, reverse_path, self._now())
            trace = delivery.receivedHeader(client, arrival, taken)
            message = IncomingMessage(held or incoming, self._rules, trace, arrival.arrived_at)
            await self._write(message, octets)
            assert message.identity is not None
            refusal = await delivery.validate_identity(client, reverse_path, message.identity)
            if refusal is not None:
                raise SubmissionRefused([("", refusal)])
            body = BodyType.SEVEN_BIT if octets.isascii() else BodyType.EIGHT_BIT_MIME
            is_ascii = message.head_is_ascii and (reverse_path is None or reverse_path.is_ascii)
            needs_utf8 = not (is_ascii and all(one.forward_path.is_ascii for one in taken))
            parameters = MailParameters(BodyType.EIGHT_BIT_MIME if needs_utf8 else body, needs_utf8)
            envelope = Envelope(reverse_path, taken, arrival.arrived_at, parameters, client, message.message_id)
            if checks is not None:
                ruling = await checks.message(envelope, incoming.queue_id, held)
                if isinstance(ruling, Reply):
                    raise SubmissionRefused([("", ruling)])
                if ruling is not None:
                    envelope = ruling.envelope
                if held is not None:
                    await held.release(b"" if ruling is None else ruling.fields)
        except BaseException:
            # Does nothing more than free what was staged.
            (held or incoming).abandon()
            raise
        try:
            queue_id, size = await message.commit(envelope)
        except StoreFull:
            raise SubmissionRefused([("", replies.STORE_FULL)]) from None
        except TooMuchHeld:
            raise SubmissionRefused([("", replies.TOO_MUCH_HELD)]) from None
        self._telemetry.event(
            "accepted",
            session=client.session,
            queue_id=queue_id,
            sender="<>" if reverse_path is None else reverse_path,
            rcpts=len(taken),
            octets=size,
            ip=client.ip,
            tls=client.tls,
            account=client.account,
        )
        return Sent(queue_id, message.message_id, size)

    async def _recipients(
        self,
        delivery: Any,
        checks: ISessionChecks | None,
        client: Client,
        reverse_path: Address | None,
        recipients: Sequence[Address],
    ) -> tuple[Recipient, ...]:
        wanted = tuple({address.key: address for address in recipients}.values())
        if not wanted:
            raise SubmissionRefused([("", replies.NO_RECIPIENTS)])
        if len(wanted) > self._smtp.max_recipients:
            raise SubmissionRefused([("", replies.TOO_MANY_RECIPIENTS)])
        taken: list[Recipient] = []
        refused: list[tuple[str, Reply]] = []
        routes_in_all = 0
        for address in wanted:
            routes = await delivery.validateTo(Addressee(address, client, reverse_path))
            if checks is not None and not isinstance(routes, Reply):
                routes = await checks.recipient(client, address, routes)
            if not isinstance(routes, Reply):
                routes_in_all += len(routes)
                if routes_in_all > self._smtp.max_routes:
                    routes = replies.TOO_MANY_ROUTES
            if isinstance(routes, Reply):
                refused.append((str(address), routes))
            else:
                taken.append(Recipient(address, tuple(routes)))
        if refused:
            raise SubmissionRefused(refused)
        return tuple(taken)

    async def _write(self, message: IncomingMessage, octets: bytes) -> None:
        for start in range(0, len(octets), _PIECE):
            await _settled(message.write(octets[start : start + _PIECE]))
        await _settled(message.finish())


async def _settled(outcome: Deferred[None] | Reply | None) -> None:
    """Wait until the store takes more.

    @raise SubmissionRefused: the message is refused.
    """
    if isinstance(outcome, Reply):
        raise SubmissionRefused([("", outcome)])
    if outcome is not None:
        await outcome
