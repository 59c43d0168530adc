"""An SMTP server session: commands to policy, messages to the store, a reply for each (RFC 5321)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.mail import smtp
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.interfaces import StoreError, StoreFull
from emailsys.mail import reply as replies
from emailsys.mail.address import Address
from emailsys.mail.envelope import Addressee, Arrival, Envelope, Recipient
from emailsys.mail.reply import Reply
from emailsys.net.admission import TurnedAway
from emailsys.net.incoming import IncomingMessage
from emailsys.net.session_names import session_names
from emailsys.net.smtp_login import SMTPLogin
from emailsys.net.smtp_service import SMTPService
from emailsys.wire.smtp_grammar import Chunk, MailArguments, RcptArguments
from emailsys.wire.smtp_session import Answer, Body, Command, Drop, End, Event, Stage

_NO_MAIL = MailArguments(None)


def _never_reached(self: object, *arguments: object, **named: object) -> NoReturn:
    raise RuntimeError("twisted.mail's own way of input and delivery is never taken")


def _shown(reverse_path: Address | None) -> object:
    """A reverse-path as the log shows it."""
    return "<>" if reverse_path is None else reverse_path


class ESMTPServer(SMTPLogin):
    """One SMTP session. Made by an ESMTPServerFactory.

    Of twisted.mail's protocol it keeps the frame: the dispatch to `do_X` and `ext_X`, `extensions`, `delivery` and its
    interface, the portal of twisted.cred. Input, order, timing, delivery and errors are ours.
    """

    def __init__(self, service: SMTPService, session: str, sessions: set[ESMTPServer]) -> None:
        """@param sessions: where it stands while it is connected."""
        super().__init__(service, session)
        self._sessions = sessions
        self._mail = _NO_MAIL
        self._recipients: list[Recipient] = []
        self._message: IncomingMessage | None = None
        # Why the message on its way will be refused, once its end has come.
        self._refusal: Reply | None = None
        self._accepted = 0
        self._refused = 0

    # The course of the session

    @override
    def connectionMade(self) -> None:
        self._sessions.add(self)
        self.service.admission.enter(self.peer_host)
        super().connectionMade()

    @override
    def perform(self, event: Event) -> Coroutine[Any, Any, None] | None:
        if isinstance(event, Command):
            step = self.lookupMethod(event.verb)(event.argument)
        elif isinstance(event, Body):
            step = self._take_body(event)
        else:
            assert isinstance(event, Answer | Drop)
            self.reply(event.reply)
            if isinstance(event, Drop):
                self.event("smtp.dropped", ip=self.client.ip, why=event.reply.text)
                self.close()
            return None
        return step

    @override
    def lookupMethod(self, command: str) -> Callable[[Any], Coroutine[Any, Any, None] | None]:
        """What acts on a verb. The session lets only verbs pass that are here."""
        found: Callable[[Any], Coroutine[Any, Any, None] | None] | None = getattr(self, f"do_{command}", None)
        return found if found is not None else getattr(self, f"ext_{command}")

    @override
    def failed(self, failure: Failure) -> None:
        reply = self._reply_to(failure)
        if self.wire.in_body:
            self._refuse_message(reply)
            return
        if self.wire.stage is Stage.GREETED:
            self.forget()
        self.reply(reply)

    def _reply_to(self, failure: Failure) -> Reply:
        """The reply to a failure; one that nobody expected is logged."""
        if failure.check(StoreFull):
            return replies.STORE_FULL
        if failure.check(StoreError):
            self.event("smtp.store_failed", why=failure.getErrorMessage())
        else:
            self.service.telemetry.surprise("smtp", failure, session=self.session)
        return replies.LOCAL_ERROR

    @override
    def timed_out(self) -> None:
        self.event("smtp.timed_out", ip=self.client.ip)
        if self.choked:
            self.abort()
            return
        self.reply(replies.TIMED_OUT)
        self.close()

    def go_away(self) -> None:
        """The daemon goes down: say so, and close. Not to be called while a command is being acted on."""
        self.reply(replies.SHUTTING_DOWN)
        self.close()

    @override
    def ended(self, reason: Failure) -> None:
        self._sessions.discard(self)
        self.service.admission.leave(self.peer_host)
        self.forget()
        self.log_out()
        client = self.client
        self.event(
            "smtp.end",
            service=self.service.kind.value,
            # Not known yet where a handshake of TLS came to nothing.
            ip=client.ip or self.peer_host,
            helo=client.helo,
            accepted=self._accepted,
            refused=self._refused,
        )

    @override
    def forget(self) -> None:
        self._mail = _NO_MAIL
        self._recipients = []
        self._refusal = None
        message, self._message = self._message, None
        if message is not None:
            message.abandon()

    def _refuse(self, reply: Reply, **what: object) -> None:
        """Reply, and log that a sender, a recipient or a message was refused."""
        self._refused += 1
        self.event("refused", ip=self.client.ip, reply=f"{reply.code} {reply.enhanced}", **what)
        self.reply(reply)

    # The envelope

    @override
    async def do_MAIL(self, arguments: MailArguments) -> None:
        if self.delivery is None:
            await self.become_stranger()
            if self.lost:
                return
        service = self.service
        size = service.settings.max_message_size if arguments.size is None else arguments.size
        if not await service.intake.has_room(size):
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
            return
        self._recipients.append(Recipient(forward_path, tuple(routes), arguments.dsn))
        self.wire.rcpt_taken()
        self.reply(replies.RECIPIENT_OK)

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
            trace = self.receivedHeader(self.speaker(self._mail.smtputf8), arrival, self._recipients)
        except Exception:
            incoming.abandon()
            raise
        self._message = IncomingMessage(incoming, service.head_rules, trace, arrived_at)

    @override
    def do_DATA(self, rest: bytes) -> None:
        self._begin_message()
        self.wire.data_begins()
        self.allow_silence(self.service.settings.data_timeout)
        self.reply(replies.SEND_MESSAGE)

    def ext_BDAT(self, chunk: Chunk) -> None:
        """RFC 3030 §2: the chunk itself follows as the body; what goes wrong here is told at its end."""
        if self._message is None and self._refusal is None:
            try:
                self._begin_message()
            except Exception:
                self._refuse_message(self._reply_to(Failure()))
        self.allow_silence(self.service.settings.data_timeout)

    def _refuse_message(self, refusal: Reply) -> None:
        """The message on its way cannot be accepted; what still comes of it is dropped."""
        if self._refusal is None:
            self._refusal = refusal
            message, self._message = self._message, None
            if message is not None:
                message.abandon()

    def _take_body(self, body: Body) -> Coroutine[Any, Any, None] | None:
        if body.refusal is not None:
            self._refuse_message(body.refusal)
        if body.octets and self._message is not None:
            waiting = self._write(self._message.write, body.octets)
            if waiting is not None:
                return self._write_slowly(waiting, body.end)
        return self._end_of(body.end)

    def _write(self, write: Callable[..., Deferred[None] | Reply | None], *octets: bytes) -> Deferred[None] | None:
        try:
            outcome = write(*octets)
        except Exception:
            self._refuse_message(self._reply_to(Failure()))
            return None
        if isinstance(outcome, Reply):
            self._refuse_message(outcome)
            return None
        return outcome

    async def _written(self, waiting: Deferred[None]) -> None:
        try:
            await waiting
        except Exception:
            self._refuse_message(self._reply_to(Failure()))

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
            self._message_refused(self._reply_to(Failure()))
            return
        self._accepted += 1
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
        needs_utf8 = mail.smtputf8 and not (
            message.head_is_ascii
            and (mail.reverse_path is None or mail.reverse_path.is_ascii)
            and all(recipient.forward_path.is_ascii for recipient in recipients)
        )
        client, body = self.speaker(mail.smtputf8), mail.body
        asked, message_id = mail.dsn, message.message_id
        return Envelope(mail.reverse_path, recipients, message.arrived_at, body, needs_utf8, asked, client, message_id)

    # The rest

    @override
    def do_RSET(self, rest: bytes) -> None:
        self.forget()
        self.reply(replies.FORGOTTEN)

    def do_NOOP(self, rest: bytes) -> None:
        """RFC 5321 §4.1.1.9."""
        self.reply(replies.NOTHING_DONE)

    def do_VRFY(self, rest: bytes) -> None:
        """RFC 5321 §3.5.3: answered, but who has a mailbox is not told."""
        self.reply(replies.NOT_VERIFIED)

    def do_HELP(self, rest: bytes) -> None:
        """RFC 5321 §4.1.1.8."""
        self.reply(replies.HELP)

    @override
    def do_QUIT(self, rest: bytes) -> None:
        self.reply(replies.CLOSING)
        self.close()

    # Stock ways that would bypass ours
    lineReceived = lineLengthExceeded = dataLineReceived = sendLine = _never_reached
    state_COMMAND = state_DATA = state_AUTH = _never_reached
    do_UNKNOWN = sendSyntaxError = sendCode = greeting = _never_reached
    _cbFromValidate = _ebFromValidate = _cbToValidate = _ebToValidate = _never_reached
    _messageHandled = _disconnect = _never_reached
    _cbAnonymousAuthentication = _cbAuthenticated = _ebAuthenticated = _never_reached


class ESMTPServerFactory(smtp.SMTPFactory):
    """Makes SMTP sessions. For implicit TLS (port 465) wrap it in a TLSMemoryBIOFactory: the sessions notice."""

    protocol = ESMTPServer  # type: ignore[assignment]  # its sessions take more than nothing
    noisy = False

    def __init__(self, service: SMTPService, new_session: Callable[[], str] | None = None) -> None:
        """@param new_session: gives each session the id that its log events bear."""
        super().__init__(service.portal)
        self.service = service
        self.domain = service.hostname.encode("ascii")
        self.timeout = int(service.settings.command_timeout)
        self.sessions: set[ESMTPServer] = set()
        self._new_session = new_session if new_session is not None else session_names()

    @override
    def buildProtocol(self, addr: IAddress | None) -> ESMTPServer | TurnedAway:
        service, ip = self.service, str(getattr(addr, "host", ""))
        too_many = service.admission.refusal(ip)
        if too_many is not None:
            service.telemetry.event("smtp.turned_away", service=service.kind.value, ip=ip, why=too_many.value)
            words = replies.too_many_connections(too_many.value).encode()
            return TurnedAway(service.admission, words, service.clock, service.settings.close_timeout)
        server = ESMTPServer(self.service, self._new_session(), self.sessions)
        server.factory = self
        server.portal = self.portal
        return server

    def drain(self) -> int:
        """The daemon goes down: end the sessions that do nothing at the moment.

        @return: how many sessions are left.
        """
        for session in tuple(self.sessions):
            session.hurry()
            if not (session.busy or session.closing or session.wire.in_body):
                session.go_away()
        return len(self.sessions)
