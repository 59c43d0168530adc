"""Composes a delivery status notification (bounce): multipart/report of RFC 6522 and RFC 3464, in UTF-8 by RFC 6533."""

from __future__ import annotations

import quopri
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.mail.dsn.report import RecipientReport, Report
from emailsys.mail.dsn.text import human_text, printable, subject
from emailsys.mail.envelope import MailParameters, own_parameters
from emailsys.mail.message.fields import decode_words, field_text
from emailsys.mail.message.headers import header_end
from emailsys.mail.next_hop import is_socket
from emailsys.mail.reply import Reply
from emailsys.mail.trace_fields import date_time

_WIDTH: Final = 76
# RFC 5322 §2.1.1: a line has at most 998 octets. A word of a field is cut well below that.
_WORD: Final = re.compile("(?<! ) *+[^ ]{1,400}")
_MAX_DIAGNOSTIC: Final = 4000
_MAX_SUBJECT: Final = 200
# Octets of a Subject that are decoded, with room for its encoding.
_MAX_RAW_SUBJECT: Final = 2000
_MESSAGE_ID: Final = re.compile(rb"^message-id[ \t]*:\s*(<[!-;=?-~]{1,240}>)[ \t]*\r$", re.IGNORECASE | re.MULTILINE)
_SUBJECT: Final = re.compile(rb"^subject[ \t]*:((?:[^\r\n]|\r\n[ \t])*)", re.IGNORECASE | re.MULTILINE)
_MTA_NAME: Final = re.compile(r"\[[^\]]*\]|[^ :]+")


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification and the parameters of its envelope. Its reverse-path is null (RFC 3461 §6.1)."""

    octets: bytes
    parameters: MailParameters


def compose(report: Report) -> Notification:
    """Compose the notification. Lines end with CRLF.

    RFC 3834 §5, RFC 3464: the field Auto-Submitted tells programs not to answer.
    """
    header = header_of(report.original)
    parts = [_text_part(report, header), _status_part(report)]
    if report.original:
        parts.append(_original_part(report, header))
    boundary = _boundary(report.unique, parts)
    reference = _MESSAGE_ID.search(header)
    fields = [
        f"From: Mail Delivery System <MAILER-DAEMON@{report.hostname}>",
        f"To: <{report.reverse_path}>",
        f"Subject: {subject(report)}",
        f"Date: {date_time(report.made_at)}",
        f"Message-ID: <{report.unique}@{report.hostname}>",
        *((f"References: {reference[1].decode('ascii')}",) if reference else ()),
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
    ]
    if not all(part.isascii() for part in parts):
        # RFC 2045 §6.4: a multipart with an 8-bit part must declare 8bit itself.
        fields.append("Content-Transfer-Encoding: 8bit")
    octets = "\r\n".join(fields).encode() + b"\r\n\r\n"
    delimiter = b"--" + boundary.encode("ascii")
    for part in parts:
        octets += delimiter + b"\r\n" + part + b"\r\n"
    octets += delimiter + b"--\r\n"
    return Notification(octets, own_parameters(octets, report.reverse_path))


def header_of(original: bytes) -> bytes:
    """Return the header section of a message. If its end is missing, return its complete lines."""
    end = header_end(original)
    if end is None:
        end = original.rfind(b"\r\n") + 2 if b"\r\n" in original else 0
    return original[:end]


def _boundary(unique: str, parts: Sequence[bytes]) -> str:
    """Return a boundary that no part contains (RFC 2046 §5.1.1)."""
    number = 0
    # RFC 2046 §5.1.1: at most 70 characters.
    stem = unique[:50]
    while True:
        boundary = f"=_{number}_{stem}"
        if not any(boundary.encode("ascii") in part for part in parts):
            return boundary
        number += 1


def _text_part(report: Report, header: bytes) -> bytes:
    text = human_text(report, _original_subject(header))
    if text.isascii():
        octets = text.replace("\n", "\r\n").encode("ascii")
        return b"Content-Type: text/plain; charset=us-ascii\r\n\r\n" + octets
    octets = quopri.encodestring(text.encode()).replace(b"\n", b"\r\n")
    return b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + octets


def _original_subject(header: bytes) -> str:
    """Return the decoded Subject, "" if there is none."""
    found = _SUBJECT.search(header)
    if found is None:
        return ""
    return printable(decode_words(field_text(found[1][:_MAX_RAW_SUBJECT])))[:_MAX_SUBJECT]


def _field(name: str, value: str) -> str:
    """Write a field of a status report, folded, with its CRLF. No value can add a line of its own."""
    line = f"{name}:"
    lines = []
    for word in _WORD.findall(f" {printable(value)}"):
        if len(line) + len(word) > _WIDTH and not line.endswith(":"):
            lines.append(line)
            line = word if word.startswith(" ") else f" {word}"
        else:
            line += word
    return "\r\n".join([*lines, line]) + "\r\n"


def _status_part(report: Report) -> bytes:
    unicode = any(
        not recipient.forward_path.is_ascii or (recipient.orcpt is not None and not recipient.orcpt.address.isascii())
        for recipient in report.recipients
    )
    groups = [_message_fields(report)]
    groups += [_recipient_fields(recipient, report.queue_id, unicode) for recipient in report.recipients]
    octets = "\r\n".join(groups).encode()
    if unicode:
        # RFC 6533 §4: a report that contains UTF-8 has its own media type.
        return b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + octets
    return b"Content-Type: message/delivery-status\r\n\r\n" + octets


def _message_fields(report: Report) -> str:
    fields = ""
    envid = report.parameters.dsn.envid
    if envid is not None:
        fields += _field("Original-Envelope-Id", envid)
    fields += _field("Reporting-MTA", f"dns; {report.hostname}")
    return fields + _field("Arrival-Date", date_time(report.arrived_at))


def _recipient_fields(recipient: RecipientReport, queue_id: str, unicode: bool) -> str:
    fields = ""
    if recipient.orcpt is not None:
        address_type, address = recipient.orcpt.address_type, recipient.orcpt.address
        if address_type == "utf-8":
            # RFC 6533 §4: the address is written in UTF-8 or in its escaped form.
            address = recipient.orcpt.encode(unicode).partition(";")[2]
        fields += _field("Original-Recipient", f"{address_type}; {address}")
    kind = "rfc822" if recipient.forward_path.is_ascii else "utf-8"
    fields += _field("Final-Recipient", f"{kind}; {recipient.forward_path}")
    fields += _field("Action", recipient.action.value)
    fields += _field("Status", recipient.status)
    if recipient.remote is not None and not is_socket(recipient.remote):
        # RFC 3464 §2.3.5, §2.1.2: after "dns" only the name of the host or its address literal is allowed.
        fields += _field("Remote-MTA", f"dns; {_mta_name(recipient.remote)}")
    if recipient.reply is not None:
        fields += _field("Diagnostic-Code", _diagnostic(recipient.reply, recipient.remote is not None))
    if recipient.attempted_at is not None:
        fields += _field("Last-Attempt-Date", date_time(recipient.attempted_at))
    if recipient.will_retry_until is not None:
        fields += _field("Will-Retry-Until", date_time(recipient.will_retry_until))
    return fields + _field("Final-Log-ID", queue_id)


def _mta_name(remote: str) -> str:
    found = _MTA_NAME.match(remote)
    return remote if found is None else found[0]


def _diagnostic(reply: Reply, remote: bool) -> str:
    """Write a Diagnostic-Code (RFC 3464 §2.3.6): a remote reply as received, our own reply under our own type."""
    text = reply.text.replace("\n", " ")[:_MAX_DIAGNOSTIC].encode("ascii", "backslashreplace").decode("ascii")
    words = " ".join(filter(None, (reply.enhanced, text)))
    return f"smtp; {reply.code} {words}" if remote else f"x-emailsys; {words}"


def _original_part(report: Report, header: bytes) -> bytes:
    # RFC 2045 §2.7, §2.8: neither 7bit nor 8bit data may contain a NUL. Some hosts refuse it.
    content = (report.original if report.whole else header).replace(b"\0", b"?")
    if report.parameters.smtputf8:
        kind = b"message/global" if report.whole else b"message/global-headers"
    elif report.whole:
        kind = b"message/rfc822"
    elif content.isascii():
        kind = b"text/rfc822-headers"
    else:
        # RFC 6522 §4: a malformed header becomes legal 7-bit text, which every host accepts.
        kind = b"text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable"
        content = quopri.encodestring(content.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    encoding = b"" if content.isascii() else b"Content-Transfer-Encoding: 8bit\r\n"
    return b"Content-Type: " + kind + b"\r\n" + encoding + b"\r\n" + content
