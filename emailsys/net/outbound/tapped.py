"""Outbound connection that is recorded: tells commands, bodies, replies, TLS and outcomes."""

from __future__ import annotations

import hashlib
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.interfaces.wiretap import ITap
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind
from emailsys.net.base.address_text import address_text
from emailsys.net.base.failures import why
from emailsys.net.outbound import state as states
from emailsys.net.outbound.connection import SMTPClient
from emailsys.net.tls.facts import tls_facts
from emailsys.net.tls.tapped import TappedTLS
from emailsys.wire.smtp.client import SMTPClientSession
from emailsys.wire.smtp.client_events import Settled, Step
from emailsys.wire.smtp.client_transaction import Transaction

_VERDICTS = {OutcomeKind.DELAYED: "delayed", OutcomeKind.FAILED: "failed"}


class TappedSession(SMTPClientSession):
    """A client session that tells what it sends and receives.

    Octets are told when they are taken for sending, because a session that ends discards the others.

    @ivar digests: the SHA-256 of the messages that are being sent, by their queue id.
    """

    def __init__(self, tap: ITap, hostname: str, remote: str, lmtp: bool = False) -> None:
        super().__init__(hostname, remote, lmtp)
        self._tap = tap
        self.digests: dict[str, Any] = {}
        # For each block to send: whether it is a command and whether that is a secret, or a piece of a body.
        self._kinds: list[tuple[bool, bool]] = []

    @override
    def _say(self, octets: bytes, step: Step, transaction: Transaction | None = None, index: int = 0) -> None:
        super()._say(octets, step, transaction, index)
        is_body = step is Step.FINAL and not octets.startswith(b"BDAT ")
        self._label(not is_body, step is Step.AUTH and octets[:5].upper() != b"AUTH ")

    @override
    def body(self, piece: bytes, dotted: bool = True, last: bool = False) -> None:
        super().body(piece, dotted, last)
        self._label(False, False)
        if self._filling is not None:
            queue_id = self._filling.transmission.queue_id
            self.digests.setdefault(queue_id, hashlib.sha256()).update(piece)

    def _label(self, is_command: bool, is_secret: bool) -> None:
        del self._kinds[len(self._out) :]
        while len(self._kinds) < len(self._out):
            self._kinds.append((is_command, is_secret))

    @override
    def take(self) -> bytes:
        for octets, (is_command, is_secret) in zip(self._out, self._kinds, strict=False):
            if is_command:
                self._tap.command(octets.removesuffix(b"\r\n"), len(octets), is_secret)
            else:
                self._tap.body(octets)
        self._kinds = []
        return super().take()

    @override
    def feed(self, octets: bytes) -> None:
        if not self.ended:
            self._tap.reply(octets)
        super().feed(octets)


class TappedSMTPClient(SMTPClient):
    """An outbound connection that tells of its beginning, TLS, outcomes and end."""

    def __init__(self, tap: ITap, *arguments: Any) -> None:
        """@param arguments: those of SMTPClient."""
        self._session_type = self._tapped_session
        self._tap = tap
        self._digests: dict[str, Any] = {}
        super().__init__(*arguments)
        tls_for = self._tls_for
        self._tls_for = lambda expected: TappedTLS(tls_for(expected), tap)

    def _tapped_session(self, hostname: str, remote: str, lmtp: bool) -> TappedSession:
        session = TappedSession(self._tap, hostname, remote, lmtp)
        self._digests = session.digests
        return session

    @override
    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._tap.opened(address_text(transport.getPeer()), address_text(transport.getHost()), self._host.name)
        super().connectionMade()

    @override
    def handshakeCompleted(self) -> None:
        if self._state is states.HANDSHAKE:
            self._tap.secured(tls_facts(self._transport))
        super().handshakeCompleted()

    @override
    def _has_settled(self, event: Settled) -> None:
        queue_id = event.transmission.queue_id
        digest = self._digests.pop(queue_id, None)
        for outcome in event.outcomes:
            self._tell(outcome, queue_id)
        taken = sum(outcome.kind is OutcomeKind.DELIVERED for outcome in event.outcomes)
        if taken:
            # The digest is that of the stored message: what a peer took can be compared with what was accepted here.
            sha256 = {} if digest is None else {"sha256": digest.hexdigest()}
            self._tap.committed("the peer has taken the message", queue_id=queue_id, recipients=taken, **sha256)
        super()._has_settled(event)

    def _tell(self, outcome: Outcome, queue_id: str) -> None:
        verdict = _VERDICTS.get(outcome.kind)
        if verdict is not None:
            self._tap.verdict(verdict, queue_id=queue_id, reply=_codes(outcome.reply))

    @override
    def _fail(self, kind: OutcomeKind, reply: Reply, from_remote: bool, tls: bool) -> None:
        if self._state is not states.OVER:
            # What the host said may repeat a secret.
            text = _codes(reply) if from_remote else f"{_codes(reply)} {reply.text}"
            self._tap.verdict("this connection cannot be used", reply=text)
        super()._fail(kind, reply, from_remote, tls)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        ours = self._state is states.OVER
        super().connectionLost(reason)
        self._tap.closed("closed by this host" if ours else why(reason))


def _codes(reply: Reply) -> str:
    return f"{reply.code} {reply.enhanced}".rstrip()
