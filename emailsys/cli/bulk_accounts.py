"""Accounts and domains from a file: the fields of their lines, and hashing with all processors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Final

from emailsys.cli.bulk import Line, LineError, add_rows, address_in, read_file
from emailsys.cli.options import Places, Refused
from emailsys.cli.output import Progress
from emailsys.cli.password import min_password_length, new_credentials
from emailsys.control.requests import DomainAddMany, UserAddMany
from emailsys.mail.address import is_mail_domain
from emailsys.mail.quantities import counted

_ACCOUNT_FIELDS: Final = ("address", "password", "hash")
_DOMAIN_FIELDS: Final = ("name", "postmaster")
# An address, then a space before a password, a colon as in Dovecot's passwd-file, or a bar as in the accounts file of
# docker-mailserver.
_ACCOUNT_LINE: Final = re.compile(r"\s*([^\s:@]+@[^\s:|]+|[^\s:]+)(\s+|:\s*|\|)(.*)", re.DOTALL)
# A hash with the name of its scheme, as Dovecot writes it, or one of crypt(3). An unknown scheme of crypt(3) matches,
# too, and is refused later: stored as a password, such a hash would let in everyone who can read the old file.
_HASH: Final = re.compile(r"\{([A-Za-z0-9.-]+)\}.+|\$[A-Za-z0-9_-]+\$.+")
# Hashes that have no name: unsalted MD5 and SHA in hexadecimal digits, and those of crypt(3) with DES. The latter look
# like words, so they are hashes only in the lines of a passwd-file.
_HEX_HASH: Final = re.compile(r"\*?(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128})")
_DES_HASH: Final = re.compile(r"[./0-9A-Za-z]{13}|_[./0-9A-Za-z]{19}")
_PLAIN: Final = ("PLAIN", "CLEAR", "CLEARTEXT")


def add_accounts(where: Places, file: BinaryIO, as_json: bool) -> int:
    """Add the accounts of a file, and report them. Returns the exit status."""
    lines = read_file(file, _ACCOUNT_FIELDS, _split_account)
    min_length = min_password_length(where)
    progress = Progress(as_json)

    def row(fields: Mapping[str, str]) -> tuple[Any, ...]:
        return _account_row(fields, min_length)

    # argon2 releases the interpreter's lock, so that each thread keeps one processor busy.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, _ in enumerate(pool.map(lambda line: line.apply(row), lines), 1):
            progress.tell(f"{number} of {counted(len(lines), 'password')} hashed")
    progress.tell("")
    return add_rows(where, lines, UserAddMany, "account", as_json)


def add_domains(where: Places, file: BinaryIO, as_json: bool) -> int:
    """Add the domains of a file, and report them. Returns the exit status."""
    lines: list[Line] = [line.apply(_domain_row) for line in read_file(file, _DOMAIN_FIELDS, _split_domain)]
    return add_rows(where, lines, DomainAddMany, "domain", as_json)


def _split_account(text: str) -> dict[str, str]:
    found = _ACCOUNT_LINE.fullmatch(text)
    if found is None:
        raise LineError("found one word; allowed: an address, a space, and a password or a hash")
    address, separator, secret = found.groups()
    hashed = _HASH.fullmatch(secret)
    is_passwd = separator.startswith((":", "|"))
    end = separator[:1]
    if hashed is None:
        first = secret.partition(end)[0] if is_passwd else secret
        if _HEX_HASH.fullmatch(first) or (is_passwd and _DES_HASH.fullmatch(first)):
            raise LineError(
                f"{address}: this looks like a hash of DES, or of MD5 or SHA without salt, which are not accepted: "
                "set a new password. If it is the password itself, write {PLAIN} before it"
            )
        return {"address": address, "password": secret}
    if is_passwd:
        # Further fields, such as the user id, follow after another separator.
        secret = secret.partition(end)[0]
    if (hashed[1] or "").upper() in _PLAIN:
        return {"address": address, "password": secret.partition("}")[2]}
    return {"address": address, "hash": secret}


def _account_row(fields: Mapping[str, str], min_length: int) -> tuple[Any, ...]:
    from emailsys.passwords import PasswordError, import_hash

    address = address_in(fields, "address")
    if ("password" in fields) == ("hash" in fields):
        raise LineError("either a password or a hash is required")
    try:
        if "hash" in fields:
            return address, tuple(import_hash(fields["hash"]))
        return address, tuple(new_credentials(address, fields["password"], min_length))
    except Refused as error:
        raise LineError(f"{address}: {error.message}") from None
    except PasswordError as error:
        raise LineError(f"{address}: {error}") from None


def _split_domain(text: str) -> dict[str, str]:
    words = text.split()
    if len(words) != len(_DOMAIN_FIELDS):
        raise LineError(
            f"found {counted(len(words), 'word')}; allowed: a domain name, a space, and the address of its postmaster"
        )
    return dict(zip(_DOMAIN_FIELDS, words, strict=True))


def _domain_row(fields: Mapping[str, str]) -> tuple[Any, ...]:
    name = fields.get("name", "")
    if not is_mail_domain(name):
        raise LineError(f"{name!r} is not a domain name; examples: example.org, grün.example")
    return name, address_in(fields, "postmaster")
