"""Webhooks: how a message is posted to a program, and signed (Standard Webhooks 1.0)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from emailsys.mail.ip import is_loopback

if TYPE_CHECKING:
    from emailsys.mail.transmission import Transmission

# A secret that begins with this word is base64, as the libraries of Standard Webhooks write it.
_IN_BASE64: Final = "whsec_"
_MAX_URL: Final = 2000


@dataclass(frozen=True, slots=True)
class Webhook:
    """A program that gets messages by HTTP. Without a secret, its requests are not signed."""

    url: str
    secret: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        """The name of the host, or its IP address without brackets."""
        return urlsplit(self.url).hostname or ""

    def __str__(self) -> str:
        """The URL without its query, which may contain a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}"


def is_webhook(text: str) -> bool:
    """Whether the destination of a route is a URL."""
    return text.lower().startswith(("https://", "http://"))


def read_url(text: str) -> str | None:
    """Return the URL of a webhook; None if it is malformed.

    It has no login, which would be in the log, and no fragment. Without TLS, only this machine is allowed.
    """
    if len(text) > _MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.username is not None or parts.fragment:
        return None
    if parts.scheme == "https" or (parts.scheme == "http" and (host == "localhost" or is_loopback(host))):
        return text
    return None


def port_of(url: str) -> int:
    """Return the port of a URL from `read_url`."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def envelope(transmission: Transmission) -> bytes:
    """Return the envelope of a message as JSON."""
    reverse_path, parameters = transmission.reverse_path, transmission.parameters
    fields = {
        "queue_id": transmission.queue_id,
        "sender": None if reverse_path is None else str(reverse_path),
        "recipients": [str(recipient.forward_path) for recipient in transmission.recipients],
        "smtputf8": parameters.smtputf8,
    }
    return json.dumps(fields, ensure_ascii=False).encode()


def delivery_id(transmission: Transmission) -> str:
    """Return the id of a message for its recipients. It is the same at each attempt."""
    recipients = "\n".join(sorted(str(recipient.forward_path) for recipient in transmission.recipients))
    return f"{transmission.queue_id}-{hashlib.sha256(recipients.encode()).hexdigest()[:16]}"


class Signature:
    """The signature of one request, over its id, its time and its body."""

    def __init__(self, secret: str, webhook_id: str, timestamp: int) -> None:
        """@param timestamp: seconds since 1970."""
        self._hmac = hmac.new(_key(secret), f"{webhook_id}.{timestamp}.".encode(), hashlib.sha256)

    def update(self, octets: bytes) -> None:
        """Add the next octets of the body."""
        self._hmac.update(octets)

    def header(self) -> str:
        """Return the value of the field webhook-signature."""
        return "v1," + base64.b64encode(self._hmac.digest()).decode("ascii")


def _key(secret: str) -> bytes:
    if secret.startswith(_IN_BASE64):
        try:
            return base64.b64decode(secret.removeprefix(_IN_BASE64), validate=True)
        except binascii.Error:
            pass
    return secret.encode()
