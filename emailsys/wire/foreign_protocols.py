"""Lines of other protocols, such as requests of HTTP or TLS handshakes, which end the session of a mail server."""

from __future__ import annotations

import re
from typing import Final

# Methods of RFC 9110 §9, RFC 5789, RFC 7826 §13 and RFC 3261 §7.1 that are the beginning of a request whatever follows:
# HTTP/0.9 had no version. Neither SMTP nor POP3 has such a command.
_METHODS: Final = frozenset(
    b"GET POST HEAD PUT DELETE OPTIONS CONNECT PATCH TRACE DESCRIBE ANNOUNCE SETUP INVITE REGISTER".split()
)
_VERSION: Final = re.compile(rb"(?:HTTP|ICAP|RTSP|SIP)/\d{1,2}(?:\.\d{1,2})?", re.IGNORECASE)
# Fields of an HTTP request: its first line may have been lost, for example with what came before TLS.
_FIELD: Final = re.compile(
    rb"(?:Host|User-Agent|Accept|Accept-[A-Za-z]+|Content-[A-Za-z]+|Origin|Referer|Connection|Sec-Fetch-[A-Za-z]+): ",
    re.IGNORECASE,
)

#: What `begins_foreign` and `foreign_protocol` call TLS.
TLS: Final = "TLS"
# RFC 8446 §5.1: the first octets of a TLS handshake are its type and the major version.
_TLS_HANDSHAKE: Final = b"\x16\x03"
# Most binary protocols, such as those of Windows and of databases, have a NUL among these first octets. A person who
# types NUL by mistake types it behind a verb.
_BINARY_OCTETS: Final = 4
# What begins a document, which may have no line end.
_DOCUMENTS: Final = (
    ("XML", re.compile(rb"<[?!A-Za-z]")),
    ("JSON", re.compile(rb'\{\s*"|\[\s*[{"]')),
)
# First lines, by which programs of other protocols begin. A single word is none of them: a person may have typed it.
_FIRST_LINES: Final = (
    # RFC 4253 §4.2.
    ("SSH", re.compile(rb"SSH-\d")),
    ("Redis", re.compile(rb"[*$]\d+$")),
    (
        "memcached",
        re.compile(rb"(?:set|add|replace|append|prepend|cas) \S+ \d+ -?\d+ \d+(?: [a-z0-9]+)*$", re.IGNORECASE),
    ),
    # RFC 9051 §2.2.1: a tag, then a command.
    (
        "IMAP",
        re.compile(
            rb"(?:[A-Za-z]{0,8}\d{1,8}|\.) (?:CAPABILITY|LOGIN|AUTHENTICATE|STARTTLS|ID|NOOP|LOGOUT)(?: |$)",
            re.IGNORECASE,
        ),
    ),
    ("the PROXY protocol", re.compile(rb"PROXY (?:TCP[46]|UNKNOWN)(?: |$)")),
    ("IRC", re.compile(rb"CAP (?:LS|REQ)(?: |$)")),
    ("rsync", re.compile(rb"@RSYNCD: ")),
)


def looks_like_request(line: bytes) -> bool:
    """Returns whether a line belongs to a request of another protocol.

    A web page can make a browser send one to a mail server, and commands in its body (cross-protocol attack). Only the
    beginning of an over-long line is necessary. Call this for lines that are no command.
    """
    words = line.split()
    if len(words) < 2:
        return bool(words) and words[0].upper() in _METHODS
    if words[0].upper() in _METHODS or _FIELD.match(line) is not None:
        return True
    # A request ends with the version (RFC 9112 §3), and a response begins with it (§4).
    return _VERSION.fullmatch(words[0]) is not None or (len(words) > 2 and _VERSION.fullmatch(words[-1]) is not None)


def begins_foreign(octets: bytes, is_first: bool) -> str | None:
    """Return the name of the protocol that a line belongs to by its first octets. Its end may never come.

    @param is_first: whether it is the first line of the session. Later ones may be the text of a refused message.
    """
    if octets.startswith(_TLS_HANDSHAKE):
        return TLS
    if not is_first:
        return None
    if b"\0" in octets[:_BINARY_OCTETS]:
        return "a binary protocol"
    return next((name for name, pattern in _DOCUMENTS if pattern.match(octets)), None)


def foreign_protocol(line: bytes, is_first: bool) -> str | None:
    """Return the name of the protocol that a line belongs to. Call this for lines that are no command, at their end.

    @param is_first: as for `begins_foreign`.
    """
    found = begins_foreign(line, is_first)
    if found is not None or not is_first:
        return found
    return next((name for name, pattern in _FIRST_LINES if pattern.match(line)), None)
