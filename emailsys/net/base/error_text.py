"""Descriptions of socket and TLS errors for operators and senders."""

from __future__ import annotations

from OpenSSL import SSL


def in_words(error: BaseException) -> str:
    """Describe an error of a socket or of TLS, without a full stop."""
    if isinstance(error, SSL.SysCallError):
        return "the host closed it"
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return "; ".join(str(entry[-1]) for entry in error.args[0]) or "TLS failed"
    return getattr(error, "strerror", None) or str(error).rstrip(".") or type(error).__name__
