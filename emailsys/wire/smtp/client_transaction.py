"""Client transaction: the outcome of each recipient from the replies of the server."""

from __future__ import annotations

from collections.abc import Callable

from emailsys.mail import reply as replies
from emailsys.mail.envelope import NO_SMTPUTF8
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission, kind_of
from emailsys.wire.smtp.client_commands import Extensions, needs_smtputf8

# Makes an outcome from kind, reply, whether the remote host sent it, whether the session was lost, and whether the
# message is in doubt.
MakeOutcome = Callable[[OutcomeKind, Reply, bool, bool, bool], Outcome]


def too_big(octets: int, limit: int) -> Reply:
    """Return the reply for a message over the announced size limit, which needs no transaction (RFC 1870 §6.1)."""
    return Reply(
        552, replies.TOO_BIG.enhanced, f"the message has {octets} octets and the next host takes at most {limit}"
    )


def _meaning(reply: Reply) -> OutcomeKind:
    """Return the kind of a refusal of RCPT. RFC 5321 §4.5.3.1.10: treat 552 for too many recipients as 452."""
    if reply.code == 552 and reply.enhanced in ("", "5.5.3"):
        return OutcomeKind.DELAYED
    return kind_of(reply)


class Transaction:
    """A transmission in one session. `outcomes` is filled as replies arrive, in the order of the recipients."""

    __slots__ = (
        "_make",
        "accepted",
        "asked",
        "body_began",
        "body_ended",
        "failure",
        "mail_taken",
        "outcomes",
        "settled",
        "spoken_of",
        "transmission",
        "utf8",
    )

    def __init__(self, transmission: Transmission, extensions: Extensions, make: MakeOutcome) -> None:
        self.transmission = transmission
        self._make = make
        self.outcomes: list[Outcome | None] = [None] * len(transmission.recipients)
        #: Indices of the recipients to send to the server, and of those that it accepted.
        self.asked = list(range(len(transmission.recipients)))
        self.accepted: list[int] = []
        #: The reply that ended the transaction: a refusal of MAIL, DATA or a chunk.
        self.failure: Reply | None = None
        self.mail_taken = False
        self.body_began = False
        self.body_ended = False
        #: Whether the server has replied to any of it.
        self.spoken_of = False
        self.settled = False
        self.utf8 = transmission.parameters.smtputf8 or needs_smtputf8(transmission.reverse_path)
        self._look_at(extensions)

    def _look_at(self, extensions: Extensions) -> None:
        """Refuse recipients that the server cannot accept, without asking it."""
        transmission = self.transmission
        limit = extensions.size
        if limit is not None and transmission.octets > limit:
            self._refuse_here(self.asked, too_big(transmission.octets, limit))
        elif (refusal := transmission.parameters.refusal(extensions.offered, self.utf8)) is not None:
            self._refuse_here(self.asked, refusal)
        else:
            foreign = [index for index in self.asked if needs_smtputf8(transmission.recipients[index].forward_path)]
            if foreign and "SMTPUTF8" in extensions:
                self.utf8 = True
            elif foreign:
                self._refuse_here(foreign, NO_SMTPUTF8)

    def _refuse_here(self, indices: list[int], reply: Reply) -> None:
        for index in indices:
            self.outcomes[index] = self._make(kind_of(reply), reply, False, False, False)
        self.asked = [index for index in self.asked if self.outcomes[index] is None]

    def mail_replied(self, reply: Reply) -> None:
        """Handle the reply to MAIL."""
        # RFC 5321 §3.8: 421 concerns the session.
        self.spoken_of = reply.code != 421
        if reply.is_refusal:
            self.failure = reply
        else:
            self.mail_taken = True

    def rcpt_replied(self, index: int, reply: Reply) -> None:
        """Handle the reply to RCPT. After a refused MAIL it is ignored."""
        if self.failure is not None:
            return
        if reply.is_refusal:
            self.outcomes[index] = self._make(_meaning(reply), reply, True, False, False)
        else:
            self.accepted.append(index)

    def end(self, reply: Reply) -> None:
        """Apply a reply to all recipients that have no outcome yet."""
        self._finish(self._make(kind_of(reply), reply, True, False, False))

    def end_of(self, index: int, reply: Reply) -> None:
        """Apply a final reply of LMTP to the recipient that it concerns."""
        self.outcomes[index] = self._make(kind_of(reply), reply, True, False, False)

    def lose(self, reply: Reply, from_remote: bool) -> None:
        """Delay all recipients that have no outcome yet, because the session was lost.

        If the whole message was sent, it may have been delivered (RFC 1047).
        """
        self._finish(self._make(OutcomeKind.DELAYED, reply, from_remote, True, self.body_ended))

    def _finish(self, decided: Outcome) -> None:
        self.outcomes = [decided if outcome is None else outcome for outcome in self.outcomes]
