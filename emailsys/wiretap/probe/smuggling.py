"""SMTP smuggling: line ends that one server takes for the end of a message, and another one does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emailsys.wiretap.conversation import Direction, Event, Kind
from emailsys.wiretap.probe.connection import Connection, Reply
from emailsys.wiretap.probe.limits import Failure, ProbeError
from emailsys.wiretap.probe.opening import extensions_of, greeted
from emailsys.wiretap.verdict import Finding, Verdict

#: RFC 5321 §4.1.1.4: only CRLF . CRLF ends a message.
VARIANTS: Final[Mapping[str, bytes]] = {
    "LF . LF": b"\n.\n",
    "LF . CRLF": b"\n.\r\n",
    "CRLF . LF": b"\r\n.\n",
    "CR . CR": b"\r.\r",
    "CRLF . CR": b"\r\n.\r",
    "CR . CRLF": b"\r.\r\n",
}
_ADVICE: Final = (
    "Upgrade the server, or make it refuse bare LF and CR (Postfix: smtpd_forbid_bare_newline = normalize)."
)
_TEXT: Final = "Subject: emailsys probe\r\n\r\nA probe tests where this server thinks that a message ends ({})."


def find_smuggling(connection: Connection, name: str, recipient: str) -> Finding:
    """Sends a message that has a variant of the end in its middle. The message is delivered to the recipient.

    After the variant comes NOOP, then the true end. A server that knows only the true end answers once. One that takes
    the variant for the end answers to the message, to NOOP, and to the dot.
    """
    check = f"smuggling {name}"
    if connection.target.protocol.has_implicit_tls:
        connection.secure()
        greeted(connection)
    else:
        greeted(connection)
    extensions_of(connection)
    for line in ("MAIL FROM:<>", f"RCPT TO:<{recipient}>", "DATA"):
        answer = connection.command(line)
        if not (answer.is_good or answer.asks_for_more):
            words = f"It could not be tested: {line.split(':')[0]} was answered with {str(answer)[:200]!r}."
            return Finding(check, Verdict.UNTESTED, words, "Name a recipient of this server with --recipient.")
    octets = _TEXT.format(name).encode("ascii") + VARIANTS[name] + b"NOOP\r\n.\r\n"
    connection.events.append(Event(connection.now, Kind.BODY, "", Direction.OUT, len(octets), {"variant": name}))
    connection.send(octets)
    connection.send_line("QUIT")
    replies: list[Reply] = []
    try:
        while len(replies) < 5:
            replies.append(connection.reply())
    except ProbeError as error:
        if error.failure is not Failure.CLOSED or not replies:
            raise
    # The last reply is 221 to QUIT; a server that closes the connection after a refusal does not send it.
    before = [answer for answer in replies if not answer.lines[0].startswith("221")]
    # A server may refuse what it took for a message because of its content, and still carry out NOOP.
    if len(before) > 1 and any(answer.is_good for answer in before[:2]):
        words = f"{name} ends a message, although only CRLF . CRLF does. Others can put forged mail into messages that "
        words += "another server passes on (SMTP smuggling)."
        return Finding(check, Verdict.BAD, words, _ADVICE)
    how = "refuses the message" if before and not before[0].is_good else "takes it for text"
    return Finding(check, Verdict.GOOD, f"{name} does not end a message: the server {how}.")
