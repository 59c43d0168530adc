"""The receiving system's statement about the author of a message that arrived (RFC 8601)."""

from __future__ import annotations

import re
from typing import Final

from emailsys.mail.message.fields import MAX_STRUCTURED, without_comments
from emailsys.mail.message.mime import Part

# RFC 8601 §2.2: the authserv-id, and the result of the method "auth" (RFC 4954), which tells of a login.
_SERVER: Final = re.compile(r'\s*"?([^\s;"]{1,255})')
_NO_LOGIN: Final = re.compile(r";\s*auth\s*=\s*none(?![^\s;])", re.I)
# RFC 5321 §4.4: the host that wrote a Received field.
_BY: Final = re.compile(r"(?:^|\s)by\s+([^\s;]{1,255})", re.I)


def unauthenticated_by(root: Part) -> str | None:
    """Return the host that received the message with one of its own addresses in From from a client without a login.

    None if no host says so. Only what the last host added counts, the fields above and around its Received field: the
    sender may have written all others.
    """
    by: str | None = None
    servers: list[str] = []
    for field in root.fields:
        name = field.name.lower()
        if name == "received":
            found = _BY.search(without_comments(field.text[:MAX_STRUCTURED])) if by is None else None
            if found is None:
                break
            by = found[1].lower()
        elif name == "authentication-results":
            text = without_comments(field.text[:MAX_STRUCTURED])
            server = _SERVER.match(text)
            if server is not None and _NO_LOGIN.search(text):
                servers.append(server[1].lower())
    return by if by in servers else None
