"""SMTP and POP3 dialogues over a blocking socket, with checked replies, a transcript and recorded events."""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from emailsys.wiretap.conversation import Conversation, Direction, Event, Kind, Role
from emailsys.wiretap.masking import printable, shown_command

if TYPE_CHECKING:
    from OpenSSL import SSL

    from emailsys.cli.tryout.recorded_tls import RecordedTLS

# RFC 5321 §4.5.3.1.5 allows reply lines of 512 octets; no mail server sends this many.
_MAX_LINE: Final = 64 * 1024


class DialogueFailed(Exception):
    """The server did not answer as expected. The message quotes both sides."""


@dataclass(slots=True)
class Transcript:
    """The lines of a dialogue, each with its speaker: C the client, S the server, * a comment.

    The events are those of the wire. Passwords and the text of messages are in neither.
    """

    title: str
    protocol: str = ""
    lines: list[tuple[str, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    opened: float = 0.0
    peer: str = ""
    local: str = ""

    def conversation(self) -> Conversation:
        """Return what was recorded. Its id is the protocol."""
        events = tuple(sorted(self.events, key=lambda event: event.at))
        closed = bool(events) and events[-1].kind is Kind.CLOSED
        return Conversation(
            self.protocol, self.protocol, Role.CLIENT, self.opened, self.peer, self.local, closed=closed, events=events
        )

    def note(self, text: str) -> None:
        """Add a comment."""
        self.lines.append(("*", text))


class Dialogue:
    """One connection to a server."""

    def __init__(self, connection: socket.socket, transcript: Transcript) -> None:
        self._socket: socket.socket | RecordedTLS = connection
        self._transcript = transcript
        self._input: io.BufferedReader = connection.makefile("rb")
        self._began = time.monotonic()
        transcript.opened = time.time()
        transcript.peer, transcript.local = _shown(connection.getpeername()), _shown(connection.getsockname())
        self._event(Kind.OPENED)

    def _event(self, kind: Kind, text: str = "", direction: Direction | None = None, octets: int = 0) -> None:
        self._transcript.events.append(Event(self._elapsed(), kind, text, direction, octets))

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def start_recorded_tls(self, context: SSL.Context, name: str) -> None:
        """Negotiate TLS as `start_tls` does, and record the handshake.

        @param context: for this connection only.
        @raise DialogueFailed: the certificate is not valid, or there is no common cipher suite.
        """
        from emailsys.cli.tryout.recorded_tls import RecordedTLS, TLSFailed

        self._input.close()
        assert isinstance(self._socket, socket.socket)
        secure = RecordedTLS(self._socket, name, context, self._elapsed)
        self._socket = secure
        secure.events = self._transcript.events
        try:
            self._transcript.note(secure.shake_hands())
        except TLSFailed as error:
            raise DialogueFailed(f"TLS with {name}: {error}") from None
        self._input = io.BufferedReader(secure)

    def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Negotiate TLS and check the certificate for that name.

        @raise DialogueFailed: the certificate is not valid, or there is no common cipher suite.
        """
        # Everything received before the handshake is discarded (RFC 3207 §4.2).
        self._input.close()
        assert isinstance(self._socket, socket.socket)
        try:
            secure = context.wrap_socket(self._socket, server_hostname=name)
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise DialogueFailed(f"TLS with {name}: {error}") from None
        suite = secure.cipher()
        subject = secure.getpeercert() or {}
        issuer = dict(pair for part in subject.get("issuer", ()) for pair in part)  # type: ignore[misc]
        self._transcript.note(
            f"{secure.version()}, {suite[0] if suite else 'no cipher suite'}; "
            f"certificate for {name} checked, issued by {issuer.get('commonName', '?')}"
        )
        self._socket = secure
        self._input = secure.makefile("rb")

    def say(self, text: str, shown: str | None = None) -> None:
        """Send a line; the transcript has `shown` in place of a line with a secret."""
        self._transcript.lines.append(("C", text if shown is None else shown))
        octets = text.encode("utf-8")
        self._event(Kind.COMMAND, shown_command(octets), Direction.OUT, len(octets) + 2)
        self._socket.sendall(octets + b"\r\n")

    def send(self, octets: bytes, shown: str) -> None:
        """Send a message unchanged; the transcript has the comment `shown`."""
        self._transcript.note(shown)
        self._event(Kind.BODY, "", Direction.OUT, len(octets))
        self._socket.sendall(octets)

    def line(self) -> bytes:
        """Return the next line without its CRLF."""
        line = self._input.readline(_MAX_LINE)
        if not line.endswith(b"\r\n"):
            raise DialogueFailed(f"the server closed the connection after {self._last()!r}")
        return line[:-2]

    def reply(self, code: str) -> str:
        """Return all lines of an SMTP reply, which must have the given code.

        @raise DialogueFailed: the code is another.
        """
        lines: list[str] = []
        while True:
            line = self._reply_line()
            lines.append(line)
            if line[3:4] != "-":
                break
        if not line.startswith(code):
            raise DialogueFailed(f"after {self._last()!r} the server answered {line!r}; expected {code}")
        return "\n".join(lines)

    def ask(self, text: str, code: str, shown: str | None = None) -> str:
        """Send a line and return the reply, which must have the given code."""
        self.say(text, shown)
        return self.reply(code)

    def ok(self) -> str:
        """Return the status line of a POP3 server, which must be +OK.

        @raise DialogueFailed: the status is not +OK.
        """
        line = self._reply_line()
        if not line.startswith("+OK"):
            raise DialogueFailed(f"after {self._last()!r} the server answered {line!r}; expected +OK")
        return line

    def body(self) -> bytes:
        """Return a multi-line response without dot-stuffing (RFC 1939 §3), each line with CRLF."""
        lines: list[bytes] = []
        octets = len(b".\r\n")
        while (line := self.line()) != b".":
            octets += len(line) + 2
            lines.append(line[1:] if line.startswith(b".") else line)
        self._event(Kind.BODY, "", Direction.IN, octets)
        return b"".join(line + b"\r\n" for line in lines)

    def _reply_line(self) -> str:
        octets = self.line()
        line = octets.decode("utf-8", "replace")
        self._transcript.lines.append(("S", line))
        self._event(Kind.REPLY, printable(octets), Direction.IN, len(octets) + 2)
        return line

    def _last(self) -> str:
        return next((text for who, text in reversed(self._transcript.lines) if who == "C"), "connecting")

    def close(self) -> None:
        """Close the connection."""
        self._input.close()
        self._socket.close()
        self._event(Kind.CLOSED)


def _shown(address: object) -> str:
    """Return the address of one end of a connection; "" for one that has no port."""
    if not isinstance(address, tuple):
        return ""
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def dialogue(host: str, port: int, transcript: Transcript, timeout: float = 10.0) -> Iterator[Dialogue]:
    """Connect, and close the connection at the end.

    @param timeout: seconds for each wait.
    @raise DialogueFailed: the server does not answer, or not in time.
    """
    try:
        speaker = Dialogue(socket.create_connection((host, port), timeout), transcript)
        try:
            yield speaker
        finally:
            speaker.close()
    except OSError as error:
        raise DialogueFailed(f"{host} port {port}: {error.strerror or error}") from None
