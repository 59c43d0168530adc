"""Server side of SASL: the table of mechanisms, and one authentication exchange from lines to credentials."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

# RFC 4954 §4.3, RFC 5034 §4: a line of an authentication exchange may have 12,288 octets, CRLF included.
MAX_AUTH_LINE: Final = 12288

AnswerT = TypeVar("AnswerT")


class SaslSyntaxError(ValueError):
    """A response is not what the mechanism requires; the message says why, in words that fit into a reply."""


class SaslCancelled(Exception):
    """The client cancelled the exchange with a line of "*" (RFC 4954 §4, RFC 5034 §4)."""


class Challenge(bytes):
    """A challenge to send to the client, in base64. The protocol writes "334 " or "+ " in front of it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class NeedsSecret:
    """The mechanism needs the secret that is stored for an account under a scheme."""

    account: bytes
    scheme: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """The name that the client claims, and its proof. The octets are the client's, meant to be UTF-8."""

    username: bytes
    #: Empty where the mechanism verifies the proof itself.
    password: bytes = field(default=b"", repr=False)
    #: The identity that the client wants to act as; empty for its own (RFC 4616 §2).
    authzid: bytes = b""
    #: Whether the proof held, where the mechanism has verified it; None if the password is still to be checked.
    proven: bool | None = None

    @property
    def acts_as_itself(self) -> bool:
        """Whether the client asks for its own identity. No account may act as another."""
        return not self.authzid or self.authzid.lower() == self.username.lower()


#: What an exchange yields: a line for the client, a question for the directory, or its result.
Step = Challenge | NeedsSecret | Credentials


class _Await(Generic[AnswerT]):
    """Hands a step to the caller of the exchange and waits for the answer."""

    __slots__ = ("_step",)

    def __init__(self, step: Challenge | NeedsSecret) -> None:
        self._step = step

    def __await__(self) -> Generator[Any, AnswerT, AnswerT]:
        return (yield self._step)


def ask(octets: bytes) -> _Await[bytes]:
    """Await the client's response to a challenge, both without base64."""
    return _Await(Challenge(binascii.b2a_base64(octets, newline=False)))


def secret_of(account: bytes, scheme: str) -> _Await[str | None]:
    """Await the stored secret of an account.

    It is None if there is none. The mechanism then goes on with a made-up secret: the client must not learn which
    accounts exist.
    """
    return _Await(NeedsSecret(account, scheme))


#: A mechanism takes the initial response, None if there was none, and awaits nothing but `ask` and `secret_of`.
Mechanism = Callable[[bytes | None], Coroutine[Any, Any, Credentials]]
#: Mechanisms by name in upper case, in the order in which they are offered.
Mechanisms = Mapping[str, Mechanism]


async def plain(initial: bytes | None) -> Credentials:
    """PLAIN (RFC 4616 §2): [authzid] NUL authcid NUL passwd."""
    response = await ask(b"") if initial is None else initial
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise SaslSyntaxError("malformed PLAIN response")
    return Credentials(parts[1], parts[2], parts[0])


async def login(initial: bytes | None) -> Credentials:
    """LOGIN (draft-murchison-sasl-login), with the prompts that clients know, without a trailing NUL."""
    username = await ask(b"Username:") if initial is None else initial
    if b"\0" in username:
        raise SaslSyntaxError("malformed LOGIN response")
    password = await ask(b"Password:")
    if b"\0" in password:
        raise SaslSyntaxError("malformed LOGIN response")
    return Credentials(username, password)


#: The mechanisms that every service offers. SMTP and POP3 offer and run whatever stands here. If a mechanism awaits a
#: stored secret, `emailsys.passwords.make_credentials` must make that secret for each new password.
MECHANISMS: Final[Mechanisms] = MappingProxyType({"PLAIN": plain, "LOGIN": login})


def decode_base64(text: bytes) -> bytes:
    """Decode strictly: no foreign characters, no lacking padding, nothing after it (RFC 4648 §3).

    @raise SaslSyntaxError: it is no base64.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise SaslSyntaxError("malformed base64") from None


class Exchange:
    """One authentication exchange.

    Begin it with `start`. Answer each Challenge by `respond` and each NeedsSecret by `know`, until it yields
    Credentials. After Credentials or an exception the exchange is over.
    """

    __slots__ = ("_course", "_mechanism")

    def __init__(self, mechanism: Mechanism) -> None:
        self._mechanism = mechanism
        self._course: Coroutine[Any, Any, Credentials] | None = None

    def start(self, initial: bytes | None) -> Step:
        """Begin.

        @param initial: the initial response as it stands in the command, b"=" for an empty one (RFC 4954 §4,
            RFC 5034 §4), None if there was none.
        @raise SaslSyntaxError: the response is malformed.
        """
        octets = initial if initial is None else b"" if initial == b"=" else decode_base64(initial)
        self._course = self._mechanism(octets)
        return self._resume(None)

    def respond(self, line: bytes) -> Step:
        """Take the client's next line, without CRLF.

        @raise SaslCancelled: it was "*".
        @raise SaslSyntaxError: the response is malformed.
        """
        if line == b"*":
            raise SaslCancelled
        return self._resume(decode_base64(line))

    def know(self, secret: str | None) -> Step:
        """Take the stored secret, None if there is none.

        @raise SaslSyntaxError: the response before it is malformed after all.
        """
        return self._resume(secret)

    def _resume(self, answer: bytes | str | None) -> Step:
        assert self._course is not None
        try:
            step: Step = self._course.send(answer)
        except StopIteration as ended:
            credentials: Credentials = ended.value
            return credentials
        return step


def exchange_for(name: bytes, mechanisms: Mechanisms = MECHANISMS) -> Exchange | None:
    """Returns a new exchange for a mechanism named in any case, None if it is not in the table."""
    mechanism = mechanisms.get(name.decode("latin-1").upper())
    return None if mechanism is None else Exchange(mechanism)
