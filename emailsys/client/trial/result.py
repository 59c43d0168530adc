"""How trying a server went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emailsys.client.accounts.values import Server
from emailsys.net.tls.peer import fingerprint_of


@dataclass(frozen=True, slots=True)
class TrialResult:
    """How trying a server went. `problem` is None if all held, else says what failed and why; `advice` what to do.

    `fingerprint` is that of the certificate which the server showed, also where it was refused, so that it can be
    pinned; "" in the clear. `tls` is version and suite, `offers` what the server offers, `messages` how many the
    maildrop holds. `logged_in` tells whether a login was tried and held.
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


def shown_fingerprint(certificate: Any) -> str:
    """The fingerprint of a certificate of pyOpenSSL's; "" for None, in the clear."""
    return fingerprint_of(certificate) if certificate is not None else ""
