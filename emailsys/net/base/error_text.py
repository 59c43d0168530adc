"""Descriptions of socket and TLS errors for operators and senders."""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

_ENDINGS: Final = (ConnectionDone, ConnectionLost, ConnectionAborted)


def in_words(error: BaseException) -> str:
    """Describe an error of a socket or of TLS, without a full stop."""
    if isinstance(error, SSL.SysCallError):
        return "the host closed it"
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return "; ".join(str(entry[-1]) for entry in error.args[0]) or "TLS failed"
    return getattr(error, "strerror", None) or str(error).rstrip(".") or type(error).__name__


def why_lost(reason: Failure) -> str | None:
    """Describe the failure that ended a connection, of TLS for example. None if a side closed or aborted it."""
    error = reason.value
    return None if error is None or isinstance(error, _ENDINGS) else in_words(error)
