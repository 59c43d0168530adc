"""The client's side of an SMTP session without I/O: octets of replies become events, and commands become octets."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from typing_extensions import override

from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission
from emailsys.wire.smtp.client_commands import mail, rcpt
from emailsys.wire.smtp.client_events import Event, SendBody, Settled, Step, Unusable
from emailsys.wire.smtp.client_opening import Opening, confused
from emailsys.wire.smtp.client_transaction import Transaction
from emailsys.wire.smtp.replies import ReplySyntaxError
from emailsys.wire.stuffing import Stuffer

# A body up to that many octets goes out with its MAIL and RCPT where BDAT lets it; a larger one waits until somebody
# wants it.
MAX_UNASKED_BODY: Final = 64 * 1024


class SMTPClientSession(Opening):
    """One connection to a server, for any number of transmissions, one after the other.

    Feed it what the server sends, ask `next_event` until there is none, write what `take` gives. With PIPELINING the
    next transmission may begin as soon as the body of the one before has ended: RFC 2920 §3.1 lets the transfer of a
    message be the first of a group of commands, and DATA only the last. CHUNKING is used where PIPELINING is offered
    too, without which each chunk would wait for a reply of its own.
    """

    def __init__(self, hostname: str, remote: str) -> None:
        """@param hostname: what we call ourselves. @param remote: the host as outcomes name it."""
        super().__init__(hostname)
        self._remote = remote
        self._open: deque[Transaction] = deque()
        # The transaction whose commands or body are being sent.
        self._filling: Transaction | None = None
        self._stuffer = Stuffer()
        self._needs_reset = False
        #: Grows with each reply and each piece of a body: while it stands still, time runs out.
        self.progress = 0

    # What is to be sent, and awaited

    @property
    def step(self) -> Step | None:
        """What is waited for next; None when idle."""
        if self._expected:
            return self._expected[0][0]
        if self._filling is not None and self._filling.body_began:
            return Step.BODY
        return None

    @property
    def can_begin(self) -> bool:
        """Whether `begin` may be called now."""
        if not self._ready or self.ended or self._filling is not None:
            return False
        # A group may begin with the end of a message after DATA; of BDAT LAST nobody says so.
        return not self._expected or (self._pipelining and not self._chunking)

    @property
    def idle(self) -> bool:
        """Whether the session is ready and nothing is under way."""
        return self._ready and not self.ended and self._filling is None and not self._expected

    @property
    def awaits_verdict(self) -> bool:
        """Whether a whole message was sent that is not answered yet: to hang up now would leave doubt (RFC 1047)."""
        return any(transaction.body_ended for transaction in self._open)

    @property
    def body_unwanted(self) -> bool:
        """Whether the server has refused a chunk of the body that is being sent."""
        return self._filling is not None and self._filling.failure is not None

    # What the caller wants

    def begin(self, transmission: Transmission, body: bytes | None = None) -> None:
        """Start a transaction. Ends in Settled; SendBody may come before that.

        @param body: the whole body where it is at hand; a small one is sent at once where BDAT allows that.
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
        self._say(mail(transmission, self.extensions, transaction.utf8), Step.MAIL, transaction)
        if not self._pipelining:
            return
        for index in transaction.asked:
            self._say_rcpt(transaction, index)
        if not self._chunking:
            self._say(b"DATA\r\n", Step.DATA, transaction)
        elif body is not None and len(body) <= MAX_UNASKED_BODY:
            # RFC 3030 §4.2 shows MAIL, RCPT and BDAT in one group.
            transaction.body_began = True
            self.body(body, last=True)
            self.end_body()

    def body(self, piece: bytes, dotted: bool = True, last: bool = False) -> None:
        """Send a piece of the body, CRLF lines, cut anywhere.

        @param dotted: False where no line inside the piece is known to begin with a dot.
        @param last: whether it is the last one, if that is known.
        """
        transaction = self._filling
        assert transaction is not None
        self.progress += 1
        if not self._chunking:
            self._out.append(self._stuffer.stuff(piece, dotted))
        elif last:
            transaction.body_ended = True
            self._say(b"BDAT %d LAST\r\n" % len(piece), Step.FINAL, transaction)
            self._out.append(piece)
        elif piece:
            self._say(b"BDAT %d\r\n" % len(piece), Step.CHUNK, transaction)
            self._out.append(piece)

    def end_body(self) -> None:
        """The body is complete."""
        transaction = self._filling
        assert transaction is not None
        self._filling = None
        if not self._chunking:
            transaction.body_ended = True
            self._say(self._stuffer.end(), Step.FINAL, transaction)
        elif not transaction.body_ended:
            transaction.body_ended = True
            self._say(b"BDAT 0 LAST\r\n", Step.FINAL, transaction)

    def stop_body(self) -> None:
        """Send no more of a body that is unwanted, by RSET (RFC 3030 §2)."""
        transaction = self._filling
        assert transaction is not None
        assert transaction.failure is not None
        self._filling = None
        self._needs_reset = True
        transaction.end(transaction.failure)
        self._settle(transaction)

    def abandon(self, reply: Reply, from_remote: bool = False) -> None:
        """The connection is lost, or we give it up for that reason: settle what is open, with doubt where a whole
        message was sent and not answered (RFC 1047)."""
        self._give_up(reply, from_remote)

    # What the server says

    def feed(self, octets: bytes) -> None:
        """Take octets from the server."""
        if not self.ended:
            self._reader.feed(octets)

    def next_event(self) -> Event | None:
        """What the caller has to know or to do next, None until more comes."""
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
        self._say(rcpt(forward, self.extensions, transaction.utf8), Step.RCPT, transaction, index)

    def _replied(self, reply: Reply) -> None:
        """Act on a reply."""
        self.progress += 1
        if not self._expected:
            self._spoke_out_of_turn(reply)
            return
        step, transaction, index = self._expected.popleft()
        # RFC 5321 §3.8: with 421 the server closes; what else was asked gets no answer.
        closing = reply.code == 421 and step is not Step.QUIT
        if transaction is not None:
            self._transaction_replied(step, transaction, index, reply)
        else:
            self._session_replied(step, reply)
        if closing and not self.ended:
            self._give_up(reply, True)

    def _spoke_out_of_turn(self, reply: Reply) -> None:
        """Something came that nobody asked for: a refusal in the middle of a body, or a farewell."""
        transaction = self._filling
        if transaction is not None and reply.is_refusal:
            transaction.end(reply)
            self._settle(transaction)
        if reply.is_refusal:
            self._give_up(reply, True)
        else:
            self._give_up(confused(Step.BODY if transaction else Step.QUIT, f"unasked {reply.code}"), False)

    def _transaction_replied(self, step: Step, transaction: Transaction, index: int, reply: Reply) -> None:
        if transaction.settled:
            return
        if reply.code < 400 and reply.code // 100 != (3 if step is Step.DATA else 2):
            self._give_up(confused(step, f"code {reply.code}"), False)
        elif step is Step.MAIL:
            transaction.mail_replied(reply)
            self._next_step(transaction, -1)
        elif step is Step.RCPT:
            transaction.rcpt_replied(index, reply)
            self._next_step(transaction, transaction.asked.index(index) if not self._pipelining else 0)
        elif step is Step.DATA:
            self._data_replied(transaction, reply)
        elif step is Step.CHUNK:
            if reply.is_refusal:
                transaction.failure = transaction.failure or reply
        else:
            self._message_replied(transaction, reply)

    def _next_step(self, transaction: Transaction, last: int) -> None:
        """MAIL or RCPT was answered: ask the next thing, unless all was asked in one group."""
        if self._pipelining:
            if self._chunking and not self._expected:
                self._ask_for_body(transaction)
            return
        if transaction.failure is None and last + 1 < len(transaction.asked):
            self._say_rcpt(transaction, transaction.asked[last + 1])
        elif transaction.accepted:
            self._say(b"DATA\r\n", Step.DATA, transaction)
        else:
            self._nobody(transaction)

    def _ask_for_body(self, transaction: Transaction) -> None:
        if transaction.accepted:
            transaction.body_began = True
            self._stuffer = Stuffer()
            self._events.append(SendBody(transaction.transmission))
        else:
            self._nobody(transaction)

    def _nobody(self, transaction: Transaction) -> None:
        """Nobody takes the message: no body is sent."""
        if transaction.failure is not None:
            transaction.end(transaction.failure)
        self._needs_reset = transaction.mail_taken
        self._settle(transaction)

    def _data_replied(self, transaction: Transaction, reply: Reply) -> None:
        if not reply.is_refusal:
            if transaction.accepted:
                self._ask_for_body(transaction)
                return
            # RFC 2920 §3.1: the server wants a message for nobody; it gets a single dot.
            self._nobody(transaction)
            self._needs_reset = False
            self._say(b".\r\n", Step.FINAL, transaction)
            return
        if transaction.accepted:
            transaction.failure = transaction.failure or reply
        self._nobody(transaction)

    def _message_replied(self, transaction: Transaction, reply: Reply) -> None:
        """The end of the message was answered."""
        if not transaction.accepted:
            # RFC 3030 §4.2: the chunk went with a MAIL or RCPTs that were refused.
            self._nobody(transaction)
            return
        self._needs_reset = self._chunking and reply.is_refusal
        transaction.end(transaction.failure or reply)
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
