"""The envelope of a message: reverse-path, recipients with their routes, and the client that sent it."""

from __future__ import annotations

import enum
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from emailsys.mail.address import Address
from emailsys.mail.dsn_request import NOTHING_ASKED, NOTHING_ASKED_FOR_RECIPIENT, MessageRequest, RecipientRequest
from emailsys.mail.reply import Reply

# Replies that a client gives in place of a server, without asking it.
NO_8BITMIME: Final = Reply(
    554, "5.6.3", "the message has octets above 127 and the next host takes none (8BITMIME is not offered)"
)
NO_SMTPUTF8: Final = Reply(
    553, "5.6.7", "the message or its addresses have non-ASCII letters and the next host takes none (no SMTPUTF8)"
)


class BodyType(enum.Enum):
    """The BODY parameter of MAIL (RFC 6152)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"


@dataclass(frozen=True, slots=True)
class MailParameters:
    """The parameters of MAIL that stay with a message from session to session.

    `wire.smtp.grammar` parses them once. SIZE is not among them, because each session computes its own.
    """

    body: BodyType = BodyType.SEVEN_BIT
    #: In MAIL: whether it was declared. Later: whether the header or an address needs it (RFC 6531).
    smtputf8: bool = False
    #: RET and ENVID (RFC 3461).
    dsn: MessageRequest = NOTHING_ASKED

    @property
    def extensions(self) -> tuple[str, ...]:
        """The EHLO keywords of the extensions that these parameters belong to."""
        used: tuple[str, ...] = ("8BITMIME",) if self.body is BodyType.EIGHT_BIT_MIME else ()
        if self.smtputf8:
            used += ("SMTPUTF8",)
        return used if self.dsn is NOTHING_ASKED or self.dsn == NOTHING_ASKED else (*used, "DSN")

    def words(self, offered: Container[str], utf8: bool) -> tuple[str, ...]:
        """Return the parameters that a client passes on, if the server offers their extensions.

        @param utf8: whether the transaction uses SMTPUTF8, because the message or an address needs it.
        """
        given: tuple[str, ...] = ()
        # RFC 6531 §3.6: an internationalized message is sent as 8BITMIME, which every SMTPUTF8 server offers.
        if (utf8 or self.body is BodyType.EIGHT_BIT_MIME) and "8BITMIME" in offered:
            given += (f"BODY={BodyType.EIGHT_BIT_MIME.value}",)
        if utf8:
            given += ("SMTPUTF8",)
        return given + self.dsn.parameters() if "DSN" in offered else given

    def refusal(self, offered: Container[str], utf8: bool) -> Reply | None:
        """Return the reply in place of a server that cannot take the message, None if it can.

        @param offered: the extensions of the server.
        @param utf8: whether the transaction needs SMTPUTF8.
        """
        if utf8 and "SMTPUTF8" not in offered:
            return NO_SMTPUTF8
        if self.body is BodyType.EIGHT_BIT_MIME and "8BITMIME" not in offered:
            # RFC 6152 §3: convert or return the message. A conversion would break signatures.
            return NO_8BITMIME
        return None


NO_PARAMETERS: Final = MailParameters()


def own_parameters(octets: bytes, address: Address) -> MailParameters:
    """Return the parameters of a message of our own to an address."""
    body = BodyType.SEVEN_BIT if octets.isascii() else BodyType.EIGHT_BIT_MIME
    return MailParameters(body, not address.is_ascii)


@dataclass(frozen=True, slots=True)
class LocalRoute:
    """A route to the maildrop of a local account.

    @ivar is_full: whether the maildrop has reached its quota. Only for one of several routes of a recipient: the others
        get the message, and this one is reported to the sender.
    """

    account_id: int
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class RemoteRoute:
    """A route to another host. Its next hop is looked up at each delivery attempt.

    @ivar forwarded: whether an alias of this system forwards the message. Its reverse-path on the wire then becomes one
        of ours (SRS).
    @ivar alias: the address of that alias, whose local part is empty for a catch-all, or of the account that forwards
        its mail; None if there is none.
    """

    forward_path: Address
    forwarded: bool = False
    alias: Address | None = field(default=None, compare=False)


Route = LocalRoute | RemoteRoute


@dataclass(frozen=True, slots=True)
class Recipient:
    """A forward-path as the client sent it, with its routes and its DSN request.

    @ivar hold: why the queue holds its remote routes until an operator releases them, "" if it does not.
    """

    forward_path: Address
    routes: tuple[Route, ...]
    dsn: RecipientRequest = NOTHING_ASKED_FOR_RECIPIENT
    hold: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    """The client of an SMTP session, as far as it is known so far.

    @ivar ip: the address of the client in text form.
    @ivar helo: the argument of EHLO or HELO, None before that.
    @ivar protocol: the transmission type for the Received field (RFC 3848, RFC 6531): SMTP, ESMTP, ESMTPS, ESMTPA,
        ESMTPSA, UTF8SMTPSA ...
    @ivar tls: version and cipher suite, None without TLS.
    @ivar account: the address of the authenticated account.
    """

    session: str
    ip: str
    helo: str | None = None
    protocol: str = "SMTP"
    tls: str | None = None
    account: Address | None = None
    #: Our address on this connection in text form, "" if unknown. Its literal is local (RFC 5321 §4.1.3).
    local_ip: str = ""
    #: By which a repetition of a request over HTTP is recognised, "" without one. It is kept with the message.
    sent_key: str = ""


class Addressee(NamedTuple):
    """A forward-path of a client before it is resolved. The fields are those of `twisted.mail.smtp.User`."""

    dest: Address
    helo: Client
    orig: Address | None


class Arrival(NamedTuple):
    """The arrival of a message: the contents of its Received field (RFC 5321 §4.4)."""

    queue_id: str
    reverse_path: Address | None
    arrived_at: datetime


@dataclass(frozen=True, slots=True)
class Envelope:
    """The envelope of an accepted message. The null reverse-path is None."""

    reverse_path: Address | None
    recipients: Sequence[Recipient]
    arrived_at: datetime
    parameters: MailParameters = NO_PARAMETERS
    # The client that sent it, None for a message of our own.
    client: Client | None = None
    # The value of its Message-ID field, "" if it has none or one that is not printable ASCII.
    message_id: str = ""
