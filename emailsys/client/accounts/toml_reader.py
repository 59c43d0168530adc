"""Validation of accounts in a TOML document, with file, key path, and allowed values in each error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from emailsys.client.accounts.toml_document import Document, Read
from emailsys.client.accounts.values import (
    FETCH_EVERY,
    POP3_PORT,
    POP3S_PORT,
    SUBMISSION_PORT,
    SUBMISSIONS_PORT,
    Account,
    AccountError,
    Auth,
    Encrypt,
    Keep,
    KeepKind,
    Notification,
    SecretKind,
    SecretSource,
    Security,
    Server,
)
from emailsys.config.values import Unfit, a_boolean, a_count, a_file_name, a_fingerprint, a_size
from emailsys.mail.address import Address, AddressSyntaxError, parse

if TYPE_CHECKING:
    from emailsys.client.accounts.rule_values import Rule

ACCOUNT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)
_HOST: Final = re.compile(r"[^\s/:@\x00-\x20]{1,253}|[0-9A-Fa-f:.]+")
# As `emailsys.client.crypto.keys` reads it.
_KEY_ID: Final = re.compile(r"(?:0x)?(?:[0-9A-Fa-f] ?){16,64}")
_DAYS: Final = re.compile(r"([1-9][0-9]{0,3}) days?")
_ACCOUNT_KEYS: Final = (
    "address", "aliases", "display_name", "username", "secret", "keep", "max_size", "copy_to_sent", "sign",
    "encrypt", "openpgp_key", "signature", "fetch_every", "notify", "rules", "pop3", "smtp",
)  # fmt: skip
_SERVER_KEYS: Final = ("host", "port", "security", "username", "auth", "secret", "ca_file", "fingerprint")
# Default ports.
PORTS: Final[Mapping[tuple[str, Security], int]] = {
    ("pop3", Security.TLS): POP3S_PORT,
    ("pop3", Security.STARTTLS): POP3_PORT,
    ("pop3", Security.NONE): POP3_PORT,
    ("smtp", Security.TLS): SUBMISSIONS_PORT,
    ("smtp", Security.STARTTLS): SUBMISSION_PORT,
    ("smtp", Security.NONE): SUBMISSION_PORT,
}


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise Unfit("text on one line")
    return value


def _some_text(value: object) -> str:
    text = _text(value)
    if not text:
        raise Unfit("text that is not empty")
    return text


def _lines(value: object) -> str:
    if not isinstance(value, str) or not all(line.isprintable() for line in value.split("\n")):
        raise Unfit("text of one or more lines")
    return value.strip("\n")


def _address(value: object) -> Address:
    try:
        return parse(_text(value))
    except AddressSyntaxError as error:
        raise Unfit(f'an address such as "alice@example.org" ({error})') from None


def _addresses(value: object) -> tuple[Address, ...]:
    if not isinstance(value, list):
        raise Unfit('a list of addresses such as ["info@example.org"]')
    return tuple(_address(one) for one in value)


def _host(value: object) -> str:
    text = _text(value)
    if not _HOST.fullmatch(text):
        raise Unfit('the name or address of a server, such as "pop.example.org"')
    return text


def fingerprint(value: object) -> str:
    """Parse a SHA-256 fingerprint, with or without colons. @raise Unfit: the value is not a fingerprint."""
    return a_fingerprint(value) if _text(value) else ""


def keep_rule(value: object) -> Keep:
    """Parse `leave`, `delete`, or a number of days. @raise Unfit: the value is none of these."""
    match value:
        case "leave":
            return Keep()
        case "delete":
            return Keep(KeepKind.DELETE)
        case str() if found := _DAYS.fullmatch(value):
            return Keep(KeepKind.DAYS, int(found[1]))
    raise Unfit('"leave", "delete", or a time such as "14 days"')


def secret_source(value: object) -> SecretSource:
    """Parse `keyring`, `prompt`, or a table with a command or value. @raise Unfit: the value is none of these."""
    match value:
        case "keyring":
            return SecretSource(SecretKind.KEYRING)
        case "prompt":
            return SecretSource(SecretKind.PROMPT)
        case {"command": [str(), *_] as words, **rest} if not rest and all(isinstance(word, str) for word in words):
            return SecretSource(SecretKind.COMMAND, tuple(words))
        case {"value": str() as text, **rest} if text and not rest:
            return SecretSource(SecretKind.FILE, value=text)
    raise Unfit('"keyring", "prompt", or a command such as { command = ["pass", "show", "mail"] }')


def notification(value: object) -> Notification:
    """Parse `desktop`, or a table with a command. @raise Unfit: the value is none of these."""
    match value:
        case "desktop":
            return Notification()
        case {"command": [str(program), *_] as words, **rest} if program and not rest and _are_words(words):
            return Notification(tuple(words))
    raise Unfit('"desktop", or a command such as { command = ["/home/alice/bin/new-mail"] }')


def _are_words(words: list[object]) -> bool:
    return all(isinstance(word, str) and "\0" not in word for word in words)


def _always(value: object) -> bool:
    if not isinstance(value, bool) and value not in ("always", "never"):
        raise Unfit('"always" or "never"')
    return value in (True, "always")


def _encrypt(value: object) -> Encrypt:
    if isinstance(value, bool):
        # "true" could also mean "when-possible": a message that goes out readable must not be a guess.
        raise Unfit('"never", "when-possible" or "always", as text')
    found = next((one for one in Encrypt if one.value == value), None)
    if found is None:
        raise Unfit('"never", "when-possible" or "always"')
    return found


def openpgp_key(value: object) -> str:
    """Return the id of a key. @raise Unfit: it is none."""
    text = _text(value)
    if not _KEY_ID.fullmatch(text):
        raise Unfit("the fingerprint of a key, or its id of 16 digits")
    return text


def _one_of(*members: Security | Auth) -> Read:
    by_name = {member.value: member for member in members}

    def read(value: object) -> Security | Auth:
        if not isinstance(value, str) or value not in by_name:
            raise Unfit(", ".join(f'"{name}"' for name in by_name))
        return by_name[value]

    return read


def read_accounts(document: Mapping[str, Any], file: Path, text: str = "") -> tuple[dict[str, Account], str | None]:
    """Return the accounts by name, and the name of the default account.

    @param text: the text of the document, in which the lines of errors in rules are found.
    @raise AccountError: the document is invalid; the message has a line for each error.
    """
    state = Document(str(file))
    for key in document:
        if key not in ("default", "accounts"):
            state.add_error(key, document[key], "default, and tables [accounts.NAME]")
    tables = document.get("accounts", {})
    if not isinstance(tables, dict):
        state.add_error("accounts", tables, "tables [accounts.NAME]")
        tables = {}
    accounts: dict[str, Account] = {}
    for name, table in tables.items():
        path = f"accounts.{name}"
        if not ACCOUNT_NAME.fullmatch(name):
            state.add_error(path, name, "a name of letters, digits and . _ - @ +")
            continue
        account = _account(state, path, name, table, file.parent, text)
        if account is not None:
            accounts[name] = account
    default = document.get("default")
    if default is not None and default not in tables:
        state.add_error("default", default, f"the name of an account: {', '.join(tables) or 'there is none'}")
    if state.problems:
        raise AccountError("\n".join(state.problems))
    return accounts, default


def _account(state: Document, path: str, name: str, value: object, folder: Path, text: str) -> Account | None:
    table = state.table(path, value, _ACCOUNT_KEYS)
    if "address" not in table:
        state.add_missing(f"{path}.address", 'an address such as "a@example.org"')
        return None
    address = state.read(path, table, "address", _address, None)
    if address is None:
        return None
    username = state.read(path, table, "username", _some_text, str(address))
    secret = state.read(path, table, "secret", secret_source, SecretSource())

    def server(protocol: str) -> Server | None:
        if protocol not in table:
            return None
        return _server(state, f"{path}.{protocol}", protocol, table[protocol], username, secret, folder)

    rules, rule_problems = _rules(state.file, name, table, text)
    return Account(
        name=name,
        address=address,
        display_name=state.read(path, table, "display_name", _text, ""),
        pop3=server("pop3"),
        smtp=server("smtp"),
        keep=state.read(path, table, "keep", keep_rule, Keep()),
        max_octets=state.read(path, table, "max_size", a_size(1), None),
        copy_to_sent=state.read(path, table, "copy_to_sent", a_boolean, True),
        sign=state.read(path, table, "sign", _always, False),
        encrypt=state.read(path, table, "encrypt", _encrypt, Encrypt.NEVER),
        openpgp_key=state.read(path, table, "openpgp_key", openpgp_key, ""),
        aliases=state.read(path, table, "aliases", _addresses, ()),
        signature=state.read(path, table, "signature", _lines, ""),
        fetch_every=state.read(path, table, "fetch_every", a_count(0, 10_080), FETCH_EVERY),
        notify=state.read(path, table, "notify", notification, None),
        rules=rules,
        rule_problems=rule_problems,
    )


def _rules(file: str, account: str, table: Mapping[str, object], text: str) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    if "rules" not in table:
        # Most accounts have none, and each command reads the accounts.
        return (), ()
    from emailsys.client.accounts.rules_reader import read_rules

    return read_rules(file, account, table["rules"], text)


def _server(
    state: Document, path: str, protocol: str, value: object, username: str, secret: SecretSource, folder: Path
) -> Server | None:
    table = state.table(path, value, _SERVER_KEYS)
    host = state.read(path, table, "host", _host, "")
    if "host" not in table:
        state.add_missing(f"{path}.host", "the name of a server")
    security = state.read(path, table, "security", _one_of(*Security), Security.TLS)
    auths = _one_of(*Auth) if protocol == "smtp" else _one_of(Auth.PASSWORD, Auth.TOKEN)
    ca_file = state.read(path, table, "ca_file", a_file_name, None)
    return Server(
        host=host,
        port=state.read(path, table, "port", a_count(1, 65535), PORTS[protocol, security]),
        security=security,
        username=state.read(path, table, "username", _some_text, username),
        auth=state.read(path, table, "auth", auths, Auth.PASSWORD),
        secret=state.read(path, table, "secret", secret_source, secret),
        ca_file=None if ca_file is None else folder / Path(ca_file).expanduser(),
        fingerprint=state.read(path, table, "fingerprint", fingerprint, ""),
    )
