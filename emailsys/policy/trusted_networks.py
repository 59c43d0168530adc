"""Clients that are exempt from limits: hosts of trusted networks, such as printers, and perhaps this machine."""

from __future__ import annotations

from collections.abc import Callable

from emailsys.mail.ip import is_loopback
from emailsys.mail.networks import Networks


def exemption(trusted: Networks, loopback: bool) -> Callable[[str], bool]:
    """Return a predicate: whether an IP address is exempt from the limits for clients.

    @param loopback: whether this machine is exempt.
    """
    return lambda ip: ip in trusted or (loopback and is_loopback(ip))
