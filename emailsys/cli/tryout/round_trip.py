"""Round trip of one message: submitted by alice, fetched by bob, compared octet by octet."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emailsys.cli.tryout.dialogue import Dialogue, DialogueFailed, Transcript, dialogue

if TYPE_CHECKING:
    from OpenSSL import SSL

ALICE: Final = "alice@example.test"
BOB: Final = "bob@example.test"
HOST: Final = "localhost"

_QUEUED: Final = re.compile(r"queued as (\S+)")
_COUNT: Final = re.compile(r"\+OK ([0-9]+) ", re.ASCII)
_FIELD_NAME: Final = re.compile(rb"[!-9;-~]+:")


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """The result of a round trip."""

    queue_id: str
    message: bytes
    fetched: bytes
    in_front: tuple[str, ...]
    transcripts: tuple[Transcript, ...]


def compose(now: datetime) -> bytes:
    """Compose a message with what often breaks: lines that begin with a dot, an attachment with all 256 octets.

    It also has what a drawn MIME tree can show: an alternative in HTML, which shows a picture by its Content-ID.
    """
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = ALICE
    message["To"] = BOB
    message["Subject"] = "emailsys try: it works"
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid(domain="example.test")
    message.set_content(
        "Hello Bob,\n\nthis message went through a complete mail system on this machine.\n"
        ".A line that begins with a dot, and one that is only a dot:\n.\n\nAlice\n",
        cte="7bit",
    )
    picture = make_msgid("picture", "example.test")
    message.add_alternative(
        f"<p>Hello Bob,</p><p>this message went through a <b>complete mail system</b> on this machine.</p>"
        f'<p><img src="cid:{picture[1:-1]}" alt="A field of blue" width="64" height="64"></p><p>Alice</p>\n',
        subtype="html",
    )
    html = message.get_payload(1)
    assert isinstance(html, EmailMessage)
    html.add_related(_picture(), maintype="image", subtype="png", cid=picture, filename="field.png")
    message.add_attachment(
        bytes(range(256)) * 16, maintype="application", subtype="octet-stream", filename="octets.bin"
    )
    return message.as_bytes()


def _picture() -> bytes:
    """Draw 64 by 64 pixels, from dark blue to light blue, as PNG."""
    rows = b"".join(b"\0" + bytes((3 * y // 2, 2 * y, 160 + y)) * 64 for y in range(64))

    def chunk(kind: bytes, octets: bytes) -> bytes:
        return struct.pack(">I", len(octets)) + kind + octets + struct.pack(">I", zlib.crc32(kind + octets))

    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    pixels = zlib.compress(rows, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def stuffed(message: bytes) -> bytes:
    """Return a message of CRLF lines as DATA sends it, with the final dot (RFC 5321 §4.5.2)."""
    return re.sub(rb"(?m)^\.", b"..", message) + b".\r\n"


def make_round_trip(
    ports: Mapping[str, int], passwords: Mapping[str, str], ca: Path, now: datetime, host: str = HOST
) -> RoundTrip:
    """Submit a message, fetch it and compare.

    @param ports: by name of service; submission and pop3s are used.
    @raise DialogueFailed: a step failed, or the octets differ.
    """
    # Loaded now: on the page, the time that this takes would look like that of the handshake.
    from emailsys.cli.tryout.recorded_tls import trusting

    message = compose(now)
    sending = Transcript(f"alice submits the message: {host} port {ports['submission']}, STARTTLS, AUTH", "submission")
    fetching = Transcript(f"bob fetches it: {host} port {ports['pop3s']}, POP3S", "pop3s")
    with dialogue(host, ports["submission"], sending) as server:
        queue_id = _submit(server, sending, trusting(ca), host, passwords[ALICE], message)
    with dialogue(host, ports["pop3s"], fetching) as server:
        fetched = _fetch(server, fetching, trusting(ca), host, passwords[BOB], queue_id)
    return RoundTrip(queue_id, message, fetched, _names_in_front(message, fetched), (sending, fetching))


def _submit(
    server: Dialogue, transcript: Transcript, context: SSL.Context, host: str, password: str, message: bytes
) -> str:
    server.reply("220")
    server.ask("EHLO localhost", "250")
    server.ask("STARTTLS", "220")
    server.start_recorded_tls(context, host)
    server.ask("EHLO localhost", "250")
    secret = base64.b64encode(f"\0{ALICE}\0{password}".encode()).decode()
    server.ask(f"AUTH PLAIN {secret}", "235", shown="AUTH PLAIN (alice's name and password in base64)")
    server.ask(f"MAIL FROM:<{ALICE}> SIZE={len(message)}", "250")
    server.ask(f"RCPT TO:<{BOB}>", "250")
    server.ask("DATA", "354")
    server.send(stuffed(message), f"the message, {len(message)} octets, and a dot")
    accepted = server.reply("250")
    transcript.note("before it sent this 250, the server put the message into bob's maildrop, on disk")
    server.ask("QUIT", "221")
    queued = _QUEUED.search(accepted)
    if queued is None:
        raise DialogueFailed(f"the server accepted the message without a queue id: {accepted!r}")
    return queued[1]


def _fetch(
    server: Dialogue, transcript: Transcript, context: SSL.Context, host: str, password: str, queue_id: str
) -> bytes:
    server.start_recorded_tls(context, host)
    server.ok()
    server.say(f"USER {BOB}")
    server.ok()
    server.say(f"PASS {password}", shown="PASS (bob's password)")
    server.ok()
    server.say("STAT")
    count = _COUNT.match(server.ok())
    # The newest message is this one, unless another message for bob has just arrived.
    for number in range(int(count[1]) if count else 0, 0, -1):
        server.say(f"RETR {number}")
        server.ok()
        fetched = server.body()
        transcript.note(f"message {number}, {len(fetched)} octets, and a dot")
        if queue_id.encode() in fetched.partition(b"\r\n\r\n")[0]:
            server.say("QUIT")
            server.ok()
            return fetched
    raise DialogueFailed(f"the message {queue_id} is not in bob's maildrop")


def _names_in_front(message: bytes, fetched: bytes) -> tuple[str, ...]:
    """Return the names of the header fields that the system added; the rest must equal what was submitted."""
    if not fetched.endswith(message):
        raise DialogueFailed("the message that bob fetched does not end with the octets that alice submitted")
    front = fetched[: len(fetched) - len(message)]
    names: list[str] = []
    for line in front.split(b"\r\n")[:-1]:
        name = _FIELD_NAME.match(line)
        if name is not None:
            names.append(name[0][:-1].decode("ascii"))
        elif not line.startswith((b" ", b"\t")):
            raise DialogueFailed(f"the system added {line!r}, which is not a header field")
    if "Received" not in names:
        raise DialogueFailed("the system added no Received field")
    return tuple(names)
