"""Descriptions of socket and TLS errors for operators and senders."""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL

# What OpenSSL says when the first octets of the other side are not those of TLS.
_NO_TLS: Final = {
    "wrong version number": "the other side does not speak TLS (wrong version number)",
    "http request": "the other side sent an HTTP request in the clear",
}


def in_words(error: BaseException) -> str:
    """Describe an error of a socket or of TLS, without a full stop."""
    if isinstance(error, SSL.SysCallError):
        return "the host closed it"
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return "; ".join(_NO_TLS.get(str(entry[-1]), str(entry[-1])) for entry in error.args[0]) or "TLS failed"
    return getattr(error, "strerror", None) or str(error).rstrip(".") or type(error).__name__
