"""Grammar of SMTP commands: parses a line into a verb and its arguments, or into the reply that rejects it."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from emailsys.mail import reply as replies
from emailsys.mail.address import MAX_PATH, Address, AddressSyntaxError, parse_foreign
from emailsys.mail.dsn_request import (
    NOTHING_ASKED,
    NOTHING_ASKED_FOR_RECIPIENT,
    DSNParameterError,
    MessageRequest,
    Notify,
    OriginalRecipient,
    RecipientRequest,
    Return,
    parse_envid,
    parse_notify,
    parse_orcpt,
    parse_ret,
)
from emailsys.mail.envelope import NO_PARAMETERS, BodyType, MailParameters
from emailsys.mail.reply import Reply

# Control octets in a command. A tab is accepted as white space, which people take it for.
_CONTROL: Final = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]")

# RFC 5321 §4.1.2: a path in angle brackets, which a quoted ">" does not end, then parameters. White space after the
# colon is accepted because people type it.
_PATH: Final = rb"[ \t]*<((?:[^\">]|\"(?:[^\"\\]|\\.)*\")*)>(?:[ \t]+(.*))?"
_MAIL: Final = re.compile(rb"FROM:" + _PATH, re.IGNORECASE | re.DOTALL)
_RCPT: Final = re.compile(rb"TO:" + _PATH, re.IGNORECASE | re.DOTALL)
# RFC 5321 §4.1.2 A-d-l: parsed and ignored (§3.6.1, appendix F.2).
_SOURCE_ROUTE: Final = re.compile(r"@[^@,: ]+(?:,@[^@,: ]+)*:")
# RFC 5321 §4.1.2 esmtp-param. RFC 6531 §3.3 allows UTF-8 in values.
_PARAMETER: Final = re.compile(rb"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=([!-<>-~\x80-\xff]+))?")
# RFC 1870 §6.1: up to 20 digits.
_SIZE: Final = re.compile(rb"[0-9]{1,20}")
# RFC 3461 §4 xtext, as RFC 4954 §5 uses it.
_XTEXT: Final = re.compile(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_CHUNK: Final = re.compile(rb"([0-9]{1,20})(?:[ \t]+(LAST))?", re.IGNORECASE)

_BODY_TYPES: Final = {b"7BIT": BodyType.SEVEN_BIT, b"8BITMIME": BodyType.EIGHT_BIT_MIME}
_MAX_HELLO: Final = 255


class MailArguments(NamedTuple):
    """Arguments of MAIL: the reverse-path, None for the null reverse-path, and the parameters."""

    reverse_path: Address | None
    #: The message size that the client declares, in octets: an estimate (RFC 1870 §6.2).
    size: int | None = None
    parameters: MailParameters = NO_PARAMETERS


class RcptArguments(NamedTuple):
    """Arguments of RCPT: the forward-path and the parameters. A bare <postmaster> has an empty domain."""

    forward_path: Address
    dsn: RecipientRequest = NOTHING_ASKED_FOR_RECIPIENT


class Chunk(NamedTuple):
    """Arguments of BDAT: the number of octets that follow, and whether this is the last chunk."""

    octets: int
    last: bool


def split_command(line: bytes) -> tuple[str, bytes] | Reply:
    """Returns the verb in upper case, and the rest without surrounding white space (RFC 5321 §2.4, §4.1.1)."""
    if _CONTROL.search(line):
        return replies.NOT_TEXT
    verb, _, rest = line.partition(b" ")
    if b"\t" in verb:
        verb, _, rest = line.partition(b"\t")
    if not verb:
        return replies.EMPTY_LINE if not line.strip() else replies.UNKNOWN_COMMAND
    return verb.decode("ascii", "replace").upper(), rest.strip()


def parse_hello(argument: bytes) -> str | Reply:
    """Returns the name of the client, one word.

    It need not be a domain: RFC 5321 §4.1.4 forbids refusing a client for its name.
    """
    name = argument.decode("utf-8", "replace")
    if not name or len(argument) > _MAX_HELLO or " " in name or "\t" in name:
        return replies.HELLO_SYNTAX
    return name


def _parameters(text: bytes | None) -> dict[bytes, bytes | None] | Reply:
    """Returns the parameters by upper-case keyword."""
    found: dict[bytes, bytes | None] = {}
    for word in text.split() if text else ():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            return replies.BAD_PARAMETER_VALUE
        keyword = match[1].upper()
        if keyword in found:
            return replies.BAD_PARAMETER_VALUE
        found[keyword] = match[2]
    return found


def _without_route(path: bytes) -> str:
    """Returns the mailbox of a path.

    @raise AddressSyntaxError: the path is too long or not UTF-8, or its source route is malformed.
    """
    # RFC 5321 §4.5.3.1.3: the limit includes the angle brackets and the source route.
    if len(path) > MAX_PATH - 2:
        raise AddressSyntaxError(f"path longer than {MAX_PATH} octets")
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        raise AddressSyntaxError("address is not UTF-8") from None
    if text.startswith("@"):
        route = _SOURCE_ROUTE.match(text)
        if route is None:
            raise AddressSyntaxError("malformed source route")
        text = text[route.end() :]
    return text


def parse_mail(argument: bytes) -> MailArguments | Reply:
    """Parse the arguments of MAIL (RFC 5321 §4.1.1.2): SIZE, BODY, SMTPUTF8, RET and ENVID. AUTH is ignored."""
    match = _MAIL.fullmatch(argument)
    if match is None:
        return replies.MAIL_SYNTAX
    reverse_path: Address | None = None
    if match[1]:
        try:
            reverse_path = parse_foreign(_without_route(match[1]))
        except AddressSyntaxError as error:
            return replies.bad_sender(str(error))
    arguments = _with_mail_parameters(reverse_path, match[2]) if match[2] else MailArguments(reverse_path)
    if isinstance(arguments, Reply):
        return arguments
    if reverse_path is not None and not arguments.parameters.smtputf8 and not reverse_path.is_ascii:
        return replies.NEEDS_SMTPUTF8
    return arguments


def _with_mail_parameters(reverse_path: Address | None, text: bytes) -> MailArguments | Reply:
    parameters = _parameters(text)
    if isinstance(parameters, Reply):
        return parameters
    size: int | None = None
    body, smtputf8 = BodyType.SEVEN_BIT, False
    ret: Return | None = None
    envid: str | None = None
    for keyword, value in parameters.items():
        if keyword == b"SIZE":
            if value is None or not _SIZE.fullmatch(value):
                return replies.BAD_PARAMETER_VALUE
            size = int(value)
        elif keyword == b"BODY":
            if value is None or value.upper() not in _BODY_TYPES:
                return replies.BAD_PARAMETER_VALUE
            body = _BODY_TYPES[value.upper()]
        elif keyword == b"SMTPUTF8":
            # RFC 6531 §3.4: the parameter has no value.
            if value is not None:
                return replies.BAD_PARAMETER_VALUE
            smtputf8 = True
        elif keyword == b"AUTH":
            # RFC 4954 §5: no client is trusted to name the original sender, so any value is treated as AUTH=<>.
            if value is None or (value != b"<>" and not _XTEXT.fullmatch(value)):
                return replies.BAD_PARAMETER_VALUE
        elif keyword in (b"RET", b"ENVID"):
            # RFC 3461 §4.3, §4.4.
            try:
                if keyword == b"RET":
                    ret = parse_ret(_text(value))
                else:
                    envid = parse_envid(_text(value))
            except DSNParameterError as error:
                return replies.bad_parameter(str(error))
        else:
            return replies.UNKNOWN_PARAMETER
    dsn = NOTHING_ASKED if ret is None and envid is None else MessageRequest(ret, envid)
    return MailArguments(reverse_path, size, MailParameters(body, smtputf8, dsn))


def _text(value: bytes | None) -> str:
    """Returns a parameter's value.

    @raise DSNParameterError: the value is missing or not UTF-8.
    """
    if value is None:
        raise DSNParameterError("a parameter without its value")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise DSNParameterError("a parameter's value is not UTF-8") from None


def parse_rcpt(argument: bytes) -> RcptArguments | Reply:
    """Parse the arguments of RCPT (RFC 5321 §4.1.1.3): NOTIFY and ORCPT (RFC 3461)."""
    match = _RCPT.fullmatch(argument)
    if match is None:
        return replies.RCPT_SYNTAX
    dsn = NOTHING_ASKED_FOR_RECIPIENT
    if match[2]:
        parameters = _parameters(match[2])
        if isinstance(parameters, Reply):
            return parameters
        asked = _recipient_request(parameters)
        if isinstance(asked, Reply):
            return asked
        dsn = asked
    try:
        text = _without_route(match[1])
        path = Address(text, "") if text.lower() == "postmaster" else parse_foreign(text)
    except AddressSyntaxError as error:
        return replies.bad_recipient(str(error))
    return RcptArguments(path, dsn)


def _recipient_request(parameters: dict[bytes, bytes | None]) -> RecipientRequest | Reply:
    notify: Notify | None = None
    orcpt: OriginalRecipient | None = None
    for keyword, value in parameters.items():
        try:
            if keyword == b"NOTIFY":
                notify = parse_notify(_text(value))
            elif keyword == b"ORCPT":
                orcpt = parse_orcpt(_text(value))
            else:
                return replies.UNKNOWN_PARAMETER
        except DSNParameterError as error:
            return replies.bad_parameter(str(error))
    return RecipientRequest(notify, orcpt)


def parse_bdat(argument: bytes) -> Chunk | None:
    """Parse the arguments of BDAT (RFC 3030 §2). Returns None if they are malformed."""
    match = _CHUNK.fullmatch(argument)
    return None if match is None else Chunk(int(match[1]), match[2] is not None)


@dataclass(frozen=True, slots=True)
class PasswordChange:
    """The arguments of XPASSWORD: the old and the new password, as octets."""

    old: bytes = field(repr=False)
    new: bytes = field(repr=False)


def parse_password_change(argument: bytes) -> PasswordChange | Reply:
    """Parse XPASSWORD: two words in base64."""
    words = argument.split()
    try:
        old, new = (base64.b64decode(word, validate=True) for word in words)
    except ValueError:
        return replies.PASSWORD_SYNTAX
    return PasswordChange(old, new) if old and new else replies.PASSWORD_SYNTAX
