"""Explanations: what each command, reply, code and TLS message means, its standard, and what may follow."""

from emailsys.wiretap.explain.conversations import explained
from emailsys.wiretap.explain.lines import command, message, reply
from emailsys.wiretap.explain.statuses import enhanced_status, mechanism
from emailsys.wiretap.explain.tables import Explanation, Part, title_of

__all__ = [
    "Explanation",
    "Part",
    "command",
    "enhanced_status",
    "explained",
    "mechanism",
    "message",
    "reply",
    "title_of",
]
