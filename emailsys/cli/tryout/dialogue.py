"""SMTP and POP3 dialogues over a blocking socket, with checked replies and a transcript."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

# RFC 5321 §4.5.3.1.5 allows reply lines of 512 octets; no mail server sends this many.
_MAX_LINE: Final = 64 * 1024


class DialogueFailed(Exception):
    """The server did not answer as expected. The message quotes both sides."""


@dataclass(slots=True)
class Transcript:
    """The lines of a dialogue, each with its speaker: C the client, S the server, * a comment."""

    title: str
    lines: list[tuple[str, str]] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a comment."""
        self.lines.append(("*", text))


class Dialogue:
    """One connection to a server."""

    def __init__(self, connection: socket.socket, transcript: Transcript) -> None:
        self._socket = connection
        self._transcript = transcript
        self._input = connection.makefile("rb")

    def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Negotiate TLS and check the certificate for that name.

        @raise DialogueFailed: the certificate is not valid, or there is no common cipher suite.
        """
        # Everything received before the handshake is discarded (RFC 3207 §4.2).
        self._input.close()
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
        self._socket.sendall(text.encode("utf-8") + b"\r\n")

    def send(self, octets: bytes, shown: str) -> None:
        """Send octets unchanged; the transcript has the comment `shown`."""
        self._transcript.note(shown)
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
            line = self.line().decode("utf-8", "replace")
            self._transcript.lines.append(("S", line))
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
        line = self.line().decode("utf-8", "replace")
        self._transcript.lines.append(("S", line))
        if not line.startswith("+OK"):
            raise DialogueFailed(f"after {self._last()!r} the server answered {line!r}; expected +OK")
        return line

    def body(self) -> bytes:
        """Return a multi-line response without dot-stuffing (RFC 1939 §3), each line with CRLF."""
        lines: list[bytes] = []
        while (line := self.line()) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(line + b"\r\n" for line in lines)

    def _last(self) -> str:
        return next((text for who, text in reversed(self._transcript.lines) if who == "C"), "connecting")

    def close(self) -> None:
        """Close the connection."""
        self._input.close()
        self._socket.close()


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
