"""Longest command lines of SMTP: that of the standard, and those that extensions make longer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emailsys.wire.sasl import MAX_AUTH_LINE

# RFC 5321 §4.5.3.1.4, in octets, CRLF included.
MAX_COMMAND_LINE: Final = 512
# Octets that extensions add. MAIL: SIZE 26 (RFC 1870 §3), BODY 17 (RFC 6152 §2), SMTPUTF8 10 (RFC 6531 §3.1), AUTH 500
# (RFC 4954 §3), and by the lengths of their values RET 9 and ENVID 107; RCPT: NOTIFY 29 and ORCPT 507 (RFC 3461 §4).
LONGER_LINES: Final[Mapping[str, int]] = {
    "MAIL": MAX_COMMAND_LINE + 26 + 17 + 10 + 500 + 9 + 107,
    "RCPT": MAX_COMMAND_LINE + 29 + 507,
    "AUTH": MAX_AUTH_LINE,
    "XPASSWORD": MAX_AUTH_LINE,
}
