"""Receive mail in an SMTP session: the envelope by policy, the message into the store, one reply at its end."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.interfaces import NoDomains, StoreError, StoreFull, StoreMissing
from emailsys.mail import reply as replies
from emailsys.mail.address import Address
from emailsys.mail.envelope import Addressee, Arrival, Envelope, Recipient
from emailsys.mail.reply import Reply
from emailsys.net.smtp.incoming import IncomingMessage
from emailsys.net.smtp.service import SMTPService
from emailsys.net.smtp.session import SMTPLogin
from emailsys.wire.smtp.grammar import Chunk, MailArguments, RcptArguments
from emailsys.wire.smtp.server import Body, End, Event

_NO_MAIL = MailArguments(None)
# Octets a second: a message that comes so fast may take as long as it takes. Modems are faster; Postfix asks as much.
LEAST_RATE: Final = 500


def _shown(reverse_path: Address | None) -> object:
    """A reverse-path as the log shows it."""
    return "<>" if reverse_path is None else reverse_path


class SMTPReception(SMTPLogin):
    """The transactions of a session, one after the other."""

    def __init__(self, service: SMTPService, session: str) -> None:
        super().__init__(service, session)
        self._mail = _NO_MAIL
        self._recipients: list[Recipient] = []
        self._message: IncomingMessage | None = None
        # Why the message on its way will be refused, once its end has come.
        self._refusal: Reply | None = None
        # When it began, and its octets so far.
        self._began: float | None = None
        self._octets = 0
        #: Messages that were accepted; senders, recipients and messages that were refused.
        self.accepted = 0
        self.refused = 0

    def reply_to(self, failure: Failure) -> Reply:
        """The reply to a failure; one that nobody expected is logged."""
        if failure.check(StoreFull):
            return replies.STORE_FULL
        if failure.check(NoDomains):
            return replies.NO_DOMAINS
        if failure.check(StoreMissing):
            return replies.STORE_MISSING
        if failure.check(StoreError):
            self.event("smtp.store_failed", why=failure.getErrorMessage())
        else:
            self.service.telemetry.surprise("smtp", failure, session=self.session)
        return replies.LOCAL_ERROR

    @override
    def forget(self) -> None:
        self._mail = _NO_MAIL
        self._recipients = []
        self._refusal = None
        self._began = None
        message, self._message = self._message, None
        if message is not None:
            message.abandon()

    def _refuse(self, reply: Reply, **what: object) -> None:
        """Reply, and log that a sender, a recipient or a message was refused."""
        self.refused += 1
        self.event("refused", ip=self.client.ip, reply=f"{reply.code} {reply.enhanced}", **what)
        self.reply(reply)

    # The envelope

    @override
    async def do_MAIL(self, arguments: MailArguments) -> None:
        if self.delivery is None:
            await self.become_stranger()
        service = self.service
        # Whatever size is declared: a disk that cannot take the largest message is one to look after, not to fill up.
        has_room = await service.intake.has_room(service.settings.max_message_size)
        if self.closing:
            # The delivery has gone with the connection.
            return
        if not has_room:
            self._refuse(replies.STORE_FULL, sender=_shown(arguments.reverse_path))
            return
        refusal = await self.validateFrom(self.client, arguments.reverse_path)
        if refusal is not None:
            self._refuse(refusal, sender=_shown(arguments.reverse_path))
            return
        self._mail = arguments
        self.wire.mail_taken(arguments)
        self.reply(replies.SENDER_OK)

    @override
    async def do_RCPT(self, arguments: RcptArguments) -> None:
        forward_path = arguments.forward_path
        routes = await self.validateTo(Addressee(forward_path, self.client, self._mail.reverse_path))
        if isinstance(routes, Reply):
            self._refuse(routes, sender=_shown(self._mail.reverse_path), recipient=forward_path)
            if routes.code >= 500 and not self._is_known and self.wire.refused():
                self.event("smtp.dropped", ip=self.client.ip, why=replies.TOO_MANY_REFUSALS.text)
                self.reply(replies.TOO_MANY_REFUSALS)
                self.close()
            return
        self._recipients.append(Recipient(forward_path, tuple(routes), arguments.dsn))
        self.wire.rcpt_taken()
        self.reply(replies.RECIPIENT_OK)

    @property
    def _is_known(self) -> bool:
        """Whether it is one who can be asked: those may have a long list of people who are gone."""
        return self.authenticated or self.service.admission.is_exempt(self.client.ip)

    @override
    def validateFrom(self, helo: Any, origin: Any) -> Any:
        return self.delivery.validateFrom(helo, origin)

    @override
    def validateTo(self, user: Any) -> Any:
        return self.delivery.validateTo(user)

    @override
    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        field: bytes = self.delivery.receivedHeader(helo, origin, recipients)
        return field

    # The message

    def _begin_message(self) -> None:
        service = self.service
        incoming = service.intake.begin()
        arrived_at = service.now()
        arrival = Arrival(incoming.queue_id, self._mail.reverse_path, arrived_at)
        self._refusal = None
        try:
            trace = self.receivedHeader(self.speaker(self._mail.parameters.smtputf8), arrival, self._recipients)
        except Exception:
            incoming.abandon()
            raise
        self._message = IncomingMessage(incoming, service.head_rules, trace, arrived_at)

    @override
    def do_DATA(self, rest: bytes) -> None:
        self._begin_message()
        self._start_clock()
        self.wire.data_begins()
        self.allow_silence(self.service.settings.data_timeout)
        self.reply(replies.SEND_MESSAGE)

    def ext_BDAT(self, chunk: Chunk) -> None:
        """RFC 3030 §2: the chunk itself follows as the body; what goes wrong here is told at its end."""
        if self._message is None and self._refusal is None:
            self._start_clock()
            try:
                self._begin_message()
            except Exception:
                self.refuse_message(self.reply_to(Failure()))
        self.allow_silence(self.service.settings.data_timeout)

    def _start_clock(self) -> None:
        self._began = self.clock.seconds()
        self._octets = 0

    def is_late(self, event: Event) -> bool:
        """Whether the message on its way takes longer than any honest client needs, and this is not its end."""
        if self._began is None or (isinstance(event, Body) and event.end is End.MESSAGE):
            return False
        allowed = self.service.settings.message_timeout + self._octets / LEAST_RATE
        return self.clock.seconds() - self._began > allowed

    def leave_late_message(self) -> None:
        """Say so, or why it would be refused in any case, and close: who holds a session so holds it no longer."""
        self.event("smtp.too_slow", ip=self.client.ip, octets=self._octets)
        self.reply(self._refusal or replies.TOO_SLOW)
        self.close()

    def refuse_message(self, refusal: Reply) -> None:
        """The message on its way cannot be accepted; what still comes of it is dropped."""
        if self._refusal is None:
            self._refusal = refusal
            message, self._message = self._message, None
            if message is not None:
                message.abandon()

    def take_body(self, body: Body) -> Coroutine[Any, Any, None] | None:
        if body.refusal is not None:
            self.refuse_message(body.refusal)
        self._octets += len(body.octets)
        if body.octets and self._message is not None:
            waiting = self._write(self._message.write, body.octets)
            if waiting is not None:
                return self._write_slowly(waiting, body.end)
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

    async def _write_slowly(self, waiting: Deferred[None], end: End) -> None:
        """The store asks us to pause: nothing more is read until it has room."""
        await self._written(waiting)
        step = self._end_of(end)
        if step is not None:
            await step

    def _end_of(self, end: End) -> Coroutine[Any, Any, None] | None:
        if end is End.MESSAGE:
            return self._end_message()
        if end is End.CHUNK:
            self.allow_silence(self.service.settings.command_timeout)
            if self._refusal is not None:
                # RFC 3030 §2: the transaction has failed, chunks that follow are dropped.
                self.wire.transaction_over()
                self._message_refused(self._refusal)
            else:
                self.reply(replies.CHUNK_TAKEN)
        return None

    def _message_refused(self, refusal: Reply) -> None:
        self._refuse(refusal, sender=_shown(self._mail.reverse_path), rcpts=len(self._recipients))
        self.forget()

    async def _end_message(self) -> None:
        self.allow_silence(self.service.settings.command_timeout)
        if self._message is not None:
            waiting = self._write(self._message.finish)
            if waiting is not None:
                await self._written(waiting)
        message = self._message
        if message is None or self._refusal is not None:
            if not self.lost:
                self._message_refused(self._refusal or replies.LOCAL_ERROR)
            return
        # From here on the commit takes its course, whether the client stays or not.
        self._message = None
        envelope = self._envelope(message)
        try:
            queue_id, octets = await message.commit(envelope)
        except Exception:
            self._message_refused(self.reply_to(Failure()))
            return
        self.accepted += 1
        self.wire.accepted()
        client = self.client
        self.event(
            "accepted",
            queue_id=queue_id,
            sender=_shown(envelope.reverse_path),
            rcpts=len(envelope.recipients),
            octets=octets,
            ip=client.ip,
            tls=client.tls,
            account=client.account,
        )
        self.forget()
        # RFC 5321 §4.2.5: with this reply the message is ours.
        self.reply(replies.queued(queue_id))

    def _envelope(self, message: IncomingMessage) -> Envelope:
        mail = self._mail
        recipients = tuple(self._recipients)
        asked = mail.parameters
        needs_utf8 = asked.smtputf8 and not (
            message.head_is_ascii
            and (mail.reverse_path is None or mail.reverse_path.is_ascii)
            and all(recipient.forward_path.is_ascii for recipient in recipients)
        )
        client = self.speaker(asked.smtputf8)
        if needs_utf8 is not asked.smtputf8:
            asked = replace(asked, smtputf8=needs_utf8)
        return Envelope(mail.reverse_path, recipients, message.arrived_at, asked, client, message.message_id)
