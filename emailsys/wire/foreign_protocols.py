"""Lines of HTTP, SIP and RTSP requests, which must not be acted on when they come to a mail server."""

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
