"""Notices about certificates: messages that tell the postmaster which of them need to be renewed or repaired."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from emailsys.mail.address import Address
from emailsys.mail.own_message import own_message


def compose(hostname: str, problems: Iterable[str], postmaster: Address, unique: str, made_at: datetime) -> bytes:
    """Compose a notice.

    @param hostname: the host that serves the certificates.
    @param problems: a sentence for each certificate.
    @param unique: letters, digits and dots that no other message of the domain has.
    """
    return own_message(
        postmaster,
        postmaster,
        f"A certificate of {hostname} needs attention",
        unique,
        made_at,
        f"The mail system on {hostname} serves TLS certificates to mail programs and other mail systems. It found:",
        *(f"{problem}." for problem in problems),
        "When a certificate has expired, mail programs refuse to connect or warn their users. Mail from other systems "
        "still arrives.",
        "After you have renewed or repaired the files, make the daemon read them: systemctl reload emailsys",
        "To see what it found: emailsys status",
        "You will not receive this warning about the same certificate again until it has expired.",
    )
