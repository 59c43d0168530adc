"""Operations that send mail: a message of text, HTML and attachments, or one that is complete already."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from emailsys.interfaces import Account
from emailsys.interfaces.operators import Scope
from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import Client
from emailsys.web.api.compose import compose
from emailsys.web.api.operation import JSON_TYPE, MESSAGE_TYPE, Call, Operation, Parameter, Result, Success
from emailsys.web.api.problem import Problem, not_allowed
from emailsys.web.api.schema import Schema, address, count, record, several, text
from emailsys.web.base.sent_once import KeyReused, SentOnce
from emailsys.web.base.submission import Sent, Submission, SubmissionRefused, utc_now

# Recipients of one message, and its attachments.
_MAX_RECIPIENTS: Final = 1000
_MAX_ATTACHMENTS: Final = 100
_MAX_FIELDS: Final = 50
_MAX_KEY: Final = 255
_MAX_TEXT: Final = 20_000_000
# A message as base64 in JSON, with the rest of the document.
_JSON_SHARE: Final = 1.5

_MAILBOX: Final = record({"address": address(), "name": text("The name that is shown.", 500)}, optional=("name",))
_PEOPLE: Final = several(_MAILBOX, most=_MAX_RECIPIENTS)
_ATTACHMENT: Final = record(
    {
        "name": text("The file name.", 255, 1),
        "content_type": text("The media type; application/octet-stream by default.", 255, 3),
        "content": text("The octets of the file in base64.", 1 << 31, contentEncoding="base64"),
        "content_id": text("With it, a picture that the HTML shows as cid:ID.", 200, 1),
    },
    optional=("content_type", "content_id"),
)
_MESSAGE: Final = record(
    {
        "from": {**_MAILBOX, "description": "The author; by default the address of the account."},
        "to": _PEOPLE,
        "cc": _PEOPLE,
        "bcc": _PEOPLE,
        "reply_to": _PEOPLE,
        "subject": text("The subject, on one line.", 10_000),
        "text": text("The plain text. Without it, one is made from the HTML.", _MAX_TEXT),
        "html": text("The HTML.", _MAX_TEXT),
        "attachments": several(_ATTACHMENT, "Files.", _MAX_ATTACHMENTS),
        "headers": {
            "type": "object",
            "additionalProperties": text("The value, on one line.", 10_000),
            "description": "Further header fields, such as X-Campaign. Those of the other properties are refused.",
        },
        "in_reply_to": text("The Message-ID of the message that this one answers.", 1000, 1),
        "references": several(text("A Message-ID.", 1000, 1), "The conversation, the oldest first.", 100),
    },
    optional=(
        "from",
        "to",
        "cc",
        "bcc",
        "reply_to",
        "subject",
        "text",
        "html",
        "attachments",
        "headers",
        "in_reply_to",
        "references",
    ),
)
_SENT: Final[Schema] = record(
    {
        "queue_id": text("The id of the message in the log, in traces and in its Received field."),
        "message_id": text("Its Message-ID, without angle brackets.", 2000),
        "octets": count("Its size here."),
    }
)


@dataclass(frozen=True, slots=True)
class Sending:
    """Sends messages of accounts.

    @ivar delivery_of: returns the IDelivery avatar of an account.
    @ivar in_thread: calls a function off the reactor's thread: a large message takes a while to encode.
    """

    submission: Submission
    once: SentOnce
    delivery_of: Callable[[Account], Any]
    in_thread: Callable[..., Awaitable[Any]]

    async def send(self, call: Call) -> Result:
        """Answer POST /messages."""
        token = call.token
        # A scope of mail is never without an account.
        assert token.address is not None
        assert token.account_id is not None
        key = call.values.get("Idempotency-Key", "")
        content = await self.in_thread(_content, call) if key else b""
        try:
            sent = await self.once.send(token.address, key, content, lambda made: self._submit(call, made))
        except SubmissionRefused as error:
            raise refusal(error) from None
        except KeyReused:
            raise Problem(
                422,
                "idempotency-key-reused",
                "This Idempotency-Key belongs to another message",
                "Nothing was sent.",
                "Make a new key for each message.",
            ) from None
        answer = {"queue_id": sent.queue_id, "message_id": sent.message_id.strip("<>"), "octets": sent.octets}
        return Result(answer, 202)

    async def _submit(self, call: Call, key: str) -> Sent:
        token = call.token
        assert token.address is not None
        assert token.account_id is not None
        if call.body_type == MESSAGE_TYPE:
            sender, recipients, octets = _raw(call, token.address)
        else:
            sender, recipients, octets = await self.in_thread(compose, call.body, token.address, utc_now())
        client = Client(
            f"token-{token.token_id}",
            call.ip,
            protocol="HTTPS" if call.is_secure else "HTTP",
            account=token.address,
            sent_key=key,
        )
        delivery = self.delivery_of(Account(token.account_id, token.address))
        return await self.submission.submit(delivery, client, sender, recipients, octets)


def _content(call: Call) -> bytes:
    """Return a digest of what is sent."""
    query = [call.body_type, *call.values.get("to", ()), "", call.values.get("from", "")]
    return sha256(sha256(call.octets).digest() + "\0".join(query).encode()).digest()


def _raw(call: Call, own: Address) -> tuple[Address, Sequence[Address], bytes]:
    recipients = call.values["to"]
    if not recipients:
        raise not_allowed([("to", "name at least one recipient: they are not read from the message")])
    if not call.body:
        raise Problem(400, "malformed", "The message is empty")
    sender = parse(call.values["from"]) if "from" in call.values else own
    return sender, [parse(one) for one in recipients], call.body


def refusal(error: SubmissionRefused) -> Problem:
    """Return the problem of a message that was refused."""
    errors = [
        (what, f"{reply.code} {reply.enhanced} {reply.text}".replace("  ", " ")) for what, reply in error.refusals
    ]
    if error.is_transient:
        return Problem(
            503,
            "not-accepted-now",
            "The message cannot be accepted now",
            str(error),
            "Try again later.",
            errors,
            [("Retry-After", "60")],
        )
    return Problem(422, "not-accepted", "The message was refused", str(error), "Nothing was sent.", errors)


def send_operations(sending: Sending, max_message_size: int) -> tuple[Operation, ...]:
    """Return the operations."""
    return (
        Operation(
            "sendMessage",
            "POST",
            "/messages",
            "Send a message.",
            Scope.MAIL_SEND,
            sending.send,
            Success(
                "The message was accepted: it is on disk, and will be delivered or its sender told.", _SENT, status=202
            ),
            "Sending",
            "Either JSON, from which the message is made, or a complete message. Its sender must be an address that "
            "the account may use. It is accepted for all recipients or for none.",
            (
                Parameter(
                    "to", several(address(), "Only for message/rfc822: a recipient; may be repeated.", _MAX_RECIPIENTS)
                ),
                Parameter(
                    "Idempotency-Key",
                    text(
                        "A text that you make for this message. If the same request is sent again with it within a "
                        "day, the answer is that of the first one, and nothing is sent twice.",
                        _MAX_KEY,
                        1,
                    ),
                    "header",
                ),
                Parameter("from", address("Only for message/rfc822: the reverse-path; by default the account.")),
            ),
            {JSON_TYPE: _MESSAGE, MESSAGE_TYPE: None},
            {503: "The message or the request cannot be accepted now."},
            max_body=int(max_message_size * _JSON_SHARE),
        ),
    )
