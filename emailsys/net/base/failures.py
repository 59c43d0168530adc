"""Descriptions of connection failures for operators and senders."""

from __future__ import annotations

from typing import Final

from twisted.internet.error import ConnectError, ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.python.failure import Failure

from emailsys.net.base.error_text import in_words

_ENDINGS: Final = (ConnectionDone, ConnectionLost, ConnectionAborted)


def why(reason: Failure) -> str:
    """Describe why a connection was lost or could not be made."""
    error = reason.value
    assert error is not None
    if isinstance(error, ConnectionDone):
        return "the host closed it"
    if isinstance(error, ConnectTimeout):
        return "no answer"
    if isinstance(error, ConnectError):
        if isinstance(error.args[-1] if error.args else None, Failure):
            # A connection that ended before it began, such as to a Unix socket whose backlog is full.
            return "the host takes no connection now"
        # Twisted writes "Connection was refused by other side: 111: Connection refused."
        return str(error).rpartition(": ")[2].rstrip(".") or "no connection"
    return in_words(error)


def why_lost(reason: Failure) -> str | None:
    """Describe the failure that ended a connection, of TLS for example. None if a side closed or aborted it."""
    error = reason.value
    return None if error is None or isinstance(error, _ENDINGS) else in_words(error)
