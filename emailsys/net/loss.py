"""Say in words why a connection was lost, or never made."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.python.failure import Failure


def why(reason: Failure) -> str:
    """In words fit for a sender and an operator."""
    error = reason.value
    if isinstance(error, ConnectionDone):
        return "the host closed it"
    if isinstance(error, ConnectTimeout):
        return "no answer"
    if isinstance(error, ConnectError):
        # Twisted writes "Connection was refused by other side: 111: Connection refused."
        return str(error).rpartition(": ")[2].rstrip(".") or "no connection"
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return "; ".join(str(entry[-1]) for entry in error.args[0]) or "TLS failed"
    return str(error).rstrip(".") or type(error).__name__
