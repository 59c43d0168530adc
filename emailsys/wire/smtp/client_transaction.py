"""One mail transaction as a client sees it: which reply means what for which recipient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from emailsys.mail import reply as replies
from emailsys.mail.envelope import BodyType
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission, kind_of
from emailsys.wire.smtp.client_commands import Extensions, needs_smtputf8

# What we say in a server's place, before it is asked.
NOT_SEVEN_BIT: Final = Reply(
    554, "5.6.3", "the message has octets above 127 and the next host takes none (8BITMIME is not offered)"
)
NEEDS_SMTPUTF8: Final = Reply(
    553, "5.6.7", "the message or its addresses have non-ASCII letters and the next host takes none (no SMTPUTF8)"
)

# How an outcome is made: kind, reply, whether the remote host said so, whether the session was lost, whether that
# leaves doubt.
MakeOutcome = Callable[[OutcomeKind, Reply, bool, bool, bool], Outcome]


def too_big(octets: int, limit: int) -> Reply:
    """The message is larger than the server says it takes (RFC 1870 §6.1 lets us decide that without asking)."""
    return Reply(
        552, replies.TOO_BIG.enhanced, f"the message has {octets} octets and the next host takes at most {limit}"
    )


def _meaning(reply: Reply) -> OutcomeKind:
    """What a refusal of RCPT means. RFC 5321 §4.5.3.1.10: 552 for too many recipients is to be read as 452."""
    if reply.code == 552 and reply.enhanced in ("", "5.5.3"):
        return OutcomeKind.DELAYED
    return kind_of(reply)


class Transaction:
    """A transmission in one session. `outcomes` fills up as replies come, in the order of its recipients."""

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
        #: Indices of the recipients that the server is asked for, then of those it accepted.
        self.asked = list(range(len(transmission.recipients)))
        self.accepted: list[int] = []
        #: Why nothing can come of it any more: MAIL was refused, or DATA, or a chunk.
        self.failure: Reply | None = None
        self.mail_taken = False
        self.body_began = False
        self.body_ended = False
        #: The server has answered something of it.
        self.spoken_of = False
        self.settled = False
        self.utf8 = transmission.parameters.smtputf8 or needs_smtputf8(transmission.reverse_path)
        self._look_at(extensions)

    def _look_at(self, extensions: Extensions) -> None:
        """Refuse what the server can't take before it is asked."""
        transmission = self.transmission
        limit = extensions.size
        if limit is not None and transmission.octets > limit:
            self._refuse_here(self.asked, too_big(transmission.octets, limit))
        elif self.utf8 and "SMTPUTF8" not in extensions:
            self._refuse_here(self.asked, NEEDS_SMTPUTF8)
        elif transmission.parameters.body is BodyType.EIGHT_BIT_MIME and "8BITMIME" not in extensions:
            # RFC 6152 §3: convert or return; a conversion would break signatures.
            self._refuse_here(self.asked, NOT_SEVEN_BIT)
        else:
            foreign = [index for index in self.asked if needs_smtputf8(transmission.recipients[index].forward_path)]
            if foreign and "SMTPUTF8" in extensions:
                self.utf8 = True
            else:
                self._refuse_here(foreign, NEEDS_SMTPUTF8)

    def _refuse_here(self, indices: list[int], reply: Reply) -> None:
        for index in indices:
            self.outcomes[index] = self._make(kind_of(reply), reply, False, False, False)
        self.asked = [index for index in self.asked if self.outcomes[index] is None]

    def mail_replied(self, reply: Reply) -> None:
        """MAIL was answered."""
        # RFC 5321 §3.8: 421 is about the session.
        self.spoken_of = reply.code != 421
        if reply.is_refusal:
            self.failure = reply
        else:
            self.mail_taken = True

    def rcpt_replied(self, index: int, reply: Reply) -> None:
        """RCPT was answered. After a refused MAIL it is refused for that, whatever the server says now."""
        if self.failure is not None:
            return
        if reply.is_refusal:
            self.outcomes[index] = self._make(_meaning(reply), reply, True, False, False)
        else:
            self.accepted.append(index)

    def end(self, reply: Reply) -> None:
        """The server's reply that decides for all recipients that have no outcome yet."""
        self._finish(self._make(kind_of(reply), reply, True, False, False))

    def lose(self, reply: Reply, from_remote: bool) -> None:
        """The session is lost: later, for all recipients that have no outcome yet. If the whole message was sent, it
        may have been delivered (RFC 1047)."""
        self._finish(self._make(OutcomeKind.DELAYED, reply, from_remote, True, self.body_ended))

    def _finish(self, decided: Outcome) -> None:
        self.outcomes = [decided if outcome is None else outcome for outcome in self.outcomes]
