"""Clients that may send a password without TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from emailsys.mail.ip import is_loopback
from emailsys.mail.networks import Networks


def plaintext_auth_rule(on_loopback: bool, networks: Iterable[str]) -> Callable[[str], bool]:
    """Return a predicate of IP addresses: whether their clients may log in without TLS.

    @param on_loopback: whether clients of this machine may. @param networks: whose hosts may.
    """
    allowed = Networks(networks)
    return lambda ip: (on_loopback and is_loopback(ip)) or ip in allowed
