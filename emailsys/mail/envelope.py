"""The envelope of a message: who sent it, who shall have it, and how it came."""

from __future__ import annotations

import enum
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from emailsys.mail.address import Address
from emailsys.mail.dsn_request import NOTHING_ASKED, NOTHING_ASKED_FOR_RECIPIENT, MessageRequest, RecipientRequest


class BodyType(enum.Enum):
    """The BODY parameter of MAIL (RFC 6152)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"


@dataclass(frozen=True, slots=True)
class MailParameters:
    """What a sender asks of a message: the parameters of MAIL that travel with it, from session to session.

    They are read once, in `wire.smtp.grammar`. SIZE is not among them: each session has its own.
    """

    body: BodyType = BodyType.SEVEN_BIT
    #: In MAIL: whether it was declared. Behind that: whether header or addresses need it (RFC 6531).
    smtputf8: bool = False
    #: RET and ENVID (RFC 3461).
    dsn: MessageRequest = NOTHING_ASKED

    def words(self, offered: Container[str], utf8: bool) -> tuple[str, ...]:
        """The parameters as a client passes them on, as far as the server offers their extensions.

        @param utf8: whether the transaction is one of SMTPUTF8, because the message or an address needs it.
        """
        given: tuple[str, ...] = ()
        # RFC 6531 §3.6: an internationalized message goes as 8BITMIME, which SMTPUTF8 servers offer.
        if (utf8 or self.body is BodyType.EIGHT_BIT_MIME) and "8BITMIME" in offered:
            given += (f"BODY={BodyType.EIGHT_BIT_MIME.value}",)
        if utf8:
            given += ("SMTPUTF8",)
        return given + self.dsn.parameters() if "DSN" in offered else given


NO_PARAMETERS: Final = MailParameters()


def own_parameters(octets: bytes, address: Address) -> MailParameters:
    """The parameters of a message of our own that goes to that address."""
    body = BodyType.SEVEN_BIT if octets.isascii() else BodyType.EIGHT_BIT_MIME
    return MailParameters(body, not address.is_ascii)


@dataclass(frozen=True, slots=True)
class LocalRoute:
    """To the maildrop of an account of this system."""

    account_id: int


@dataclass(frozen=True, slots=True)
class RemoteRoute:
    """To another host; its next hop is looked up at each attempt.

    `forwarded` tells that it was addressed to us, and an alias of ours sends it on: its reverse-path on the wire
    becomes one of ours (SRS).
    """

    forward_path: Address
    forwarded: bool = False


Route = LocalRoute | RemoteRoute


@dataclass(frozen=True, slots=True)
class Recipient:
    """A forward-path as the client gave it, where its mail goes, and what the sender wants to hear of it."""

    forward_path: Address
    routes: tuple[Route, ...]
    dsn: RecipientRequest = NOTHING_ASKED_FOR_RECIPIENT


@dataclass(frozen=True, slots=True)
class Client:
    """The other end of an SMTP session, as far as it is known at the moment.

    `ip` is the peer's address in text form; `helo` is what it called itself, None before EHLO or HELO.
    `protocol` is a transmission type for the Received field (RFC 3848, RFC 6531): SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA,
    UTF8SMTPSA ...
    `tls` names version and cipher suite, None in the clear. `account` is the authenticated login's address.
    """

    session: str
    ip: str
    helo: str | None = None
    protocol: str = "SMTP"
    tls: str | None = None
    account: Address | None = None
    #: Our end of the connection in text form: an address literal with it is ours (RFC 5321 §4.1.3). "" if not known.
    local_ip: str = ""


@dataclass(frozen=True, slots=True)
class Addressee:
    """A forward-path that a client asks for, not yet resolved; the fields are those of twisted.mail.smtp.User."""

    dest: Address
    helo: Client
    orig: Address | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message on its way in: what its Received field tells (RFC 5321 §4.4)."""

    queue_id: str
    reverse_path: Address | None
    arrived_at: datetime


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a message is accepted with. The null reverse-path is None."""

    reverse_path: Address | None
    recipients: Sequence[Recipient]
    arrived_at: datetime
    parameters: MailParameters = NO_PARAMETERS
    # Who brought it; None for a message of our own.
    client: Client | None = None
    # The value of its Message-ID field, "" where it has none or none that is printable ASCII.
    message_id: str = ""
