"""SMTP client session without I/O: replies become events, and commands become octets (RFC 5321)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from typing_extensions import override

from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission
from emailsys.wire.smtp.client_commands import mail, rcpt
from emailsys.wire.smtp.client_events import (
    BODY,
    CHUNK,
    DATA,
    FINAL,
    MAIL,
    RCPT,
    Event,
    SendBody,
    Settled,
    Step,
    Unusable,
)
from emailsys.wire.smtp.client_opening import Opening, confused
from emailsys.wire.smtp.client_transaction import Transaction
from emailsys.wire.smtp.replies import ReplySyntaxError
from emailsys.wire.stuffing import Stuffer

# With BDAT, a body of at most this many octets is sent together with MAIL and RCPT. A larger one waits until a
# recipient is accepted.
MAX_UNASKED_BODY: Final = 64 * 1024


class SMTPClientSession(Opening):
    """A session with one server, for any number of transmissions, one after the other.

    Pass received octets to `feed`, call `next_event` until it returns None, and write the octets from `take`. With
    PIPELINING the next transmission may begin as soon as the previous body has ended: by RFC 2920 §3.1 the transfer of
    a message may be the first of a group of commands, and DATA only the last. CHUNKING is used only together with
    PIPELINING, because otherwise each chunk would wait for its own reply.
    """

    def __init__(self, hostname: str, remote: str, lmtp: bool = False) -> None:
        """
        @param hostname: our name in EHLO.
        @param remote: the name of the remote host in outcomes.
        @param lmtp: whether the server speaks LMTP: the end of a message has a reply for each recipient (RFC 2033).
        """
        super().__init__(hostname, lmtp)
        self._remote = remote
        self._open: deque[Transaction] = deque()
        # The transaction whose commands or body are being sent.
        self._filling: Transaction | None = None
        self._stuffer = Stuffer()
        self._needs_reset = False
        #: Grows with each reply and each piece of a body. Time limits run while it does not change.
        self.progress = 0

    # State

    @property
    def step(self) -> Step | None:
        """The step that the session waits for; None when idle."""
        if self._expected:
            return self._expected[0][0]
        if self._filling is not None and self._filling.body_began:
            return BODY
        return None

    @property
    def can_begin(self) -> bool:
        """Whether `begin` may be called now."""
        if not self._ready or self.ended or self._filling is not None:
            return False
        # RFC 2920 lets a group begin with the end of a message after DATA. No RFC says so of BDAT LAST.
        return not self._expected or (self._pipelining and not self._chunking)

    @property
    def idle(self) -> bool:
        """Whether the session is ready and nothing is in progress."""
        return self._ready and not self.ended and self._filling is None and not self._expected

    @property
    def awaits_verdict(self) -> bool:
        """Whether a complete message awaits its final reply. Closing now would leave it in doubt (RFC 1047)."""
        return any(transaction.body_ended for transaction in self._open)

    @property
    def body_unwanted(self) -> bool:
        """Whether the server has refused a chunk of the body that is being sent."""
        return self._filling is not None and self._filling.failure is not None

    # Calls from the caller

    def begin(self, transmission: Transmission, body: bytes | None = None) -> None:
        """Start a transaction. Ends in Settled; SendBody may come before that.

        @param body: the whole body if it is available. With BDAT, a small one is sent at once.
        """
        transaction = Transaction(transmission, self.extensions, self._outcome)
        if not transaction.asked:
            self._events.append(Settled(transmission, _complete(transaction)))
            return
        self._filling = transaction
        self._open.append(transaction)
        if self._needs_reset:
            self._needs_reset = False
            self._say(b"RSET\r\n", Step.RESET)
        self._say(mail(transmission, self.extensions, transaction.utf8), MAIL, transaction)
        if not self._pipelining:
            return
        for index in transaction.asked:
            self._say_rcpt(transaction, index)
        if not self._chunking:
            self._say(b"DATA\r\n", DATA, transaction)
        elif body is not None and len(body) <= MAX_UNASKED_BODY:
            # RFC 3030 §4.2 shows MAIL, RCPT and BDAT in one group.
            transaction.body_began = True
            self.body(body, last=True)
            self.end_body()

    def body(self, piece: bytes, dotted: bool = True, last: bool = False) -> None:
        """Send a piece of the body, of any size, with CRLF lines.

        @param dotted: False if it is known that no line inside the piece begins with a dot.
        @param last: whether it is known to be the last piece.
        """
        transaction = self._filling
        assert transaction is not None
        self.progress += 1
        if not self._chunking:
            self._out.append(self._stuffer.stuff(piece, dotted))
        elif last:
            transaction.body_ended = True
            self._say(b"BDAT %d LAST\r\n" % len(piece), FINAL, transaction)
            self._out.append(piece)
        elif piece:
            self._say(b"BDAT %d\r\n" % len(piece), CHUNK, transaction)
            self._out.append(piece)

    def end_body(self) -> None:
        """End the body, which is complete."""
        transaction = self._filling
        assert transaction is not None
        self._filling = None
        if not self._chunking:
            transaction.body_ended = True
            self._say(self._stuffer.end(), FINAL, transaction, transaction.accepted[0])
            if self._lmtp:
                self._expected += [(FINAL, transaction, index) for index in transaction.accepted[1:]]
        elif not transaction.body_ended:
            transaction.body_ended = True
            self._say(b"BDAT 0 LAST\r\n", FINAL, transaction)

    def stop_body(self) -> None:
        """Stop sending a refused body, by RSET (RFC 3030 §2)."""
        transaction = self._filling
        assert transaction is not None
        assert transaction.failure is not None
        self._filling = None
        self._needs_reset = True
        transaction.end(transaction.failure)
        self._settle(transaction)

    def abandon(self, reply: Reply, from_remote: bool = False) -> None:
        """End the session with that reply and settle open transactions.

        A complete message without a final reply is in doubt (RFC 1047).
        """
        self._give_up(reply, from_remote)

    # Input from the server

    def feed(self, octets: bytes) -> None:
        """Receive octets from the server."""
        if not self.ended:
            self._reader.feed(octets)

    def next_event(self) -> Event | None:
        """Return the next event; None if more input is needed."""
        while not self._events:
            if self.ended:
                return None
            try:
                reply = self._reader.next_reply()
            except ReplySyntaxError as error:
                self._give_up(confused(self.step or Step.GREETING, str(error)), False)
                continue
            if reply is None:
                return None
            self._replied(reply)
        return self._events.popleft()

    # Inside

    def _outcome(self, kind: OutcomeKind, reply: Reply, from_remote: bool, lost: bool, in_doubt: bool) -> Outcome:
        return Outcome(kind, reply, self._remote, self.tls, from_remote, in_doubt, "DSN" in self.extensions, lost)

    def _say_rcpt(self, transaction: Transaction, index: int) -> None:
        forward = transaction.transmission.recipients[index]
        self._say(rcpt(forward, self.extensions, transaction.utf8), RCPT, transaction, index)

    def _replied(self, reply: Reply) -> None:
        """Handle a reply."""
        self.progress += 1
        if not self._expected:
            self._spoke_out_of_turn(reply)
            return
        step, transaction, index = self._expected.popleft()
        # RFC 5321 §3.8: after 421 the server closes the connection. Other commands get no reply.
        closing = reply.code == 421 and step is not Step.QUIT
        if transaction is not None:
            self._transaction_replied(step, transaction, index, reply)
        else:
            self._session_replied(step, reply)
        if closing and not self.ended:
            self._give_up(reply, True)

    def _spoke_out_of_turn(self, reply: Reply) -> None:
        """Handle an unsolicited reply: a refusal in the middle of a body, or a closing message."""
        transaction = self._filling
        if transaction is not None and reply.is_refusal:
            transaction.end(reply)
            self._settle(transaction)
        if reply.is_refusal:
            self._give_up(reply, True)
        else:
            self._give_up(confused(BODY if transaction else Step.QUIT, f"unasked {reply.code}"), False)

    def _transaction_replied(self, step: Step, transaction: Transaction, index: int, reply: Reply) -> None:
        if transaction.settled:
            return
        if reply.code < 400 and reply.code // 100 != (3 if step is DATA else 2):
            self._give_up(confused(step, f"code {reply.code}"), False)
        elif step is MAIL:
            transaction.mail_replied(reply)
            self._next_step(transaction, -1)
        elif step is RCPT:
            transaction.rcpt_replied(index, reply)
            self._next_step(transaction, transaction.asked.index(index) if not self._pipelining else 0)
        elif step is DATA:
            self._data_replied(transaction, reply)
        elif step is CHUNK:
            if reply.is_refusal:
                transaction.failure = transaction.failure or reply
        elif self._lmtp:
            self._recipient_replied(transaction, index, reply)
        else:
            self._message_replied(transaction, reply)

    def _next_step(self, transaction: Transaction, last: int) -> None:
        """Send the next command after the reply to MAIL or RCPT, unless all were sent in one group."""
        if self._pipelining:
            if self._chunking and not self._expected:
                self._ask_for_body(transaction)
            return
        if transaction.failure is None and last + 1 < len(transaction.asked):
            self._say_rcpt(transaction, transaction.asked[last + 1])
        elif transaction.accepted:
            self._say(b"DATA\r\n", DATA, transaction)
        else:
            self._settle_unaccepted(transaction)

    def _ask_for_body(self, transaction: Transaction) -> None:
        if transaction.accepted:
            transaction.body_began = True
            self._stuffer = Stuffer()
            self._events.append(SendBody(transaction.transmission))
        else:
            self._settle_unaccepted(transaction)

    def _settle_unaccepted(self, transaction: Transaction) -> None:
        """Settle a transaction without accepted recipients. No body is sent."""
        if transaction.failure is not None:
            transaction.end(transaction.failure)
        self._needs_reset = transaction.mail_taken
        self._settle(transaction)

    def _data_replied(self, transaction: Transaction, reply: Reply) -> None:
        if not reply.is_refusal:
            if transaction.accepted:
                self._ask_for_body(transaction)
                return
            # RFC 2920 §3.1: the server accepted DATA without recipients. It gets a single dot.
            # LMTP then has no reply to the dot (RFC 2033 §4.2).
            self._settle_unaccepted(transaction)
            self._needs_reset = False
            if self._lmtp:
                self._give_up(confused(step=DATA, said="a code that accepts a message for nobody"), False)
            else:
                self._say(b".\r\n", FINAL, transaction)
            return
        if transaction.accepted:
            transaction.failure = transaction.failure or reply
        self._settle_unaccepted(transaction)

    def _message_replied(self, transaction: Transaction, reply: Reply) -> None:
        """Handle the final reply to a message."""
        if not transaction.accepted:
            # RFC 3030 §4.2: the chunk was sent together with a MAIL or RCPTs that were refused.
            self._settle_unaccepted(transaction)
            return
        self._needs_reset = self._chunking and reply.is_refusal
        transaction.end(transaction.failure or reply)
        self._settle(transaction)

    def _recipient_replied(self, transaction: Transaction, index: int, reply: Reply) -> None:
        """Handle a final reply of LMTP, which concerns one recipient (RFC 2033 §4.2)."""
        transaction.end_of(index, reply)
        if index == transaction.accepted[-1]:
            self._settle(transaction)

    def _settle(self, transaction: Transaction, untouched: bool = False) -> None:
        transaction.settled = True
        self._open.remove(transaction)
        if self._filling is transaction:
            self._filling = None
        self._events.append(Settled(transaction.transmission, _complete(transaction), untouched))

    @override
    def _give_up(self, reply: Reply, from_remote: bool, *, tls_refused: bool = False, permanent: bool = False) -> None:
        if self.ended:
            return
        self.ended = True
        self._ready = False
        self._expected.clear()
        self._out = []
        while self._open:
            transaction = self._open[0]
            transaction.lose(reply, from_remote)
            self._settle(transaction, untouched=not (transaction.spoken_of or transaction.body_began))
        self._events.append(Unusable(reply, from_remote, tls_refused, permanent))


def _complete(transaction: Transaction) -> Sequence[Outcome]:
    return [outcome for outcome in transaction.outcomes if outcome is not None]
