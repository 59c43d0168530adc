"""Faults before TLS: passwords that are accepted in the clear, and commands that are carried into TLS."""

from __future__ import annotations

from typing import Final

from emailsys.wiretap.conversation import Direction, Event, Kind
from emailsys.wiretap.probe.connection import Connection
from emailsys.wiretap.probe.limits import Failure, ProbeError
from emailsys.wiretap.probe.opening import Opening, extensions_of, greeted
from emailsys.wiretap.verdict import Finding, Verdict

# Mechanisms that send the password itself (RFC 4616; LOGIN has no RFC).
_PLAIN: Final = frozenset({"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"})
_REQUIRE_TLS: Final = "Accept passwords only after {}, for example smtpd_tls_auth_only = yes or ssl = required."
# A name of no account. No password is sent.
_NOBODY: Final = "emailsys-probe"


def judge_starttls(opening: Opening, is_pop3: bool) -> Finding:
    """Returns the finding about the offer of TLS on a port that begins in the clear."""
    word = "STLS" if is_pop3 else "STARTTLS"
    if opening.has_starttls:
        return Finding("TLS offered", Verdict.GOOD, f"{word} is offered.")
    words = f"{word} is not offered: everything crosses the network in the clear."
    return Finding("TLS offered", Verdict.BAD, words, "Install a certificate and switch TLS on.")


def find_clear_passwords(connection: Connection, opening: Opening) -> Finding:
    """Asks before TLS to log in, up to where the password would be sent, and breaks off."""
    is_pop3 = connection.target.protocol.is_pop3
    word = "STLS" if is_pop3 else "STARTTLS"
    advice = _REQUIRE_TLS.format(word)
    words = opening.words
    offered = sorted(_PLAIN & set(words.get("SASL" if is_pop3 else "AUTH", ())))
    if is_pop3 and "USER" in words:
        offered.append("USER")
    accepted = _begins_login(connection)
    if accepted:
        offer = f" ({', '.join(offered)} offered)" if offered else ", although none is offered"
        if connection.target.is_on_loopback:
            text = f"A login is accepted before {word}{offer}. Many servers allow that on loopback only."
            return Finding("clear passwords", Verdict.NOTE, text, "Probe the server from another host, too.")
        text = f"A login is accepted before {word}{offer}: passwords cross the network in the clear."
        return Finding("clear passwords", Verdict.BAD, text, advice)
    if offered:
        text = f"{', '.join(offered)} are offered before {word}, but refused. Some clients send the password at once."
        return Finding("clear passwords", Verdict.WEAK, text, advice)
    return Finding("clear passwords", Verdict.GOOD, f"No password is accepted before {word}.")


def _begins_login(connection: Connection) -> bool:
    for mechanism in ("PLAIN", "LOGIN"):
        if connection.command(f"AUTH {mechanism}").asks_for_more:
            connection.command("*")
            return True
    return connection.target.protocol.is_pop3 and connection.command(f"USER {_NOBODY}").is_good


def find_injection(connection: Connection) -> Finding:
    """Sends a command in the same packet as STARTTLS, and sees whether it is carried out inside TLS.

    RFC 3207 §6, CVE-2011-0411: an attacker who can write into the clear part would put commands into the client's
    session.
    """
    is_pop3 = connection.target.protocol.is_pop3
    greeted(connection)
    extensions_of(connection)
    # The answers differ from those to QUIT, which are 221 and +OK. 4xx is for a server that wants no more of this.
    command, injected = ("STLS", "PROBE") if is_pop3 else ("STARTTLS", "NOOP")
    octets = f"{command}\r\n{injected}\r\n".encode("ascii")
    for line in (command, injected):
        connection.events.append(Event(connection.now, Kind.COMMAND, line, Direction.OUT, len(line) + len("\r\n")))
    connection.send_raw(octets)
    safe = Finding(
        "command injection", Verdict.GOOD, f"Commands that are sent with {command} are not carried out in TLS."
    )
    try:
        if not connection.reply().is_good:
            return safe
        connection.secure()
        first = connection.command("QUIT")
    except ProbeError as error:
        # Closing the connection is a good answer to an attack.
        if error.failure in (Failure.CLOSED, Failure.MALFORMED):
            return safe
        raise
    said = first.lines[0]
    if said.startswith("-ERR") if is_pop3 else not said.startswith(("221", "4")):
        words = f"A command sent together with {command} in the clear is carried out inside TLS. Who can write to the "
        words += "connection before TLS begins puts commands into the session of the client (CVE-2011-0411)."
        return Finding("command injection", Verdict.BAD, words, "Upgrade the server.")
    return safe
