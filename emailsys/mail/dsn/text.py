"""The part of a delivery status notification that people read."""

from __future__ import annotations

import re
import textwrap
from datetime import timedelta
from typing import Final

from emailsys.mail.dsn.report import RecipientReport, Report
from emailsys.mail.trace_fields import date_time

_WIDTH: Final = 76
# What is said of the remote's words; who needs all of them has the field Diagnostic-Code.
_MAX_QUOTED: Final = 800
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_NO_LOGIN: Final = "The next mail system wants a login that did not succeed; those who run ours must mend that."
_NO_TLS: Final = "The message must go by an encrypted connection, and none that can be trusted came about."
# RFC 3463, RFC 4954 §6: subject and detail of a status, and what they mean to one who never read it. The first that
# fits is used.
_MEANINGS: Final[tuple[tuple[str, str], ...]] = (
    ("1.1", "There is no mailbox of that name there. Look for a typing mistake in the part before the @."),
    ("1.2", "There is no such mail domain. Look for a typing mistake in the part after the @."),
    ("1.6", "The mailbox has moved, and it is not said where. Try to reach the recipient in another way."),
    ("1.7", "The other mail system does not accept your own address. Ask those who run your mail system."),
    ("1.8", "The other mail system does not accept your own address. Ask those who run your mail system."),
    ("1.10", "That domain takes no mail at all. Look for a typing mistake in the part after the @."),
    ("1", "The address is not valid there. Look for a typing mistake in it."),
    ("2.1", "The mailbox exists, but takes no mail at present. Try to reach the recipient in another way."),
    ("2.2", "The recipient's mailbox is full. Try again later, or reach the recipient in another way."),
    ("2.3", "The message is larger than the recipient may receive. Send it without large attachments."),
    ("2", "Something is wrong with the recipient's mailbox. Try to reach the recipient in another way."),
    ("3.4", "The message is larger than the other mail system takes. Send it without large attachments."),
    ("3", "A mail system on the way has a trouble of its own, which those who run it must mend."),
    ("4.6", "The message goes round in a loop between mail systems; those who run them must mend that."),
    ("4", "The mail system of the recipient could not be reached."),
    ("5.3", "The message had too many recipients for the other mail system. Send it to fewer at a time."),
    ("5", "The other mail system and ours did not understand each other; those who run them must mend that."),
    ("6.7", "The address has letters that the other mail system does not understand. Ask for another address."),
    ("6", "The other mail system cannot take a message of this form, such as 8-bit text."),
    ("7.4", _NO_LOGIN),
    ("7.8", _NO_LOGIN),
    ("7.9", _NO_LOGIN),
    ("7.5", _NO_TLS),
    ("7.10", _NO_TLS),
    ("7.11", _NO_TLS),
    (
        "7",
        "The other mail system does not accept this message from us, as a rule of its own. The recipient may know why.",
    ),
)
_UNKNOWN_MEANING: Final = "The reason was not given in a form that we can explain; what was said stands below."
_DOUBT: Final = (
    "It may have arrived all the same, and if you send it again it may arrive twice: the other mail system was given "
    "the whole message, but we did not hear whether it took it."
)


def printable(text: str) -> str:
    """The text without octets that a terminal or a header would act on."""
    return _UNPRINTABLE.sub(" ", text)


def meaning(status: str) -> str:
    """What an enhanced status code means, in a sentence or two."""
    _, _, rest = status.partition(".")
    for beginning, words in _MEANINGS:
        if rest == beginning or rest.startswith(f"{beginning}."):
            return words
    return _UNKNOWN_MEANING


def duration(span: timedelta) -> str:
    """A span of time as people say it, rounded down to its largest unit."""
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
    who = f"The mail system {report.remote} said:" if report.remote else "In technical terms:"
    words = f"{report.reply.code} {report.reply.enhanced}".rstrip() + f" {report.reply.text}"
    return [_filled(who), "\n".join(_filled(printable(line), "    ") for line in words[:_MAX_QUOTED].split("\n"))]


def _these(count: int) -> str:
    return "this address" if count == 1 else f"these {count} addresses"


def _failed(report: Report) -> list[str]:
    recipients = report.recipients
    paragraphs = [_filled(f"Your message could not be delivered to {_these(len(recipients))}:")]
    if any(recipient.expired for recipient in recipients):
        tried = duration(report.made_at - report.arrived_at)
        paragraphs[0] = _filled(
            f"Your message could not be delivered to {_these(len(recipients))}, although we tried again and again "
            f"for {tried}:"
        )
    for recipient in recipients:
        paragraphs += [f"  {recipient.forward_path}", _filled(meaning(recipient.meant))]
        if recipient.in_doubt:
            paragraphs.append(_filled(_DOUBT))
        paragraphs += _quoted(recipient)
    paragraphs.append("We will not try again.")
    return paragraphs


def _delayed(report: Report) -> list[str]:
    recipients = report.recipients
    late = duration(report.made_at - report.arrived_at)
    paragraphs = [_filled("This is only a warning. You need not send your message again.")]
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
            _filled(f"We go on trying for {left} more. If that does not help either, we will write to you again.")
        )
    return paragraphs


def _succeeded(report: Report, words: str) -> list[str]:
    return [_filled(words), *(f"  {recipient.forward_path}" for recipient in report.recipients)]


def _delivered(report: Report) -> list[str]:
    return _succeeded(
        report, f"As you asked to be told: your message was put into the mailbox of {_these(len(report.recipients))}:"
    )


def _relayed(report: Report) -> list[str]:
    return [
        *_succeeded(
            report,
            f"As you asked to be told: your message for {_these(len(report.recipients))} was handed over to the "
            "recipient's mail system:",
        ),
        _filled("That system does not tell whether a message was delivered in the end, so you may not hear more."),
    ]


def _expanded(report: Report) -> list[str]:
    return [
        *_succeeded(
            report,
            f"As you asked to be told: your message for {_these(len(report.recipients))} was passed on to all who "
            "stand behind it:",
        ),
        _filled("You will not hear of each of them, unless delivery fails."),
    ]


_TEXTS: Final = {
    "failed": ("Your message could not be delivered", _failed),
    "delayed": ("Your message is delayed", _delayed),
    "delivered": ("Your message was delivered", _delivered),
    "relayed": ("Your message was passed on", _relayed),
    "expanded": ("Your message was passed on to several recipients", _expanded),
}


def subject(report: Report) -> str:
    """The Subject of the notification."""
    return _TEXTS[report.action.value][0]


def human_text(report: Report, original_subject: str) -> str:
    """The first part of the notification, lines ended by LF.

    @param original_subject: of the message it is about, "" where it has none.
    """
    paragraphs = [f"This is the mail system at {report.hostname}.", *_TEXTS[report.action.value][1](report)]
    about = [f"Your message was sent on {date_time(report.arrived_at)}"]
    if original_subject:
        about.append(f"with the subject: {original_subject}")
    paragraphs.append(_filled(" ".join(about)))
    paragraphs.append(
        _filled(
            "Whoever helps you with your mail may want to see the technical report, which is attached. "
            f"Our number for your message is {report.queue_id}."
        )
    )
    return "\n\n".join(paragraphs) + "\n"
