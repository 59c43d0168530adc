"""Relay to webhooks: posts a message with its envelope, and turns the answer into outcomes."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IConsumer, IDelayedCall, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IPolicyForHTTPS
from typing_extensions import override
from zope.interface import implementer

from emailsys.config.settings import OutboundSettings
from emailsys.interfaces import IRelay, LeaseUncertain, StoreDamaged, StoreError
from emailsys.mail import reply as replies
from emailsys.mail.next_hop import NextHop
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission, close_pieces
from emailsys.mail.webhook import Signature, Webhook, delivery_id, envelope
from emailsys.net.tls.client import client_context
from emailsys.telemetry import Telemetry

# Seconds without progress, and until the answer, after which an attempt ends.
_PATIENCE: Final = 60.0
# Octets of an answer that are read, with its header section and its body. A longer one ends the connection. By default,
# nginx as a proxy accepts no longer header section. As many of informational answers (RFC 9110 §15.2) take 10 ms of
# CPU time.
_MAX_ANSWER: Final = 8 * 1024
# Answers that say that the program, and not this message, is the reason (RFC 9110 §15, RFC 6585 §4).
_ALL_WAIT: Final = frozenset({429, 502, 503, 504})
# Answers of the class 4xx that do not say that the message is the reason: time, and what an operator has to correct,
# such as the secret or the URL.
_LATER: Final = frozenset({401, 402, 403, 404, 405, 407, 408, 421, 425, 426, 429})
_TYPE: Final = 'multipart/form-data; boundary="%s"'


@implementer(IPolicyForHTTPS)
class _TLS:
    """TLS that verifies the certificate, for Agent."""

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """Return the options for one host."""
        return client_context(hostname.decode("ascii"), self._ca_file)


class _Connections(HTTPConnectionPool):
    """Connections that read a limited answer to each request. Twisted keeps a header section of any length."""

    @override
    def getConnection(self, key: Any, endpoint: Any) -> Deferred[Any]:
        got: Deferred[Any] = super().getConnection(key, endpoint)
        return got.addCallback(_limited)


def _limited(connection: Any) -> Any:
    read = type(connection).dataReceived.__get__(connection)
    left = _MAX_ANSWER

    def data_received(data: bytes) -> None:
        nonlocal left
        taken = data[:left]
        left -= len(taken)
        read(taken)
        if len(taken) < len(data):
            connection.transport.abortConnection()

    connection.dataReceived = data_received
    return connection


class _Rest(Protocol):
    """Reads the body of an answer, and closes the connection if it is slow.

    It is one of `others` until the connection is free.
    """

    def __init__(self, clock: Any, others: set[_Rest]) -> None:
        self._timer = clock.callLater(_PATIENCE, self.end)
        self._others = others
        others.add(self)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._others.discard(self)

    def end(self) -> None:
        """Close the connection."""
        if self.transport is not None:
            self.transport.loseConnection()


@implementer(IBodyProducer)
class _Form:
    """The body of a request. Reads the message while it is sent."""

    def __init__(self, content: _Content, length: int, moved: Callable[[], None]) -> None:
        """@param moved: called whenever the program has read more."""
        self._content = content
        self.length = length
        self._moved = moved
        self._paused: Deferred[None] | None = None
        self._is_stopped = False
        self._done: Deferred[None] = Deferred()
        self.is_sent = False

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Send the body. The Deferred never fires after `stopProducing`."""
        sending = Deferred.fromCoroutine(self._produce(consumer))
        _ = sending.addBoth(lambda result: None if self._is_stopped else self._done.callback(result))
        return self._done

    async def _produce(self, consumer: IConsumer) -> None:
        async with aclosing(self._content.pieces()) as pieces:
            async for piece in pieces:
                if self._is_stopped:
                    return
                consumer.write(piece)
                if self._paused is not None:
                    await self._paused
                self._moved()
        self.is_sent = not self._is_stopped

    def pauseProducing(self) -> None:
        """Pause: the connection takes no more."""
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        """Go on."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        """Stop: the connection is lost."""
        self._is_stopped = True
        self.resumeProducing()


class _Content:
    """The octets of a request's body: a form with the envelope and the message (RFC 7578)."""

    def __init__(self, transmission: Transmission) -> None:
        self._transmission = transmission
        self.boundary = secrets.token_hex(16)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Return the octets from the beginning."""
        boundary = self.boundary.encode("ascii")
        yield (
            b'--%b\r\nContent-Disposition: form-data; name="envelope"\r\nContent-Type: application/json\r\n\r\n%b\r\n'
            b'--%b\r\nContent-Disposition: form-data; name="message"; filename="message.eml"\r\n'
            # Some parsers of forms would parse a part of type message/rfc822, too.
            b"Content-Type: application/octet-stream\r\n\r\n" % (boundary, envelope(self._transmission), boundary)
        )
        message = self._transmission.pieces()
        try:
            async for piece in message:
                yield piece
        finally:
            await close_pieces(message)
        if not self._transmission.may_end():
            raise LeaseUncertain()
        yield b"\r\n--%b--\r\n" % boundary


class _Post:
    """One request."""

    def __init__(self, clock: Any, agent: Agent, webhook: Webhook, transmission: Transmission) -> None:
        self._clock = clock
        self._agent = agent
        self._webhook = webhook
        self._transmission = transmission
        self._form: _Form | None = None
        self._request: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None
        self._is_late = False
        self._is_answered = False
        self.is_ended = False

    @property
    def is_sent(self) -> bool:
        """Whether the program may have the whole message."""
        return self._form is not None and self._form.is_sent

    async def send(self, now: datetime) -> Reply | Any:
        """Send it. Return the answer of the program, or why there is none.

        @raise StoreError: the message cannot be read.
        """
        content, timestamp = _Content(self._transmission), int(now.timestamp())
        webhook_id = delivery_id(self._transmission)
        signature = Signature(self._webhook.secret, webhook_id, timestamp)
        length = 0
        async for piece in content.pieces():
            signature.update(piece)
            length += len(piece)
        if self.is_ended:
            return replies.BROKEN_OFF
        headers = Headers({"content-type": [_TYPE % content.boundary], "user-agent": ["emailsys"]})
        headers.addRawHeader("webhook-id", webhook_id)
        headers.addRawHeader("webhook-timestamp", str(timestamp))
        if self._webhook.secret:
            headers.addRawHeader("webhook-signature", signature.header())
        self._form = _Form(content, length, self._moved)
        self._moved()
        self._request = self._agent.request(b"POST", self._webhook.url.encode("ascii"), headers, self._form)
        try:
            answer = await self._request
        except StoreError:
            raise
        except Exception as error:
            return self._broken(error)
        finally:
            self._is_answered = True
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
        return answer

    def _broken(self, error: Exception) -> Reply:
        """Return why there is no answer. Twisted wraps the reasons.

        @raise StoreError: the message could not be read.
        @raise CancelledError: the caller gave the attempt up.
        """
        is_ours = self._is_late or self.is_ended
        for one in (error, *(reason.value for reason in getattr(error, "reasons", ()))):
            if isinstance(one, StoreError) or (isinstance(one, CancelledError) and not is_ours):
                raise one
        if self.is_ended:
            return replies.BROKEN_OFF
        why = f"it did not answer within {_PATIENCE:g} s" if self._is_late else _words(error)
        return Reply(451, "4.4.2", f"{self._webhook}: {why}")

    def _moved(self) -> None:
        if self._is_answered:
            return
        if self._timer is not None and self._timer.active():
            self._timer.reset(_PATIENCE)
        else:
            self._timer = self._clock.callLater(_PATIENCE, self._too_late)

    def _too_late(self) -> None:
        self._is_late = True
        self._cancel()

    def end(self) -> None:
        """End the attempt, because this service is stopping."""
        self.is_ended = True
        self._cancel()

    def _cancel(self) -> None:
        if self._request is not None:
            self._request.cancel()


def _words(error: Exception) -> str:
    """Return the reason why there is no answer. Twisted wraps it."""
    reasons = getattr(error, "reasons", ())
    if reasons:
        return "; ".join(dict.fromkeys(_words(reason.value) for reason in reasons))
    if isinstance(error, ConnectionAborted):
        # Only `_limited` aborts a connection before this system stops or is too late.
        return f"its answer has no end within {_MAX_ANSWER} octets"
    return str(error) or type(error).__name__


@implementer(IRelay)
class WebhookRelay:
    """Relay whose next hops are programs that get messages by HTTP."""

    def __init__(
        self, reactor: Any, settings: OutboundSettings, telemetry: Telemetry, now: Callable[[], datetime]
    ) -> None:
        """@param reactor: IReactorTCP, IReactorPluggableNameResolver and IReactorTime."""
        self._reactor = reactor
        self._telemetry = telemetry
        self._now = now
        self._pool = _Connections(reactor)
        self._pool.maxPersistentPerHost = settings.connections_per_host
        # Agent itself repeats nothing: the queue does.
        self._pool.retryAutomatically = False
        self._agent = Agent(reactor, _TLS(settings.ca_file), settings.timeouts.connect, pool=self._pool)
        self._posts: set[_Post] = set()
        self._rests: set[_Rest] = set()
        self._winding_up = False

    async def relay(self, next_hop: NextHop, transmission: Transmission) -> Sequence[Outcome]:
        outcome = await self._outcome(next_hop.webhook or Webhook(""), transmission)
        return [outcome] * len(transmission.recipients)

    async def _outcome(self, webhook: Webhook, transmission: Transmission) -> Outcome:
        if self._winding_up:
            return Outcome(OutcomeKind.DELAYED, replies.BROKEN_OFF, host_at_fault=True)
        post = _Post(self._reactor, self._agent, webhook, transmission)
        self._posts.add(post)
        try:
            answer = await post.send(self._now())
        except CancelledError:
            post.end()
            raise
        except LeaseUncertain:
            return Outcome(OutcomeKind.DELAYED, replies.LEASE_UNCERTAIN)
        except StoreDamaged:
            return Outcome(OutcomeKind.DELAYED, replies.MESSAGE_DAMAGED, hold=True)
        except StoreError as error:
            self._telemetry.event("outbound-store-failed", queue_id=transmission.queue_id, why=str(error))
            return Outcome(OutcomeKind.DELAYED, replies.LOCAL_ERROR)
        finally:
            self._posts.discard(post)
        if isinstance(answer, Reply):
            return Outcome(OutcomeKind.DELAYED, answer, host_at_fault=True, route_at_fault=True, in_doubt=post.is_sent)
        answer.deliverBody(_Rest(self._reactor, self._rests))
        if answer.code < 400 and not post.is_sent:
            said = f"{webhook} answered {answer.code} before it had the message"
            return Outcome(OutcomeKind.DELAYED, Reply(451, "4.5.0", said), webhook.host)
        return _judged(webhook, answer.code)

    def idle(self, next_hop: NextHop) -> None:
        """Do nothing: idle connections are closed after some minutes."""

    def shut_down(self, grace: float) -> None:
        self._winding_up = True
        for post in tuple(self._posts):
            if not post.is_sent:
                post.end()
        if self._posts:
            self._reactor.callLater(grace, self._end_all)

    def _end_all(self) -> None:
        for post in tuple(self._posts):
            post.end()

    async def close(self) -> None:
        """Close all connections. Call `shut_down` first."""
        self._end_all()
        for rest in tuple(self._rests):
            rest.end()
        await self._pool.closeCachedConnections()


def _judged(webhook: Webhook, status: int) -> Outcome:
    """Return the outcome for the status of an answer. Redirections are not followed: they could lead anywhere."""
    said = f"{webhook} answered {status}"
    if 200 <= status < 300:
        return Outcome(OutcomeKind.DELIVERED, Reply(250, "2.0.0", said), webhook.host)
    if 400 <= status < 500 and status not in _LATER:
        return Outcome(OutcomeKind.FAILED, Reply(554, "5.0.0", said), webhook.host)
    waits = status in _ALL_WAIT
    return Outcome(
        OutcomeKind.DELAYED, Reply(451, "4.0.0", said), webhook.host, host_at_fault=waits, route_at_fault=waits
    )
