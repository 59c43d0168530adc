"""Replacement of one account in a TOML text, which leaves the rest of the text unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from emailsys.client.accounts.toml_reader import PORTS
from emailsys.client.accounts.values import (
    FETCH_EVERY,
    Account,
    Auth,
    Encrypt,
    Keep,
    KeepKind,
    SecretKind,
    SecretSource,
    Server,
)
from emailsys.client.archive.values import SPAM
from emailsys.config.values import shown_size
from emailsys.mail.address import Address

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADING: Final = re.compile(
    r"""\s*\[\[?\s*(?P<first>[A-Za-z0-9_-]+)"""
    r"""(?:\s*\.\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[A-Za-z0-9_-]+)|'(?P<literal>[^']*)'))?"""
    r"""(?:\s*\.\s*"?(?P<third>[A-Za-z0-9_-]+))?"""
)
_DEFAULT: Final = re.compile(r"\s*default\s*=")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else f'"{name}"'


def _string(text: str) -> str:
    # JSON strings are valid TOML except for DEL, which no accepted value contains.
    return json.dumps(text, ensure_ascii=False)


def _secret(source: SecretSource) -> str:
    if source.kind is SecretKind.COMMAND:
        return "{ command = [" + ", ".join(_string(word) for word in source.command) + "] }"
    if source.kind is SecretKind.FILE:
        return "{ value = " + _string(source.value) + " }"
    return _string(source.kind.value)


def _keep(keep: Keep) -> str:
    return f'"{keep.days} days"' if keep.kind is KeepKind.DAYS else f'"{keep.kind.value}"'


def _server_lines(account: Account, protocol: str, server: Server) -> Iterator[str]:
    yield f"[accounts.{_key(account.name)}.{protocol}]"
    yield f"host = {_string(server.host)}"
    if server.port != PORTS[protocol, server.security]:
        yield f"port = {server.port}"
    yield f"security = {_string(server.security.value)}"
    if server.username != str(account.address):
        yield f"username = {_string(server.username)}"
    if server.auth is not Auth.PASSWORD:
        yield f"auth = {_string(server.auth.value)}"
    if server.secret != SecretSource():
        yield f"secret = {_secret(server.secret)}"
    if server.ca_file is not None:
        yield f"ca_file = {_string(str(server.ca_file))}"
    if server.fingerprint:
        yield f"fingerprint = {_string(server.fingerprint)}"


def _account_lines(account: Account) -> Iterator[str]:
    yield f"[accounts.{_key(account.name)}]"
    yield f"address = {_string(str(account.address))}"
    if account.aliases:
        yield "aliases = [" + ", ".join(_string(str(one)) for one in account.aliases) + "]"
    if account.display_name:
        yield f"display_name = {_string(account.display_name)}"
    yield f"keep = {_keep(account.keep)}"
    if account.max_octets is not None:
        yield f"max_size = {shown_size(account.max_octets)}"
    if not account.copy_to_sent:
        yield "copy_to_sent = false"
    if account.sign:
        yield 'sign = "always"'
    if account.encrypt is not Encrypt.NEVER:
        yield f"encrypt = {_string(account.encrypt.value)}"
    if account.openpgp_key:
        yield f"openpgp_key = {_string(account.openpgp_key)}"
    if account.signature:
        yield f"signature = {_string(account.signature)}"
    if account.fetch_every != FETCH_EVERY:
        yield f"fetch_every = {account.fetch_every}"
    if account.notify is not None:
        command = ", ".join(_string(word) for word in account.notify.command)
        yield f"notify = {{ command = [{command}] }}" if command else 'notify = "desktop"'
    for protocol, server in (("pop3", account.pop3), ("smtp", account.smtp)):
        if server is not None:
            yield ""
            yield from _server_lines(account, protocol, server)


def _is_of(line: str, name: str) -> bool | None:
    """Whether a line starts a table of that account; None if it starts no table."""
    found = _HEADING.match(line)
    if found is None:
        return None
    second = next((found[group] for group in ("quoted", "bare", "literal") if found[group] is not None), None)
    return found["first"] == "accounts" and second == name


def _rules(text: str, name: str) -> str:
    """Return the rules of an account as they are written, with the comments above each."""
    rules: list[str] = []
    above: list[str] = []
    is_rule = False
    for line in text.splitlines(keepends=True):
        of_account = _is_of(line, name)
        if of_account is not None:
            found = _HEADING.match(line)
            is_rule = of_account and found is not None and found["third"] == "rules"
        elif not is_rule and (not line.strip() or line.lstrip().startswith("#")):
            above.append(line)
            continue
        if is_rule:
            rules += [*above, line]
        above = []
    return "".join(rules)


def without_account(text: str, name: str) -> tuple[str, str]:
    """Remove an account's tables. Return the text before and after the first of them."""
    before: list[str] = []
    after: list[str] = []
    has_found = inside = False
    for line in text.splitlines(keepends=True):
        of_account = _is_of(line, name)
        if of_account is not None:
            inside = of_account
            has_found = has_found or of_account
        if not inside:
            (after if has_found else before).append(line)
    return "".join(before), "".join(after)


def with_account(text: str, account: Account) -> str:
    """Return the text with the account's tables in place of the old ones, or at the end. Rules stay as written."""
    rules = _rules(text, account.name)
    before, after = without_account(text, account.name)
    written = "\n".join(_account_lines(account)) + "\n"
    if rules:
        written += "\n" + rules.strip("\n") + "\n"
    if before and not before.endswith("\n\n"):
        before += "\n" if before.endswith("\n") else "\n\n"
    return before + written + ("\n" + after if after else "")


def with_spam_rule(text: str, name: str, sender: Address) -> str:
    """Return the text with one more rule of an account: messages from an address go to Spam."""
    rule = f"[[accounts.{_key(name)}.rules]]\nfrom = {_string(str(sender))}\nfolder = {_string(SPAM)}\n"
    return f"{text.rstrip()}\n\n{rule}"


def with_default(text: str, name: str | None) -> str:
    """Return the text with another default account, or none."""
    lines = text.splitlines(keepends=True)
    first_table = next((at for at, line in enumerate(lines) if _HEADING.match(line)), len(lines))
    head = [line for line in lines[:first_table] if not _DEFAULT.match(line)]
    new = [f"default = {_string(name)}\n"] if name is not None else []
    gap = ["\n"] if new and not head and lines[first_table:] else []
    return "".join([*new, *gap, *head, *lines[first_table:]])
