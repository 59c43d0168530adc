"""Mail transactions of an SMTP session: asks the policy about each address and stores the message (RFC 5321 §3.3)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from emailsys.interfaces import ISessionChecks, NoDomains, Ruling, StoreError, StoreFull, StoreMissing, TooMuchHeld
from emailsys.mail import reply as replies
from emailsys.mail.address import Address
from emailsys.mail.envelope import Addressee, Arrival, Envelope, Recipient, RemoteRoute
from emailsys.mail.reply import Reply
from emailsys.net.smtp.held_message import HeldMessage
from emailsys.net.smtp.incoming import IncomingMessage
from emailsys.net.smtp.session import SMTPSession
from emailsys.wire.smtp.grammar import MailArguments, RcptArguments
from emailsys.wire.smtp.server_events import Body, End, Event
from emailsys.wire.smtp.transaction import Transaction

# Octets a second. A message that arrives at this rate may take any time. Modems are faster; Postfix requires as much.
LEAST_RATE: Final = 500


def _shown(reverse_path: Address | None) -> object:
    """Returns a reverse-path as the log shows it."""
    return "<>" if reverse_path is None else reverse_path


class Reception:
    """Carries out the transactions of a session, one after the other.

    The state of a transaction is `wire.transaction`. The message itself is here: its store object and its timing.
    """

    def __init__(self, session: SMTPSession) -> None:
        self._session = session
        self._connection = session.connection
        self._wire = session.wire
        self._service = session.service
        # The transaction whose message is received. The wire session replaces its own when the message ends.
        self._transaction = Transaction()
        self._message: IncomingMessage | None = None
        # The same message, if a check reads it before it is stored.
        self._held: HeldMessage | None = None
        #: The clock's time at the start of the message, None if no message is being received.
        self.began: float | None = None
        self._octets = 0
        #: How many messages were accepted.
        self.accepted = 0
        #: How many senders, recipients and messages were refused.
        self.refused = 0

    def reply_to(self, failure: Failure) -> Reply:
        """Returns the reply to a failure, and logs the failure if it was not expected."""
        if failure.check(StoreFull):
            return replies.STORE_FULL
        if failure.check(TooMuchHeld):
            return replies.TOO_MUCH_HELD
        if failure.check(NoDomains):
            return replies.NO_DOMAINS
        if failure.check(StoreMissing):
            return replies.STORE_MISSING
        if failure.check(StoreError):
            self._session.event("smtp-store-failed", why=failure.getErrorMessage())
        else:
            self._service.environment.telemetry.exception("smtp-exception", failure, session=self._session.session_id)
        return replies.LOCAL_ERROR

    def abandon(self) -> None:
        """Abandon the message that is being received, if there is one."""
        self.began = None
        message, self._message = self._message, None
        if message is not None:
            message.abandon()

    def _refuse(self, reply: Reply, **what: object) -> None:
        """Send the refusal of a sender, a recipient or a message, and log it."""
        self.refused += 1
        session = self._session
        session.event("refused", ip=session.client.ip, reply=f"{reply.code} {reply.enhanced}", **what)
        session.reply(reply)

    # The envelope

    async def mail(self, arguments: MailArguments) -> None:
        """Act on MAIL."""
        session, service = self._session, self._service
        if session.delivery is None:
            await session.log_in_anonymously()
        # The declared size does not matter: a disk without room for the largest message needs the operator's attention.
        has_room = await service.intake.has_room(service.settings.max_message_size)
        if self._connection.closing:
            # The avatar was released with the connection.
            return
        if not has_room:
            self._refuse(replies.STORE_FULL, sender=_shown(arguments.reverse_path))
            return
        refusal = await session.delivery.validateFrom(session.client, arguments.reverse_path)
        if refusal is not None:
            self._refuse(refusal, sender=_shown(arguments.reverse_path))
            return
        if session.checks is not None:
            refusal = await session.checks.sender(session.client, arguments.reverse_path, arguments.size or 0)
            if refusal is not None:
                self._refuse(refusal, sender=_shown(arguments.reverse_path))
                return
        self._wire.begin_transaction(arguments)
        session.reply(replies.SENDER_OK)

    async def rcpt(self, arguments: RcptArguments) -> None:
        """Act on RCPT."""
        session, transaction = self._session, self._wire.transaction
        forward_path, reverse_path = arguments.forward_path, transaction.arguments.reverse_path
        routes = await session.delivery.validateTo(Addressee(forward_path, session.client, reverse_path))
        if session.checks is not None and not isinstance(routes, Reply):
            routes = await session.checks.recipient(session.client, forward_path, routes)
        if isinstance(routes, Reply):
            self._refuse(routes, sender=_shown(reverse_path), recipient=forward_path)
            counts = routes.code >= 500 or routes == replies.TOO_MANY_UNKNOWN
            if counts:
                self._count_refusal()
            return
        if not transaction.take(
            Recipient(forward_path, tuple(routes), arguments.dsn), self._service.settings.max_routes
        ):
            if session.checks is not None:
                session.checks.withdraw_recipient()
            self._refuse(replies.TOO_MANY_ROUTES, sender=_shown(reverse_path), recipient=forward_path)
            return
        session.reply(replies.RECIPIENT_OK)

    def _count_refusal(self) -> None:
        """Count a recipient or a message that was refused, and end the session after too many of them."""
        if not self._is_known and self._wire.count_refusal():
            session = self._session
            session.event("smtp-dropped", ip=session.client.ip, why=replies.TOO_MANY_REFUSALS.text)
            session.reply(replies.TOO_MANY_REFUSALS)
            self._connection.close()

    @property
    def _is_known(self) -> bool:
        """Whether the client can be held to account. Its long list may contain many addresses that no longer exist."""
        return self._session.is_authenticated or self._service.admission.is_exempt(self._session.client.ip)

    @property
    def _leads_elsewhere(self) -> bool:
        """Whether a recipient leads to another system."""
        return any(
            isinstance(route, RemoteRoute) for recipient in self._transaction.recipients for route in recipient.routes
        )

    # The message

    def _begin_message(self) -> None:
        service, session = self._service, self._session
        transaction = self._transaction = self._wire.transaction
        incoming = service.intake.begin()
        self._held = None
        if session.checks is not None and session.checks.needs_message:
            incoming = self._held = HeldMessage(incoming, service.environment.clock, session.checks.folder)
        arrived_at = service.now()
        mail = transaction.arguments
        arrival = Arrival(incoming.queue_id, mail.reverse_path, arrived_at)
        try:
            sender = session.sender_of(mail.parameters.smtputf8)
            trace = session.delivery.receivedHeader(sender, arrival, transaction.recipients)
        except Exception:
            incoming.abandon()
            raise
        examine = None if session.is_authenticated else partial(session.delivery.examine, session.client)
        self._message = IncomingMessage(incoming, service.header_rules, trace, arrived_at, examine)

    def data(self) -> None:
        """Act on DATA."""
        self._begin_message()
        self._start_clock()
        self._wire.begin_data()
        self._connection.allow_silence(self._service.settings.data_timeout)
        self._session.reply(replies.SEND_MESSAGE)

    def bdat(self) -> None:
        """Act on BDAT. Its chunk follows as Body events; a failure is reported at the chunk's end (RFC 3030 §2)."""
        if self.began is None:
            self._start_clock()
            try:
                self._begin_message()
            except Exception:
                self.refuse_message(self.reply_to(Failure()))
        self._connection.allow_silence(self._service.settings.data_timeout)

    def _start_clock(self) -> None:
        self.began = self._service.environment.clock.seconds()
        self._octets = 0

    def is_late(self, event: Event) -> bool:
        """Whether the message takes longer than an honest client needs, and this event is not its end."""
        if self.began is None or (isinstance(event, Body) and event.end is End.MESSAGE):
            return False
        allowed = self._service.settings.message_timeout + self._octets / LEAST_RATE
        return self._service.environment.clock.seconds() - self.began > allowed

    def close_late_message(self) -> None:
        """Close the connection because its message takes too long: it must not occupy a session for ever."""
        session = self._session
        session.event("smtp-too-slow", ip=session.client.ip, octets=self._octets)
        session.reply(self._transaction.refusal or replies.TOO_SLOW)
        self._connection.close()

    def refuse_message(self, refusal: Reply) -> None:
        """Refuse the message that is being received. The rest of it is discarded."""
        if self._transaction.refusal is None:
            self._transaction.refusal = refusal
            message, self._message = self._message, None
            if message is not None:
                message.abandon()

    def take_body(self, body: Body) -> Coroutine[Any, Any, None] | None:
        """Store a piece of the message, and answer its end."""
        if body.refusal is not None:
            self.refuse_message(body.refusal)
        self._octets += len(body.octets)
        if body.octets and self._message is not None:
            waiting = self._write(self._message.write, body.octets)
            if waiting is not None:
                return self._write_and_wait(waiting, body.end)
        return self._end_of(body.end)

    def _write(self, write: Callable[..., Deferred[None] | Reply | None], *octets: bytes) -> Deferred[None] | None:
        try:
            outcome = write(*octets)
        except Exception:
            self.refuse_message(self.reply_to(Failure()))
            return None
        if isinstance(outcome, Reply):
            self.refuse_message(outcome)
            return None
        return outcome

    async def _written(self, waiting: Deferred[None]) -> None:
        try:
            await waiting
        except Exception:
            self.refuse_message(self.reply_to(Failure()))

    async def _write_and_wait(self, waiting: Deferred[None], end: End) -> None:
        """Wait until the store can accept more; nothing is read meanwhile."""
        await self._written(waiting)
        step = self._end_of(end)
        if step is not None:
            await step

    def _end_of(self, end: End) -> Coroutine[Any, Any, None] | None:
        if end is End.MESSAGE:
            return self._end_message()
        if end is End.CHUNK:
            self._connection.allow_silence(self._service.settings.command_timeout)
            refusal = self._transaction.refusal
            if refusal is not None:
                # RFC 3030 §2: the transaction has failed, and the chunks that follow are discarded.
                self._wire.end_transaction()
                self._message_refused(refusal)
            else:
                self._session.reply(replies.CHUNK_TAKEN)
        return None

    def _message_refused(self, refusal: Reply) -> None:
        transaction = self._transaction
        self._refuse(refusal, sender=_shown(transaction.arguments.reverse_path), rcpts=len(transaction.recipients))
        self.abandon()
        if refusal.code >= 500:
            self._count_refusal()

    async def _end_message(self) -> None:
        session = self._session
        self._connection.allow_silence(self._service.settings.command_timeout)
        if self._message is not None:
            waiting = self._write(self._message.finish)
            if waiting is not None:
                await self._written(waiting)
        message = self._message
        refusal = self._transaction.refusal
        if message is None or refusal is not None:
            if not self._connection.lost:
                self._message_refused(refusal or replies.LOCAL_ERROR)
            return
        body = self._transaction.body
        if body is not None and body.has_nul and self._leads_elsewhere:
            self._message_refused(replies.NUL_NOT_RELAYED)
            return
        if message.identity is not None:
            reverse_path = self._transaction.arguments.reverse_path
            refusal = await session.delivery.validate_identity(session.client, reverse_path, message.identity)
            if self._message is not message:
                # The connection was lost, and the message abandoned with it.
                return
            if refusal is not None:
                self._message_refused(refusal)
                return
        envelope = self._envelope(message)
        if session.checks is not None:
            ruling = await self._ruling(session.checks, envelope, message)
            if self._message is not message:
                return
            if isinstance(ruling, Reply):
                self._message_refused(ruling)
                return
            if ruling is not None:
                envelope = ruling.envelope
        # From here on the commit is completed even if the client disconnects.
        self._message = None
        try:
            queue_id, octets = await message.commit(envelope)
        except Exception:
            self._message_refused(self.reply_to(Failure()))
            return
        self.accepted += 1
        self._wire.reset_refusals()
        client = session.client
        if session.delivery is not None:
            session.delivery.accepted(client)
        session.event(
            "accepted",
            queue_id=queue_id,
            sender=_shown(envelope.reverse_path),
            rcpts=len(envelope.recipients),
            octets=octets,
            ip=client.ip,
            tls=client.tls,
            account=client.account,
        )
        self.abandon()
        # RFC 5321 §4.2.5: with this reply the responsibility for the message is ours.
        self._connection.send(replies.queued_line(queue_id))

    async def _ruling(
        self, checks: ISessionChecks, envelope: Envelope, message: IncomingMessage
    ) -> Ruling | Reply | None:
        """Return what the checks say of a message. It is in the store then, unless they refuse it."""
        held, self._held = self._held, None
        try:
            ruling = await checks.message(envelope, message.queue_id, held)
            if held is not None and not isinstance(ruling, Reply) and self._message is message:
                await held.release(b"" if ruling is None else ruling.fields)
        except Exception:
            return self.reply_to(Failure())
        return ruling

    def _envelope(self, message: IncomingMessage) -> Envelope:
        mail = self._transaction.arguments
        recipients = tuple(self._transaction.recipients)
        asked = mail.parameters
        needs_utf8 = asked.smtputf8 and not (
            message.head_is_ascii
            and (mail.reverse_path is None or mail.reverse_path.is_ascii)
            and all(recipient.forward_path.is_ascii for recipient in recipients)
        )
        client = self._session.sender_of(asked.smtputf8)
        if needs_utf8 is not asked.smtputf8:
            asked = replace(asked, smtputf8=needs_utf8)
        return Envelope(mail.reverse_path, recipients, message.arrived_at, asked, client, message.message_id)
