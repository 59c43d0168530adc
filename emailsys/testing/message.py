"""A message as a test looks at it: its envelope, its fields, its text and HTML, its parts and links.

What reads a message is imported when a test looks into one, because importing it takes a tenth of a start's CPU time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from emailsys.mail.envelope import Envelope
from emailsys.mail.message.mailboxes import read_mailboxes

if TYPE_CHECKING:
    from email.message import EmailMessage

    from emailsys.mail.message.mime import Part

_MAX_LINKS: Final = 10_000
# Links and attachments in a summary.
_MAX_LISTED: Final = 1000


@dataclass(frozen=True, slots=True)
class MessagePart:
    """A part of a message, decoded.

    @ivar number: "1" for the message, "1.2" for its second part, and so on.
    @ivar name: the file name, "" if it has none. It is not safe to use as a path.
    """

    number: str
    content_type: str
    name: str
    content_id: str
    content: bytes
    text: str


class Message:
    """A message that arrived, exactly as its client sent it.

    @ivar id: the queue id in the reply to the client.
    @ivar envelope_from: the reverse-path (MAIL FROM); "" if it is the null reverse-path.
    @ivar envelope_to: the forward-paths (RCPT TO).
    @ivar raw: the octets, with CRLF line ends.
    @ivar login: the user name of the client's login, "" if it did not log in.
    @ivar tls: version and cipher suite, "" without TLS.
    """

    def __init__(
        self,
        id: str,
        envelope_from: str,
        envelope_to: tuple[str, ...],
        raw: bytes,
        received_at: datetime,
        login: str = "",
        tls: str = "",
    ) -> None:
        self.id = id
        self.envelope_from = envelope_from
        self.envelope_to = envelope_to
        self.raw = raw
        self.received_at = received_at
        self.login = login
        self.tls = tls

    def __repr__(self) -> str:
        return f"<Message from {self.sender or '<>'} to {', '.join(self.envelope_to)}: {self.subject!r}>"

    @cached_property
    def _root(self) -> Part:
        from emailsys.mail.message.mime import parse

        return parse(self.raw)

    @cached_property
    def email(self) -> EmailMessage:
        """The message as Python's own `email` package reads it."""
        from email import message_from_bytes, policy

        read: Any = message_from_bytes(self.raw, policy=policy.default)
        message: EmailMessage = read
        return message

    def header(self, name: str) -> str:
        """Return the first field of that name, decoded; "" if there is none."""
        return self._root.decoded_of(name)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All fields in order, decoded."""
        return [(one.name, one.decoded) for one in self._root.fields]

    @property
    def subject(self) -> str:
        """The subject, decoded; "" if there is none."""
        return self.header("Subject")

    def _addresses(self, name: str) -> list[str]:
        return [str(box.address) for box in read_mailboxes(self._root.text_of(name))]

    @property
    def sender(self) -> str:
        """The address of From. Without a usable From, the reverse-path."""
        return next(iter(self._addresses("From")), self.envelope_from)

    @property
    def to(self) -> list[str]:
        """The addresses of To."""
        return self._addresses("To")

    @property
    def cc(self) -> list[str]:
        """The addresses of Cc."""
        return self._addresses("Cc")

    @property
    def reply_to(self) -> list[str]:
        """The addresses of Reply-To."""
        return self._addresses("Reply-To")

    def _text_of(self, content_type: str) -> str:
        from emailsys.mail.message.contents import contents

        shown = contents(self._root, prefer_html=content_type == "text/html").texts
        return "\n".join(part.text()[0] for part in shown if part.content_type == content_type)

    @property
    def text(self) -> str:
        """The plain text, decoded, with LF line ends; "" if there is none. Attachments do not count."""
        return self._text_of("text/plain")

    @property
    def html(self) -> str:
        """The HTML, decoded; "" if there is none."""
        return self._text_of("text/html")

    @property
    def parts(self) -> list[MessagePart]:
        """The parts that have a body of their own, in the order of the message."""
        return [_part(one) for one in self._root.walk() if one.is_leaf]

    @property
    def attachments(self) -> list[MessagePart]:
        """The parts that a reader can save, among them pictures of the text."""
        from emailsys.mail.message.contents import contents

        return [_part(one) for one in contents(self._root).attachments]

    @property
    def links(self) -> list[str]:
        """The links of the HTML, then those of the plain text: each once, in their order."""
        from emailsys.client.opening.links import links_of

        return list(dict.fromkeys([*_html_links(self.html), *(link.target for link in links_of(self.text))]))

    def link(self, containing: str = "") -> str:
        """Return the first link that contains a text.

        @raise AssertionError: there is none. The message lists the links that there are.
        """
        found = next((link for link in self.links if containing in link), None)
        if found is None:
            raise AssertionError(f"no link with {containing!r} in {self!r}; its links: {self.links}")
        return found

    def summary(self) -> dict[str, Any]:
        """Return a JSON object for lists: envelope, sender, subject, size, links and names of attachments."""
        return {
            "id": self.id,
            "received_at": self.received_at.isoformat(),
            "envelope_from": self.envelope_from,
            "envelope_to": list(self.envelope_to),
            "from": self.sender,
            "subject": self.subject,
            "login": self.login,
            "octets": len(self.raw),
            "links": self.links[:_MAX_LISTED],
            "attachments": [part.name for part in self.attachments[:_MAX_LISTED]],
        }

    def is_to(self, name: str) -> bool:
        """Whether it was sent to an address, or, without an @, to that name in any domain."""
        name = name.lower()
        paths = [path.lower() for path in self.envelope_to]
        return name in paths if "@" in name else any(path.rpartition("@")[0] == name for path in paths)


def message_of(queue_id: str, envelope: Envelope, raw: bytes) -> Message:
    """Return a message that a server has accepted."""
    client = envelope.client
    return Message(
        queue_id,
        "" if envelope.reverse_path is None else str(envelope.reverse_path),
        tuple(str(recipient.forward_path) for recipient in envelope.recipients),
        raw,
        envelope.arrived_at,
        "" if client is None or client.account is None else str(client.account),
        "" if client is None else client.tls or "",
    )


def _part(part: Part) -> MessagePart:
    text = part.text()[0] if part.content_type.startswith("text/") else ""
    content = part.decoded()[0] if part.is_leaf else part.raw
    return MessagePart(part.number, part.content_type, part.name, part.content_id, content, text)


class _Links:
    """Receiver of the parser's events that collects the targets of links."""

    def __init__(self) -> None:
        self.found: dict[str, None] = {}

    def start_element(self, tag: str, attrs: tuple[tuple[str, str | None], ...]) -> None:
        # `prepared` renames links where there are very many.
        target = dict(attrs).get("href") if tag in ("a", "x-a", "area") else None
        if target and len(self.found) < _MAX_LINKS:
            self.found.setdefault(target.strip())

    def _ignore(self, *event: object) -> None:
        pass

    characters = end_element = comment = doctype = processing_instruction = _ignore


def _html_links(html: str) -> list[str]:
    reader = _Links()
    if html:
        from emailsys.client.text.html_parser import prepared, read

        read(prepared(html)[0], reader)
    return list(reader.found)
