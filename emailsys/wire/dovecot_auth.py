"""Dovecot's authentication protocol, without I/O: a client's lines, and the server's (Dovecot 2.0 to 2.4)."""

from __future__ import annotations

import re
from binascii import b2a_base64
from typing import Final, NamedTuple

#: Octets of a line of the server, its end included.
MAX_LINE: Final = 8192
# The version that the client speaks. Servers of the same first number understand each other.
_MAJOR: Final = b"1"
_ESCAPED: Final = re.compile(rb"\x01(.)", re.DOTALL)
_MEANING: Final = {b"0": b"\0", b"1": b"\x01", b"t": b"\t", b"r": b"\r", b"n": b"\n"}


class DovecotError(ValueError):
    """What a server has sent breaks the protocol."""


class Verdict(NamedTuple):
    """The answer to a login.

    @ivar is_right: whether the password is right and the user may log in; None if the server cannot check it now.
    @ivar user: the user's name, which the server may have changed.
    """

    is_right: bool | None
    user: bytes


def hello(client: int) -> bytes:
    """Return the first lines of a client.

    @param client: a number that no other client of the server has.
    """
    return b"VERSION\t1\t1\nCPID\t%d\n" % client


def login(name: bytes, password: bytes, ip: str, service: str) -> bytes:
    """Return the request to check a password, by SASL PLAIN (RFC 4616). Its number is 1.

    @raise ValueError: the name or the password has a NUL, which PLAIN cannot carry.
    """
    if b"\0" in name or b"\0" in password:
        raise ValueError("NUL in a name or a password")
    response = b2a_base64(b"\0%b\0%b" % (name, password), newline=False)
    client = b"\trip=%b" % ip.encode() if ip else b""
    # "secured": the way to the client was checked before, so a password in the clear is allowed. "no-penalty": failed
    # logins are counted and delayed here; the server's delay of up to 15 s would keep other logins waiting.
    return b"AUTH\t1\tPLAIN\tservice=%b\tsecured\tno-penalty%b\tresp=%b\n" % (service.encode(), client, response)


def ends_hello(line: bytes) -> bool:
    """Return whether a line of the server is the last one of its greeting.

    @raise DovecotError: the server speaks another version.
    """
    command, *values = line.split(b"\t")
    if command == b"VERSION" and values[:1] != [_MAJOR]:
        raise DovecotError("the server speaks another version of the protocol")
    return command == b"DONE"


def verdict(line: bytes) -> Verdict:
    """Read the answer to the login.

    @raise DovecotError: it is none.
    """
    command, number, *values = (*line.split(b"\t"), b"")
    if number != b"1" or command not in (b"OK", b"FAIL"):
        raise DovecotError(f"{line[:80]!r} is no answer to the login")
    told = dict(value.partition(b"=")[::2] for value in values)
    user = _ESCAPED.sub(lambda found: _MEANING.get(found[1], found[1]), told.get(b"user", b""))
    if command == b"OK":
        # Dovecot adds `nologin` if the password is right, and the passdb says that the user may not log in.
        return Verdict(b"nologin" not in told, user)
    return Verdict(None if b"temp" in told or told.get(b"code") == b"temp_fail" else False, user)
