"""Result of a trial connection to a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emailsys.client.accounts.values import Server
from emailsys.client.fetch.login import LOGIN_ADVICE
from emailsys.net.tls.peer import fingerprint_of


@dataclass(frozen=True, slots=True)
class TrialResult:
    """Result of a trial connection.

    - `problem` is None after success, else what failed and why. `advice` says what to do.
    - `fingerprint` is that of the server's certificate, even a rejected one, so that it can be pinned; "" without TLS.
    - `tls` is version and cipher suite, `offers` are the server's capabilities.
    - `messages` is the number of messages in the maildrop. `logged_in`: the login succeeded.
    """

    server: Server
    protocol: str
    problem: str | None = None
    advice: str = ""
    tls: str = ""
    fingerprint: str = ""
    offers: tuple[str, ...] = ()
    messages: int | None = None
    logged_in: bool = False

    @property
    def is_login_refused(self) -> bool:
        """Whether the server refused user name and password."""
        return self.advice == LOGIN_ADVICE


def shown_fingerprint(certificate: Any) -> str:
    """Return the fingerprint of a pyOpenSSL certificate, "" for None."""
    return fingerprint_of(certificate) if certificate is not None else ""
