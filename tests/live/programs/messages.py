"""Messages whose octets are easy to spoil on the way, and how a fetched one is compared with what was sent."""

from __future__ import annotations

import base64
import random

# What twisted.mail, curl and smtplib have each got wrong: dots at the beginning of lines and at the edges of chunks.
DOTS = b".\r\n..\r\n.dotted\r\n...\r\n. \r\n" * 40
LONG_LINE = b"x" * 990 + b"\r\n"


def header(sender: str, recipient: str, subject: str) -> bytes:
    """A header that is complete, so that submission adds nothing to it."""
    lines = (
        f"From: {sender}",
        f"To: {recipient}",
        f"Subject: {subject}",
        "Date: Mon, 23 Nov 2026 12:00:00 +0000",
        f"Message-ID: <{subject}@example.test>",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()


def plain(sender: str, recipient: str, subject: str) -> bytes:
    """A text with all that may go wrong in seven bits."""
    return header(sender, recipient, subject) + b"\r\n" + DOTS + LONG_LINE + b"\r\n\r\nend\r\n.\r\n"


def eight_bit(sender: str, recipient: str, subject: str) -> bytes:
    """A text in UTF-8, sent as 8BITMIME."""
    mime = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return header(sender, recipient, subject) + mime + ("Grüße, 今日は\r\n" * 50).encode() + DOTS


def attachment(size: int, seed: int = 1) -> bytes:
    """Octets that no text conversion leaves alone."""
    return random.Random(seed).randbytes(size)


def with_attachment(sender: str, recipient: str, subject: str, size: int = 300_000) -> bytes:
    """A multipart message with an attachment in base64, longer than a row of the store."""
    encoded = base64.encodebytes(attachment(size)).replace(b"\n", b"\r\n")
    return header(sender, recipient, subject) + (
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=-cut"\r\n\r\n'
        b"--=-cut\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n.\r\n"
        b"--=-cut\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="octets.bin"\r\n\r\n' + encoded + b"--=-cut--\r\n"
    )


def of_size(sender: str, recipient: str, subject: str, octets: int) -> bytes:
    """A message of just that many octets."""
    start = header(sender, recipient, subject) + b"\r\n"
    line = b"0123456789" * 7 + b"\r\n"
    body = line * ((octets - len(start)) // len(line))
    rest = octets - len(start) - len(body)
    if rest in (0, 1):
        body, rest = body[: -len(line)], rest + len(line)
    return start + body + b"z" * (rest - 2) + b"\r\n"


def as_sent(fetched: bytes, sent: bytes) -> bool:
    """Whether a fetched message is what was sent, below the trace fields that the server put before it."""
    if not fetched.endswith(sent):
        return False
    trace = fetched[: len(fetched) - len(sent)]
    names = {line.partition(b":")[0].lower() for line in trace.split(b"\r\n") if line and line[:1] not in b" \t"}
    return names <= {b"return-path", b"received", b"delivered-to"} and b"received" in names


def unix(octets: bytes) -> bytes:
    """The same text with the line ends that Unix programs keep in files."""
    return octets.replace(b"\r\n", b"\n")
