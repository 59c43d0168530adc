"""The server's side of the SASL mechanisms PLAIN and LOGIN, from lines of base64 to credentials."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field
from typing import Final

# RFC 4954 §4.3, RFC 5034 §4: a line of an authentication exchange may have 12,288 octets, CRLF included.
MAX_AUTH_LINE: Final = 12288

#: In the order in which they are offered.
MECHANISMS: Final = ("PLAIN", "LOGIN")

# The prompts clients know (draft-murchison-sasl-login): "Username:" and "Password:", without a trailing NUL.
_USERNAME_PROMPT: Final = b"VXNlcm5hbWU6"
_PASSWORD_PROMPT: Final = b"UGFzc3dvcmQ6"


class SaslSyntaxError(ValueError):
    """A response is not what the mechanism asks for; the message says why, in words fit for a reply."""


class SaslCancelled(Exception):
    """The client gave up the exchange with a line of "*" (RFC 4954 §4, RFC 5034 §4)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the client says it is, and its proof. The octets are the client's, meant to be UTF-8."""

    username: bytes
    password: bytes = field(repr=False)
    #: Whom the client wants to act as; empty for itself (RFC 4616 §2).
    authzid: bytes = b""

    @property
    def acts_as_itself(self) -> bool:
        """Whether no other identity is asked for; no account of ours may act as another."""
        return not self.authzid or self.authzid.lower() == self.username.lower()


def decode_base64(text: bytes) -> bytes:
    """Decode strictly: no foreign characters, no lacking padding, nothing after it (RFC 4648 §3).

    @raise SaslSyntaxError: it is no base64.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise SaslSyntaxError("malformed base64") from None


class Exchange:
    """One authentication exchange. Feed it the initial response, if any, then lines, until it gives Credentials.

    Each call gives either the challenge to send next, in base64 (the caller writes "334 " or "+ " before it), or
    the Credentials. After an exception the exchange is over.
    """

    __slots__ = ("_username", "mechanism")

    def __init__(self, mechanism: str) -> None:
        """@param mechanism: one of MECHANISMS, in upper case."""
        self.mechanism = mechanism
        self._username: bytes | None = None

    def start(self, initial: bytes | None) -> bytes | Credentials:
        """Begin.

        @param initial: the initial response as it stands in the command, b"=" for an empty one (RFC 4954 §4,
            RFC 5034 §4), None if there was none.
        @raise SaslSyntaxError: the response is malformed.
        """
        if initial is not None:
            return self._take(b"" if initial == b"=" else decode_base64(initial))
        return b"" if self.mechanism == "PLAIN" else _USERNAME_PROMPT

    def respond(self, line: bytes) -> bytes | Credentials:
        """Take the client's next line, without CRLF.

        @raise SaslCancelled: it was "*".
        @raise SaslSyntaxError: the response is malformed.
        """
        if line == b"*":
            raise SaslCancelled
        return self._take(decode_base64(line))

    def _take(self, response: bytes) -> bytes | Credentials:
        if self.mechanism == "PLAIN":
            # RFC 4616 §2: [authzid] NUL authcid NUL passwd
            parts = response.split(b"\0")
            if len(parts) != 3:
                raise SaslSyntaxError("malformed PLAIN response")
            return Credentials(parts[1], parts[2], parts[0])
        if b"\0" in response:
            raise SaslSyntaxError("malformed LOGIN response")
        if self._username is None:
            self._username = response
            return _PASSWORD_PROMPT
        return Credentials(self._username, response)


def exchange_for(mechanism: bytes) -> Exchange | None:
    """A new exchange for a mechanism named in any case, None if we do not have it."""
    name = mechanism.decode("latin-1").upper()
    return Exchange(name) if name in MECHANISMS else None
