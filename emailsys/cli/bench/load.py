"""Many SMTP clients at once, then one POP3 client that fetches and compares what they have sent."""

from __future__ import annotations

import hashlib
import poplib
import queue
import secrets
import smtplib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import chain, islice
from typing import Final

from emailsys.mail.quantities import counted

_IDENT: Final = b"X-Bench: "
# Octets of a line of text, its CRLF included.
_LINE: Final = 74
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789 .,"
# Seconds that a server may take for a reply.
_PATIENCE: Final = 60.0
# Characters of what a server said that are shown.
_MAX_WORDS: Final = 200
# Seconds between two looks at the maildrop.
_LOOK: Final = 0.2
#: What ends one client: the others go on.
ERRORS: Final = (OSError, smtplib.SMTPException, poplib.error_proto)


@dataclass(frozen=True, slots=True)
class Target:
    """A server and an account on it.

    @ivar context: for STARTTLS and STLS; None without TLS.
    @ivar submits: whether clients log in before they send.
    """

    smtp: tuple[str, int]
    pop3: tuple[str, int]
    address: str
    password: str
    context: ssl.SSLContext | None
    submits: bool

    def sender(self) -> smtplib.SMTP:
        """Connect, begin TLS and log in as far as that is wanted."""
        client = smtplib.SMTP(*self.smtp, timeout=_PATIENCE)
        try:
            if self.context is not None:
                client.starttls(context=self.context)
            if self.submits:
                client.login(self.address, self.password)
        except ERRORS:
            # After a failed handshake, it cannot be closed any more.
            with suppress(OSError):
                client.close()
            raise
        return client

    def reader(self) -> poplib.POP3:
        """Connect, begin TLS and log in."""
        client = poplib.POP3(*self.pop3, timeout=_PATIENCE)
        try:
            if self.context is not None:
                client.stls(self.context)
            client.user(self.address)
            client.pass_(self.password)
        except ERRORS:
            # After a failed handshake, it cannot be closed any more.
            with suppress(OSError):
                client.close()
            raise
        return client


@dataclass
class Outcome:
    """The measurements of a run. Latencies are seconds from the connection, or from MAIL, to the 250."""

    sent: int = 0
    send_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    #: Seconds from the first connection until all accepted messages were listed.
    listed_seconds: float = 0.0
    fetched: int = 0
    fetch_seconds: float = 0.0
    lost: int = 0
    changed: int = 0
    doubled: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        """Whether each message was accepted, and has arrived once and unchanged."""
        return not (self.lost or self.changed or self.doubled or self.errors)

    def percentile(self, part: float) -> float:
        """Return the latency in milliseconds below which this part of them is."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0

    def to_json(self) -> dict[str, object]:
        """Return the figures; rates are messages a second."""
        accepted = len(self.latencies)
        return {
            "sent": self.sent,
            "accepted": accepted,
            "accepted_per_second": rate(accepted, self.send_seconds),
            "listed_per_second": rate(accepted, self.listed_seconds),
            "fetched_per_second": rate(self.fetched, self.fetch_seconds),
            "latency_ms": {name: round(self.percentile(part), 3) for name, part in PERCENTILES.items()},
            "lost": self.lost,
            "changed": self.changed,
            "doubled": self.doubled,
            "errors": dict(self.errors),
        }


#: Percentiles that are told.
PERCENTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def rate(count: int, seconds: float) -> float:
    """Return how many a second."""
    return round(count / seconds, 1) if seconds else 0.0


class Messages:
    """Different messages of about the same size. Each is made when it is sent.

    @ivar count: how many.
    """

    def __init__(self, count: int, octets: int, sender: str, recipient: str) -> None:
        self.count = count
        self._octets, self._sender, self._recipient = octets, sender, recipient
        self._run = secrets.token_hex(6)
        self._text = "".join(secrets.choice(_LETTERS) for _ in range(_LINE))

    def ident(self, number: int) -> bytes:
        """Return what the message is known by."""
        return f"{self._run}.{number}".encode()

    def has_sent(self, ident: bytes) -> bool:
        """Whether an ident is one of these messages."""
        return ident.startswith(self._run.encode() + b".")

    def text(self, number: int) -> bytes:
        """Return the message."""
        head = (
            f"From: {self._sender}\r\nTo: {self._recipient}\r\nSubject: emailsys bench {number}\r\n"
            f"Date: {formatdate()}\r\nMessage-ID: <{self._run}.{number}@bench.invalid>\r\n"
        ).encode()
        lines = max(1, (self._octets - len(head)) // _LINE)
        # Some lines begin with a dot, which servers and clients add and remove (RFC 5321 §4.5.2, RFC 1939 §3).
        rows = [f"{'.' if row % 16 == 7 else ''}{number} {row} {self._text}"[: _LINE - 2] for row in range(lines)]
        return head + _IDENT + self.ident(number) + b"\r\n\r\n" + "\r\n".join(rows).encode() + b"\r\n"


def digest_of(message: bytes) -> bytes:
    """Return the digest of the body. Servers add fields to the header."""
    return hashlib.sha256(message.partition(b"\r\n\r\n")[2]).digest()


def ident_of(message: bytes) -> bytes | None:
    """Return the ident in the header; None if the message is another one."""
    for line in message.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        if line.startswith(_IDENT):
            return line[len(_IDENT) :]
    return None


def send(target: Target, messages: Messages, connections: int, each: int, outcome: Outcome) -> dict[bytes, bytes]:
    """Send the messages, and return the digests of those that were accepted."""
    left: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(messages.count):
        left.put(number)
    accepted: dict[bytes, bytes] = {}
    reverse_path = target.address if target.submits else ""

    def take() -> int | None:
        try:
            return left.get_nowait()
        except queue.Empty:
            return None

    def work() -> None:
        while (first := take()) is not None:
            began = time.perf_counter()
            try:
                with target.sender() as client:
                    for number in chain([first], islice(iter(take, None), each - 1)):
                        text = messages.text(number)
                        client.sendmail(reverse_path, [target.address], text)
                        outcome.latencies.append(time.perf_counter() - began)
                        accepted[messages.ident(number)] = digest_of(text)
                        began = time.perf_counter()
            except ERRORS as error:
                outcome.errors[words_of(error)] += 1

    threads = [threading.Thread(target=work, daemon=True) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.sent, outcome.send_seconds = messages.count, time.perf_counter() - began
    return accepted


def words_of(error: Exception) -> str:
    """Return what a server said, or what went wrong: escaped and cut, because servers may say anything."""
    said: object = error
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        [(code, text), *_] = error.recipients.values()
        said = f"{code} {text.decode('utf-8', 'replace')}"
    elif isinstance(error, smtplib.SMTPResponseException):
        reply = error.smtp_error
        said = f"{error.smtp_code} {reply.decode('utf-8', 'replace') if isinstance(reply, bytes) else reply}"
    elif error.args and isinstance(error.args[0], bytes):
        said = error.args[0].decode("utf-8", "replace")
    return repr(str(said) or type(error).__name__)[1:-1][:_MAX_WORDS]


def uids(target: Target) -> set[bytes]:
    """Return the unique ids of the maildrop."""
    client = target.reader()
    try:
        return {line.partition(b" ")[2] for line in client.uidl()[1]}
    finally:
        _quit(client)


def _quit(client: poplib.POP3) -> None:
    try:
        client.quit()
    except ERRORS:
        with suppress(OSError):
            client.close()


def wait_for(target: Target, before: set[bytes], count: int, patience: float) -> None:
    """Wait until the maildrop has that number of new messages, as long as it grows within the patience."""
    seen, until = 0, time.monotonic() + patience
    while (now := len(uids(target) - before)) < count and time.monotonic() < until:
        if now > seen:
            seen, until = now, time.monotonic() + patience
        time.sleep(_LOOK)


def fetch(
    target: Target, before: set[bytes], messages: Messages, accepted: dict[bytes, bytes], outcome: Outcome
) -> None:
    """Fetch what is new, compare it with what was accepted, and delete what this run has sent.

    A message whose acceptance the client has not heard may have arrived: it is deleted, too.
    """
    client = target.reader()
    began = time.perf_counter()
    arrived: Counter[bytes] = Counter()
    try:
        for line in client.uidl()[1]:
            number, _, uid = line.partition(b" ")
            if uid in before:
                continue
            text = b"\r\n".join(client.retr(int(number))[1]) + b"\r\n"
            ident = ident_of(text)
            if ident is None or not messages.has_sent(ident):
                continue
            client.dele(int(number))
            if ident in accepted:
                outcome.fetched += 1
                arrived[ident] += 1
                outcome.changed += digest_of(text) != accepted[ident]
        outcome.fetch_seconds = time.perf_counter() - began
    finally:
        _quit(client)
    outcome.lost = len(accepted) - len(arrived)
    outcome.doubled = sum(count - 1 for count in arrived.values())


def bench(
    target: Target,
    messages: Messages,
    connections: int,
    each: int,
    patience: float,
    tell: Callable[[str], None],
) -> Outcome:
    """Send, wait, fetch and compare.

    @raise OSError: the server cannot be reached at all.
    @raise smtplib.SMTPException: it refuses the first client.
    @raise poplib.error_proto: it refuses the login.
    """
    outcome = Outcome()
    before = uids(target)
    with target.sender():
        """The first client shows that the server lets clients in."""
    tell(f"sending {counted(messages.count, 'message')} over {counted(connections, 'connection')}")
    began = time.perf_counter()
    accepted = send(target, messages, connections, each, outcome)
    tell("waiting until they are listed")
    wait_for(target, before, len(accepted), patience)
    outcome.listed_seconds = time.perf_counter() - began
    tell("fetching and comparing them")
    fetch(target, before, messages, accepted, outcome)
    return outcome


def lines(outcome: Outcome) -> Sequence[str]:
    """Return the outcome in words."""
    found = outcome.to_json()
    latencies = ", ".join(f"{name} {outcome.percentile(part):.1f} ms" for name, part in PERCENTILES.items())
    told = [
        f"accepted   {found['accepted']} of {counted(outcome.sent, 'message')}, "
        f"{found['accepted_per_second']} a second",
        f"latency    {latencies}",
        f"listed     after {outcome.listed_seconds:.2f} s, {found['listed_per_second']} a second",
        f"fetched    {counted(outcome.fetched, 'message')}, {found['fetched_per_second']} a second",
        f"compared   {outcome.lost} lost, {outcome.changed} changed, {outcome.doubled} doubled",
    ]
    return [*told, *(f"failed     {counted(count, 'time')}: {words}" for words, count in outcome.errors.most_common(5))]
