"""Text for people in a delivery status notification: subject, explanation and the lines of each recipient."""

from __future__ import annotations

import re
import textwrap
from datetime import timedelta
from typing import Final

from emailsys.mail.dsn.report import RecipientReport, Report
from emailsys.mail.trace_fields import date_time

_WIDTH: Final = 76
# Characters of a reply that are quoted. The field Diagnostic-Code has more of it.
_MAX_QUOTED: Final = 800
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_NO_LOGIN: Final = (
    "The next mail system requires a login, and our login failed. The administrator of our mail system must fix this."
)
_NO_TLS: Final = "The message requires an encrypted connection, and no trusted one could be established."
# RFC 3463, RFC 4954 §6: subject and detail of a status code, and what they mean to a person who never read an RFC. The
# first entry that fits is used.
_MEANINGS: Final[tuple[tuple[str, str], ...]] = (
    ("1.1", "No mailbox with this name exists there. Check the part before the @ for typing mistakes."),
    ("1.2", "This mail domain does not exist. Check the part after the @ for typing mistakes."),
    ("1.6", "The mailbox has moved, and no new address was given. Contact the recipient another way."),
    ("1.7", "The other mail system does not accept your own address. Ask the administrator of your mail system."),
    ("1.8", "The other mail system does not accept your own address. Ask the administrator of your mail system."),
    ("1.10", "This domain accepts no mail at all. Check the part after the @ for typing mistakes."),
    ("1", "The address is not valid there. Check it for typing mistakes."),
    ("2.1", "The mailbox exists, but it does not accept mail at present. Contact the recipient another way."),
    ("2.2", "The recipient's mailbox is full. Try again later, or contact the recipient another way."),
    ("2.3", "The message is larger than the recipient may receive. Send it without large attachments."),
    ("2", "There is a problem with the recipient's mailbox. Contact the recipient another way."),
    ("3.4", "The message is larger than the other mail system accepts. Send it without large attachments."),
    ("3", "Another mail system has a problem that only its administrator can fix."),
    ("4.6", "The message is going around in a loop between mail systems. Their administrators must fix this."),
    ("4", "The recipient's mail system could not be reached."),
    ("5.3", "The message had too many recipients for the other mail system. Send it to fewer recipients at a time."),
    ("5", "The other mail system and ours did not understand each other. Their administrators must fix this."),
    (
        "6.7",
        "The address has characters that the other mail system does not support. Ask the recipient for another "
        "address.",
    ),
    ("6", "The other mail system does not accept a message of this form, such as 8-bit text."),
    ("7.4", _NO_LOGIN),
    ("7.8", _NO_LOGIN),
    ("7.9", _NO_LOGIN),
    ("7.5", _NO_TLS),
    ("7.10", _NO_TLS),
    ("7.11", _NO_TLS),
    ("7", "A rule of the other mail system rejects this message. The recipient may know why."),
)
_ROUTE_AT_FAULT: Final = (
    "Our mail system sends such messages through another mail system, and that does not work at present. The "
    "administrator of our mail system must fix this."
)
_NO_PUBLIC_ADDRESS: Final = (
    "The address published for this domain cannot be reached from the Internet. The administrator of the recipient's "
    "mail domain must fix this."
)
_UNKNOWN_MEANING: Final = "We cannot explain the reason in other words. The exact answer follows."
_DOUBT: Final = (
    "The message may have arrived. If you send it again, it may arrive twice. The other mail system received the whole "
    "message, but we received no answer from it."
)
_REQUESTED: Final = "You asked to be told about the delivery."


def printable(text: str) -> str:
    """Replace the control characters in a text, which a terminal or a header would act on."""
    return _UNPRINTABLE.sub(" ", text)


def meaning(status: str) -> str:
    """Explain an enhanced status code of RFC 3463 in a sentence or two."""
    _, _, rest = status.partition(".")
    for beginning, words in _MEANINGS:
        if rest == beginning or rest.startswith(f"{beginning}."):
            return words
    return _UNKNOWN_MEANING


def duration(span: timedelta) -> str:
    """Write a span of time as people say it, rounded down to its largest unit: "4 hours"."""
    seconds = int(span.total_seconds())
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}" + ("s" if count > 1 else "")
    return "less than a minute"


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _quoted(report: RecipientReport) -> list[str]:
    if report.reply is None:
        return []
    source = f"The mail system {report.remote} said:" if report.remote else "Technical details:"
    words = f"{report.reply.code} {report.reply.enhanced}".rstrip() + f" {report.reply.text}"
    return [_filled(source), "\n".join(_filled(printable(line), "    ") for line in words[:_MAX_QUOTED].split("\n"))]


def _these(count: int) -> str:
    return "this address" if count == 1 else f"these {count} addresses"


def _explained(recipient: RecipientReport) -> str:
    if recipient.route_at_fault:
        return _ROUTE_AT_FAULT
    return _NO_PUBLIC_ADDRESS if recipient.no_public_address else meaning(recipient.explained_status)


def _failed(report: Report) -> list[str]:
    recipients = report.recipients
    paragraphs = [_filled(f"Your message could not be delivered to {_these(len(recipients))}:")]
    if any(recipient.expired for recipient in recipients):
        tried = duration(report.made_at - report.arrived_at)
        paragraphs[0] = _filled(
            f"Your message could not be delivered to {_these(len(recipients))}, although we kept trying for {tried}:"
        )
    for recipient in recipients:
        paragraphs += [f"  {recipient.forward_path}", _filled(_explained(recipient))]
        if recipient.in_doubt:
            paragraphs.append(_filled(_DOUBT))
        paragraphs += _quoted(recipient)
    paragraphs.append("We will not try again.")
    return paragraphs


def _delayed(report: Report) -> list[str]:
    recipients = report.recipients
    late = duration(report.made_at - report.arrived_at)
    paragraphs = [_filled("This is only a warning. You do not need to send your message again.")]
    paragraphs.append(
        _filled(f"Your message has been waiting for {late} and has not reached {_these(len(recipients))} yet:")
    )
    for recipient in recipients:
        paragraphs.append(f"  {recipient.forward_path}")
        if recipient.in_doubt:
            paragraphs.append(_filled(_DOUBT))
        paragraphs += _quoted(recipient)
    ends = [recipient.will_retry_until for recipient in recipients if recipient.will_retry_until is not None]
    if ends:
        left = duration(max(ends) - report.made_at)
        paragraphs.append(
            _filled(f"We will keep trying for another {left}. If delivery fails, we will write to you again.")
        )
    return paragraphs


def _succeeded(report: Report, words: str) -> list[str]:
    return [_filled(words), *(f"  {recipient.forward_path}" for recipient in report.recipients)]


def _delivered(report: Report) -> list[str]:
    return _succeeded(report, f"{_REQUESTED} Your message was delivered to {_these(len(report.recipients))}:")


def _relayed(report: Report) -> list[str]:
    return [
        *_succeeded(
            report,
            f"{_REQUESTED} Your message for {_these(len(report.recipients))} was passed on to the recipient's mail "
            "system:",
        ),
        _filled("That system does not report the final delivery, so this may be the last report."),
    ]


def _expanded(report: Report) -> list[str]:
    return [
        *_succeeded(
            report,
            f"{_REQUESTED} Your message was passed on to all members of {_these(len(report.recipients))}:",
        ),
        _filled("You will receive a report on one of those members only if delivery to it fails."),
    ]


_TEXTS: Final = {
    "failed": ("Your message could not be delivered", _failed),
    "delayed": ("Your message is delayed", _delayed),
    "delivered": ("Your message was delivered", _delivered),
    "relayed": ("Your message was passed on", _relayed),
    "expanded": ("Your message was passed on to several recipients", _expanded),
}


def subject(report: Report) -> str:
    """Return the Subject of the notification."""
    return _TEXTS[report.action.value][0]


def human_text(report: Report, original_subject: str) -> str:
    """Write the first part of the notification. Lines end with LF.

    @param original_subject: the Subject of the original message, "" if it has none.
    """
    paragraphs = [f"This is the mail system at {report.hostname}.", *_TEXTS[report.action.value][1](report)]
    about = [f"Your message was sent on {date_time(report.arrived_at)}"]
    if original_subject:
        about.append(f"with the subject: {original_subject}")
    paragraphs.append(_filled(" ".join(about)))
    paragraphs.append(
        _filled(
            "If you ask for help, include the attached technical report and the queue ID of your message: "
            f"{report.queue_id}."
        )
    )
    return "\n\n".join(paragraphs) + "\n"
