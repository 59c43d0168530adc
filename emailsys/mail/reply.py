"""SMTP replies: code, enhanced status code and text, and the table of the replies that this system sends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

# RFC 5321 §4.5.3.1.5: at most 512 octets, including code and CRLF.
MAX_REPLY_LINE: Final = 512
# All other octets are escaped: a reply may quote the peer, which could inject them into logs and terminals.
_UNPRINTABLE: Final = re.compile(r"[^\n -~]")


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of RFC 5321 §4.2 with an enhanced status code of RFC 3463, "" if it has none.

    Line breaks in the text make a multi-line reply. `encode` escapes control octets.
    """

    code: int
    enhanced: str
    text: str

    @property
    def is_refusal(self) -> bool:
        """Whether the code is 4xx or 5xx."""
        return self.code >= 400

    def encode(self) -> bytes:
        """Encode the reply for the wire. Each line has at most 512 octets and the enhanced code (RFC 2034 §4)."""
        return _encoded(self.code, self.enhanced, self.text)


@lru_cache(maxsize=256)
def _encoded(code: int, enhanced: str, text: str) -> bytes:
    if not (text.isascii() and text.isprintable()):
        text = _UNPRINTABLE.sub(_escaped, text)
    behind = f"{enhanced} " if enhanced else ""
    most = MAX_REPLY_LINE - len(f"{code} {behind}\r\n") - 1
    if "\n" not in text and len(text) <= most:
        return f"{code} {behind}{text}\r\n".encode("ascii")
    lines = [line[at : at + most] for line in text.split("\n") for at in range(0, len(line) or 1, most)]
    encoded = [f"{code}-{behind}{line}\r\n" for line in lines[:-1]]
    encoded.append(f"{code} {behind}{lines[-1]}\r\n")
    return "".join(encoded).encode("ascii")


# Success.
TLS_READY: Final = Reply(220, "2.0.0", "ready to start TLS")
CLOSING: Final = Reply(221, "2.0.0", "goodbye")
LOGGED_IN: Final = Reply(235, "2.7.0", "logged in")
PASSWORD_CHANGED: Final = Reply(250, "2.7.0", "password changed")
NOTHING_DONE: Final = Reply(250, "2.0.0", "OK")
FORGOTTEN: Final = Reply(250, "2.0.0", "transaction reset")
SENDER_OK: Final = Reply(250, "2.1.0", "sender OK")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "recipient OK")
# RFC 5321 §3.5.3: VRFY gets an answer that discloses nothing.
NOT_VERIFIED: Final = Reply(252, "2.0.0", "not verified; send mail to find out")
# RFC 3030 §2
CHUNK_TAKEN: Final = Reply(250, "2.0.0", "chunk taken")
SEND_MESSAGE: Final = Reply(354, "", "send the message, end it with a dot on a line by itself")

# Temporary failures.
TIMED_OUT: Final = Reply(421, "4.4.2", "no input for too long, closing")
SHUTTING_DOWN: Final = Reply(421, "4.3.2", "the service is stopping, try again later")
MAKING_ROOM: Final = Reply(421, "4.7.0", "too many connections, closing this one because it was silent")
TOO_MANY_BAD_COMMANDS: Final = Reply(421, "4.7.0", "too many bad commands, closing")
TOO_MANY_IDLE_COMMANDS: Final = Reply(421, "4.7.0", "too many commands without a message, closing")
TOO_MANY_REFUSALS: Final = Reply(421, "4.7.0", "too many refused recipients or commands, closing")
TOO_SLOW: Final = Reply(421, "4.4.2", "the message comes too slowly, closing")
TOO_MANY_LOGINS: Final = Reply(421, "4.7.0", "too many failed logins or refused passwords, closing")
TOO_MUCH_HELD: Final = Reply(
    450, "4.7.1", "your sending limit is exceeded and much of your mail is held already; the postmaster can release it"
)
LOCAL_ERROR: Final = Reply(451, "4.3.0", "local error, try again later")
BROKEN_OFF: Final = Reply(451, "4.3.2", "the attempt was aborted, because this service was stopping")
LEASE_UNCERTAIN: Final = Reply(451, "4.3.2", "the attempt was aborted, because another node may be sending the message")
MESSAGE_DAMAGED: Final = Reply(451, "4.3.0", "the message is damaged in the store here and held (emailsys verify)")
OUTBOUND_OFF: Final = Reply(451, "4.3.2", "mail to other systems is switched off here (outbound.enabled)")
# RFC 3463 §3.4, X.3.5: the system is not configured to accept the message.
STORE_MISSING: Final = Reply(
    451, "4.3.5", "the mail store of this system is missing; its operator has to bring it back, try again later"
)
NO_DOMAINS: Final = Reply(451, "4.3.5", "this system has no domain yet; its operator has to add one, try again later")
TOO_MANY_UNKNOWN: Final = Reply(451, "4.7.1", "too many unknown recipients from your network, try again later")
TOO_MANY_LOOK_UPS: Final = Reply(451, "4.3.2", "too many recipients are being looked up, try again later")
STORE_FULL: Final = Reply(452, "4.3.1", "not enough room, try again later")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "too many recipients, send to the others in another transaction")
TOO_MANY_ROUTES: Final = Reply(
    452,
    "4.5.3",
    "the aliases among the recipients lead to too many addresses, send to the others in another transaction",
)
TLS_UNAVAILABLE: Final = Reply(454, "4.7.0", "TLS is not available")
LOGIN_BUSY: Final = Reply(454, "4.7.0", "too many logins at the moment, try again later")
TOO_MANY_GUESSES: Final = Reply(454, "4.7.0", "too many failed logins from your network, try again later")
LOGIN_UNCHECKED: Final = Reply(454, "4.7.0", "logins cannot be checked at the moment, try again later")

# Syntax errors, and commands out of sequence.
UNKNOWN_COMMAND: Final = Reply(500, "5.5.1", "unknown command")
EMPTY_LINE: Final = Reply(500, "5.5.2", "empty line; a command was expected")
NOT_TEXT: Final = Reply(500, "5.5.2", "control octets in a command")
NOT_IMPLEMENTED: Final = Reply(502, "5.5.1", "command not implemented")
OTHER_PROTOCOL: Final = Reply(554, "5.5.1", "this is a mail server; you sent a request of another protocol")
TLS_AT_ONCE: Final = Reply(554, "5.5.1", "your program began TLS at once; on this port it must use STARTTLS")
# RFC 5321 §3.1: 554 in place of the greeting.
EARLY_TALKER: Final = Reply(554, "5.5.0", "you talked before the greeting; wait for it (RFC 5321 section 4.3.1)")
NO_PARAMETERS: Final = Reply(501, "5.5.4", "this command takes no parameters")
HELLO_SYNTAX: Final = Reply(501, "5.5.4", "syntax: EHLO hostname")
HELO_SYNTAX: Final = Reply(501, "5.5.4", "syntax: HELO hostname")
MAIL_SYNTAX: Final = Reply(501, "5.5.4", "syntax: MAIL FROM:<address> [parameters]")
RCPT_SYNTAX: Final = Reply(501, "5.5.4", "syntax: RCPT TO:<address> [parameters]")
BDAT_SYNTAX: Final = Reply(501, "5.5.4", "syntax: BDAT octets [LAST]")
VRFY_SYNTAX: Final = Reply(501, "5.5.4", "syntax: VRFY name")
AUTH_SYNTAX: Final = Reply(501, "5.5.4", "syntax: AUTH mechanism [initial-response]")
BAD_PARAMETER_VALUE: Final = Reply(501, "5.5.4", "malformed or repeated parameter")
UNKNOWN_PARAMETER: Final = Reply(555, "5.5.4", "parameter not recognized or not implemented")
HELLO_FIRST: Final = Reply(503, "5.5.1", "EHLO or HELO first")
MAIL_FIRST: Final = Reply(503, "5.5.1", "MAIL first")
MAIL_TWICE: Final = Reply(503, "5.5.1", "a transaction has already begun; RSET ends it")
NOT_IN_CHUNKS: Final = Reply(503, "5.5.1", "the message has begun with BDAT and ends with BDAT LAST")
NO_RECIPIENTS: Final = Reply(554, "5.5.1", "no valid recipients")
IN_TRANSACTION: Final = Reply(503, "5.5.1", "not within a transaction")
TLS_TWICE: Final = Reply(503, "5.5.1", "TLS is already active")

# Logins.
AUTH_TWICE: Final = Reply(503, "5.5.1", "already logged in")
AUTH_NEEDS_EHLO: Final = Reply(503, "5.5.1", "EHLO first")
AUTH_NOT_HERE: Final = Reply(503, "5.5.1", "no logins on this port")
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "login cancelled")
LOGIN_REQUIRED: Final = Reply(530, "5.7.0", "log in first (AUTH)")
TLS_REQUIRED: Final = Reply(530, "5.7.0", "begin TLS first (STARTTLS)")
LOGIN_FAILED: Final = Reply(535, "5.7.8", "login failed")
PASSWORD_SYNTAX: Final = Reply(501, "5.5.4", "syntax: XPASSWORD old new, both in base64")

# Senders and recipients.
NO_SUCH_MAILBOX: Final = Reply(550, "5.1.1", "no such mailbox here")
RELAY_DENIED: Final = Reply(550, "5.7.1", "relaying denied")
BOUNCES_ONLY: Final = Reply(550, "5.7.1", "this address accepts bounces only, which have a null reverse-path")
# X.7.13 is "user account disabled" in the registry of RFC 5248.
ACCOUNT_CLOSED: Final = Reply(550, "5.7.13", "the account was closed while you were logged in")
# RFC 3463 §3.3: mailbox full, as a temporary condition or as a policy.
MAILBOX_FULL_NOW: Final = Reply(452, "4.2.2", "the mailbox is full, try again later")
MAILBOX_FULL: Final = Reply(552, "5.2.2", "the mailbox is full")
# For a report: one of the accounts behind an alias did not get the message.
MEMBER_FULL: Final = Reply(552, "5.2.2", "a mailbox behind this address is full; the others received the message")
FORGED_SENDER: Final = Reply(550, "5.7.1", "log in on the submission port to send from an address of this system")
SENDER_NOT_YOURS: Final = Reply(553, "5.7.1", "that sender address is not yours")
# RFC 6531 §3.5
NEEDS_SMTPUTF8: Final = Reply(553, "5.6.7", "an address with non-ASCII letters needs SMTPUTF8")

# The message.
FROM_MALFORMED: Final = Reply(550, "5.7.1", "the message needs exactly one From field with valid addresses (RFC 5322)")
FORGED_FROM: Final = Reply(
    550, "5.7.1", "From is an address of this system; log in on the submission port to send from it"
)
SENDER_MALFORMED: Final = Reply(550, "5.7.1", "the message needs at most one Sender field with one valid address")
REPORTS_ONLY: Final = Reply(550, "5.7.1", "the null reverse-path is for reports only (multipart/report)")
TOO_BIG: Final = Reply(552, "5.3.4", "message larger than the limit")
HEADER_TOO_BIG: Final = Reply(552, "5.3.4", "header section larger than the limit")
LOOP: Final = Reply(554, "5.4.6", "too many Received fields: the message goes round in a loop")
BARE_LF: Final = Reply(554, "5.6.0", "the message has LF alone; lines end with CRLF")
NUL_IN_MESSAGE: Final = Reply(554, "5.6.0", "the message has a NUL octet, which RFC 5322 does not allow; encode it")
NUL_NOT_RELAYED: Final = Reply(554, "5.6.0", "the message has a NUL octet and cannot be sent to others; encode it")
LINE_TOO_LONG: Final = Reply(
    554, "5.6.0", "the message has a line of more than 998 octets (RFC 5321 4.5.3.1.6); encode it or break the line"
)
BARE_CR: Final = Reply(554, "5.6.0", "the message has CR alone; lines end with CRLF")


def greeting(hostname: str) -> Reply:
    """Return the greeting of a connection."""
    return Reply(220, "", f"{hostname} ESMTP emailsys")


def hello(hostname: str, extensions: tuple[str, ...] = ()) -> Reply:
    """Return the reply to HELO, or with extensions that to EHLO (RFC 5321 §4.1.1.1)."""
    return Reply(250, "", "\n".join((hostname, *extensions)))


def commands(more: Iterable[str]) -> Reply:
    """Return the reply to HELP: the available commands (RFC 5321 §4.1.1.8).

    @param more: the commands that this client may use in addition.
    """
    names = " ".join(("EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT", *more))
    return Reply(214, "2.0.0", f"{names}; RFC 5321")


def challenge(text: bytes) -> Reply:
    """Return a challenge of an authentication exchange (RFC 4954 §4).

    @param text: the challenge in base64.
    """
    return Reply(334, "", text.decode("ascii"))


def unknown_mechanism(offered: Iterable[str]) -> Reply:
    """Reject a SASL mechanism that is not offered."""
    return Reply(504, "5.5.4", f"mechanism not recognized; use {' or '.join(offered)}")


def too_many_connections(why: str) -> Reply:
    """Reject a connection in place of the greeting (RFC 5321 §3.8, 421)."""
    return Reply(421, "4.7.0", f"{why}, try again later")


def queued(queue_id: str) -> Reply:
    """Accept a message, which is now on disk."""
    return Reply(250, "2.0.0", f"queued as {queue_id}")


def queued_line(queue_id: str) -> bytes:
    """Encode the reply `queued`: it differs for each message, and would push the others out of the cache."""
    return f"250 2.0.0 queued as {queue_id}\r\n".encode("ascii")


def other_protocol(name: str) -> Reply:
    """Return the reply to a client of another protocol."""
    return Reply(554, "5.5.1", f"this is a mail server; your program speaks {name}")


def bad_line(why: str) -> Reply:
    """Reject input that is not a line of RFC 5321 §2.3.8."""
    return Reply(500, "5.5.2", why)


def bad_response(why: str) -> Reply:
    """Reject a malformed response in an authentication exchange (RFC 4954 §4)."""
    return Reply(501, "5.5.2", why)


def bad_parameter(why: str) -> Reply:
    """Reject a malformed parameter value."""
    return Reply(501, "5.5.4", why)


def password_refused(why: str) -> Reply:
    """Refuse a new password."""
    return Reply(550, "5.7.0", why)


def not_yours(field: str, address: str) -> Reply:
    """Refuse a message that names another author or sender than the account that submits it."""
    return Reply(550, "5.7.1", f"{address} in {field} is not an address that you may send from")


def bad_sender(why: str) -> Reply:
    """Reject a reverse-path that is not an address."""
    return Reply(501, "5.1.7", why)


def bad_recipient(why: str) -> Reply:
    """Reject a forward-path that is not an address."""
    return Reply(501, "5.1.3", why)
