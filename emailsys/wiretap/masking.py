"""Masking of protocol lines: secrets are replaced before a line is recorded."""

from __future__ import annotations

import re
from typing import Final

#: Stands in place of what is not recorded.
MASK: Final = "[masked]"
#: Characters of a line that are kept. A command of RFC 5321 fits.
MAX_SHOWN: Final = 1000

# Only what has the form of a known command is shown. A client may send a password where none belongs: in a line of its
# own after a refused AUTH, or behind a command that takes no argument.
_COMMAND: Final = re.compile(rb"([A-Za-z][A-Za-z0-9]*)(?: (.*))?\Z", re.DOTALL)
_NAME: Final = rb"[A-Za-z0-9._:\[\]-]{1,255}"
_PATH: Final = rb"<[^\s<>]{0,320}>"
# Parameters of MAIL and RCPT (RFC 1870, 3030, 3461, 4865, 4954, 6152, 6531, 6710, 8689).
_PARAMETERS: Final = (
    rb"(?i:(?: +(?:SMTPUTF8|REQUIRETLS|(?:SIZE|BODY|RET|ENVID|AUTH|NOTIFY|ORCPT|BY|HOLDFOR|HOLDUNTIL|MT-PRIORITY)"
    rb"=[!-~]{0,600}))*)"
)
_SHOWN_ARGUMENTS: Final[dict[bytes, re.Pattern[bytes]]] = {
    verb: re.compile(pattern)
    for verb, pattern in {
        b"EHLO": _NAME,
        b"HELO": _NAME,
        b"LHLO": _NAME,
        b"MAIL": rb"[Ff][Rr][Oo][Mm]: ?" + _PATH + _PARAMETERS,
        b"RCPT": rb"[Tt][Oo]: ?" + _PATH + _PARAMETERS,
        b"BDAT": rb"\d{1,20}(?: [Ll][Aa][Ss][Tt])?",
        b"VRFY": rb"<?[^\s<>@]{1,64}@[^\s<>@]{1,255}>?",
        b"USER": rb"[!-~\x80-\xff]{1,320}",
        b"LIST": rb"\d{1,20}",
        b"UIDL": rb"\d{1,20}",
        b"RETR": rb"\d{1,20}",
        b"DELE": rb"\d{1,20}",
        b"TOP": rb"\d{1,20} \d{1,20}",
    }.items()
}
# Verbs whose names are shown: those of RFC 5321 and its extensions, of RFC 1939 and its extensions, and some others.
_VERBS: Final = frozenset(_SHOWN_ARGUMENTS) | frozenset(
    b"DATA RSET QUIT NOOP HELP EXPN STARTTLS AUTH XPASSWORD ETRN TURN ATRN SEND SOML SAML XCLIENT XFORWARD BURL "
    b"PASS APOP STAT CAPA STLS UTF8 LANG XTND".split()
)
_MECHANISMS: Final = frozenset(
    b"PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS XOAUTH2 "
    b"OAUTHBEARER EXTERNAL GSSAPI NTLM ANONYMOUS".split()
)
# RFC 1939 §7: a name and an MD5 digest.
_APOP: Final = re.compile(rb"([!-~\x80-\xff]{1,320}) [0-9A-Fa-f]{32}")
# The prompts of AUTH LOGIN, "Username:" and "Password:", in base64.
_PROMPTS: Final = frozenset({b"", b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6", b"VXNlciBOYW1lAA==", b"UGFzc3dvcmQA"})
_REPLY: Final = re.compile(rb"(\d{3})([ -]|\Z)((?:[245]\.\d{1,3}\.\d{1,3}(?: |\Z))?)(.*)\Z", re.DOTALL)


def printable(octets: bytes, most: int = MAX_SHOWN) -> str:
    """Return octets as text without control characters, cut to `most` characters."""
    text = octets[: 4 * most].decode("utf-8", "backslashreplace")
    if not text.isprintable():
        text = "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
        )
    return text if len(text) <= most else f"{text[:most]}..."


def verb_of(line: bytes) -> str:
    """Return the verb of a command in upper case, "" if the line is no command that we know."""
    found = _COMMAND.match(line)
    verb = b"" if found is None else found[1].upper()
    return verb.decode("ascii") if verb in _VERBS else ""


def shown_command(line: bytes) -> str:
    """Return a command as it may be recorded."""
    found = _COMMAND.match(line)
    if found is None:
        return MASK if line else ""
    verb, argument = found[1].upper(), found[2]
    if verb not in _VERBS:
        return MASK
    shown = found[1].decode("ascii")
    if argument is None:
        return shown
    if verb == b"AUTH":
        return f"{shown} {_shown_mechanism(argument)}"
    if verb == b"APOP":
        name = _APOP.fullmatch(argument)
        return f"{shown} {MASK}" if name is None else f"{shown} {printable(name[1])} {MASK}"
    pattern = _SHOWN_ARGUMENTS.get(verb)
    if pattern is not None and pattern.fullmatch(argument):
        return f"{shown} {printable(argument)}"
    return f"{shown} {MASK}"


def _shown_mechanism(argument: bytes) -> str:
    mechanism, _, initial = argument.partition(b" ")
    if mechanism.upper() not in _MECHANISMS:
        return MASK
    shown = mechanism.decode("ascii")
    if not initial:
        return shown
    return f"{shown} =" if initial == b"=" else f"{shown} {MASK}"


def shown_response(line: bytes) -> str:
    """Return a response of an authentication exchange as it may be recorded."""
    return line.decode("ascii") if line in (b"", b"*") else MASK


def shown_challenge(line: bytes, prefix: bytes) -> str:
    """Return a challenge as it may be recorded: its proof could be guessed from challenge and response together.

    @param prefix: "334 " or "+ ".
    """
    words = line[len(prefix) :].strip()
    return printable(line) if words in _PROMPTS else f"{prefix.decode('ascii')}{MASK}"


def shown_reply_to_secret(line: bytes) -> str:
    """Return a reply of a peer that has just received a secret, and may repeat it: only its codes."""
    found = _REPLY.match(line)
    if found is not None:
        return f"{(found[1] + found[2] + found[3]).decode('ascii')}{MASK if found[4] else ''}"
    for status in (b"+OK", b"-ERR"):
        if line[: len(status)].upper() == status:
            return f"{status.decode('ascii')} {MASK}" if line[len(status) :].strip() else status.decode("ascii")
    return MASK if line else ""
