"""Count of what a client of an SMTP session was refused, and of commands without effect: too many end the session."""

from __future__ import annotations

from typing import Final

from emailsys.mail import reply as replies
from emailsys.mail.reply import Reply
from emailsys.wire.smtp.server_events import Answer, Drop

# Invalid or out-of-order commands that are answered between two transactions.
MAX_BAD_COMMANDS: Final = 20
# Commands without effect that are answered until a message is accepted. A client that keeps a connection open for its
# next message sends one of them from time to time.
MAX_IDLE_COMMANDS: Final = 100
# Recipients beyond the limit of a message that are answered, and ten times the limit: a client may pipeline the
# recipients of several messages.
_MAX_SURPLUS: Final = 1000


class Refusals:
    """The counts of one session."""

    __slots__ = ("_bad_commands", "_count", "_idle_commands", "_max_count", "_max_recipients", "_pipelined", "_surplus")

    def __init__(self, max_recipients: int, max_refusals: int) -> None:
        """@param max_refusals: 5xx replies allowed until a message is accepted; one more ends the session."""
        self._max_recipients = max_recipients
        self._max_count = max_refusals
        self._bad_commands = self._count = self._idle_commands = self._pipelined = self._surplus = 0

    def begin_transaction(self) -> None:
        """Begin the count of bad commands again."""
        self._bad_commands = 0

    def begin_pipeline(self) -> None:
        """Begin the count of pipelined commands again: MAIL has come."""
        self._pipelined = 0

    def reset(self) -> None:
        """Begin the counts of refusals and of idle commands again: a message was accepted."""
        self._count = self._idle_commands = self._surplus = 0

    def is_too_many(self) -> bool:
        """Count a permanent refusal. Returns whether there were too many."""
        self._count += 1
        return self._count > self._max_count

    def is_too_idle(self) -> bool:
        """Count a command without effect. Returns whether there were too many: thousands of them take a whole core."""
        self._idle_commands += 1
        return self._idle_commands > MAX_IDLE_COMMANDS

    def reject(self, refusal: Reply) -> Answer | Drop:
        """Refuse an invalid or out-of-order command, and end the session after too many of them."""
        self._bad_commands += 1
        return Answer(refusal) if self._bad_commands < MAX_BAD_COMMANDS else Drop(replies.TOO_MANY_BAD_COMMANDS)

    def refuse(self, refusal: Reply) -> Answer | Drop:
        """Refuse a command, and count the refusal if it is permanent."""
        if refusal.code >= 500 and self.is_too_many():
            return Drop(replies.TOO_MANY_REFUSALS)
        return Answer(refusal)

    def refuse_pipelined(self, refusal: Reply) -> Answer | Drop:
        """Refuse RCPT, DATA or BDAT out of order. As many as one message can have do not count as refusals."""
        self._pipelined += 1
        return Answer(refusal) if self._pipelined <= self._max_recipients + 1 else self.refuse(refusal)

    def refuse_surplus(self) -> Answer | Drop:
        """Refuse a recipient beyond the limit of a message."""
        self._surplus += 1
        if self._surplus > 10 * self._max_recipients + _MAX_SURPLUS:
            return Drop(replies.TOO_MANY_REFUSALS)
        return Answer(replies.TOO_MANY_RECIPIENTS)
