"""A small client of SMTP and POP3 over a blocking socket: users of the lab, and attackers that are clients."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
from types import TracebackType
from typing import Final, Self

from emailsys.lab.base.loopback import connect
from emailsys.lab.base.values import LessonFailed
from emailsys.lab.base.view import View, printable

_MAX_LINE: Final = 65536


class Client:
    """A connection to a server on loopback.

    @param view: records the connection, if the client is the attacker; its lines are recorded in the clear.
    @param context: with one, TLS begins at once.
    """

    def __init__(self, port: int, view: View | None = None, context: ssl.SSLContext | None = None) -> None:
        self._view = view
        self._socket: socket.socket = connect(port)
        if context is not None:
            self._socket = context.wrap_socket(self._socket, server_hostname="localhost")
            if view is not None:
                view.decrypted("TLS is established")
        self._input = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        with contextlib.suppress(OSError):
            self._input.close()
            self._socket.close()
        if self._view is not None:
            self._view.close()

    def send(self, octets: bytes) -> None:
        """Sends octets unchanged."""
        if self._view is not None:
            self._view.from_client(octets)
        self._socket.sendall(octets)

    def read_line(self) -> bytes:
        """Returns the next line without its CRLF; b"" if the server has closed the connection."""
        try:
            line = self._input.readline(_MAX_LINE)
        except (ConnectionError, ssl.SSLError):
            line = b""
        if line and self._view is not None:
            self._view.from_server(line)
        return line.removesuffix(b"\r\n")

    def reply(self) -> str:
        """Returns an SMTP reply, its lines joined by LF; "" if the connection is closed."""
        lines = [self.read_line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.read_line())
        return "\n".join(map(printable, lines))

    def ask(self, command: str) -> str:
        """Sends an SMTP command and returns the reply."""
        self.send(command.encode() + b"\r\n")
        return self.reply()

    def expect(self, command: str, code: str) -> str:
        """Sends an SMTP command and returns the reply.

        @raise LessonFailed: the reply has another code.
        """
        reply = self.ask(command)
        if not reply.startswith(code):
            raise LessonFailed(f"the server answered {command.split(' ')[0]} by {reply!r}, not by {code}")
        return reply

    def status(self, command: str = "") -> str:
        """Sends a POP3 command, if there is one, and returns the first line of the response."""
        if command:
            self.send(command.encode() + b"\r\n")
        return printable(self.read_line())

    def listing(self) -> bytes:
        """Returns the rest of a POP3 response of several lines, without dot-stuffing (RFC 1939 §3)."""
        lines: list[bytes] = []
        while (line := self.read_line()) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(line + b"\r\n" for line in lines)

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Negotiates TLS.

        @raise ssl.SSLError: the certificate is not valid.
        """
        self._input.close()
        self._socket = context.wrap_socket(self._socket, server_hostname="localhost")
        self._input = self._socket.makefile("rb")
        if self._view is not None:
            self._view.decrypted("TLS is established")


def plain(user: str, password: str) -> str:
    """Returns the response of AUTH PLAIN (RFC 4616): base64 of the name and the password."""
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def submit(port: int, context: ssl.SSLContext, user: str, password: str, recipients: list[str], message: bytes) -> str:
    """Submits a message as a mail program does: STARTTLS, AUTH, then the mail. Returns the reply to the message.

    @raise LessonFailed: the server refuses something before the message.
    """
    with Client(port) as client:
        client.reply()
        client.expect("EHLO laptop.example.test", "250")
        client.expect("STARTTLS", "220")
        client.start_tls(context)
        client.expect("EHLO laptop.example.test", "250")
        client.expect(f"AUTH PLAIN {plain(user, password)}", "235")
        client.expect(f"MAIL FROM:<{user}>", "250")
        for recipient in recipients:
            client.expect(f"RCPT TO:<{recipient}>", "250")
        client.expect("DATA", "354")
        client.send(message + b".\r\n")
        reply = client.reply()
        client.ask("QUIT")
        return reply


def maildrop(port: int, context: ssl.SSLContext, user: str, password: str) -> list[bytes]:
    """Returns the messages in a maildrop, fetched over POP3S, and leaves them there.

    @raise LessonFailed: the login fails.
    """
    with Client(port, context=context) as client:
        client.status()
        client.status(f"USER {user}")
        if not (found := client.status(f"PASS {password}")).startswith("+OK"):
            raise LessonFailed(f"{user} cannot log in: {found!r}")
        listed = client.status("STAT").split(" ")
        if len(listed) < 2 or not listed[1].isdecimal():
            raise LessonFailed(f"the maildrop of {user} was closed after the login")
        count = int(listed[1])
        found_messages = []
        for number in range(1, count + 1):
            client.status(f"RETR {number}")
            found_messages.append(client.listing())
        client.status("QUIT")
        return found_messages
