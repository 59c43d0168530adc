"""Carry out an administrative request, a JSON object, on the accounts, and answer with a JSON object."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from twisted.python.failure import Failure

from emailsys.interfaces import AdminError, IAccounts, StoreError
from emailsys.mail.address import Address, is_domain
from emailsys.telemetry import Telemetry

Request = Mapping[str, Any]
Answer = dict[str, Any]

# Kinds of errors in an answer.
MALFORMED: Final = "malformed"
REFUSED: Final = "refused"
BUSY: Final = "busy"
DEFECT: Final = "defect"


class MalformedRequest(Exception):
    """The request is none; the message names the field, what was found and what is allowed."""


class _Fields:
    """The fields of a request, each taken once; what is left is an error."""

    def __init__(self, request: Request) -> None:
        self._left = dict(request)

    def _take(self, name: str, allowed: str, fits: Callable[[Any], bool], secret: bool = False) -> Any:
        value = self._left.pop(name, None)
        if not fits(value):
            found = "something else" if secret else repr(value)
            raise MalformedRequest(f"{name}: found {found}; allowed: {allowed}")
        return value

    def text(self, name: str) -> str:
        """A string that is not empty."""
        value: str = self._take(name, "a string", lambda value: isinstance(value, str) and bool(value))
        return value

    def domain(self, name: str) -> str:
        """A domain name; an address literal is none."""
        value: str = self._take(
            name, "a domain name, such as example.org", lambda value: isinstance(value, str) and is_domain(value)
        )
        return value

    def text_or_none(self, name: str) -> str | None:
        """A string, or null."""
        value: str | None = self._take(name, "a string or null", lambda value: value is None or isinstance(value, str))
        return value

    def flag(self, name: str) -> bool:
        """true or false."""
        value: bool = self._take(name, "true or false", lambda value: isinstance(value, bool))
        return value

    def address(self, name: str) -> Address:
        """A pair of local part and domain."""
        local, domain = self._take(name, "a pair of local part and domain", _is_pair)
        return Address(local, domain)

    def credentials(self, name: str) -> Sequence[tuple[str, str]]:
        """Pairs of scheme and stored secret; the password itself never comes here."""
        pairs = self._take(
            name,
            "pairs of scheme and stored secret",
            lambda value: isinstance(value, list) and bool(value) and all(_is_pair(pair) for pair in value),
            secret=True,
        )
        return [(scheme, secret) for scheme, secret in pairs]

    def close(self) -> None:
        """Nothing may be left."""
        if self._left:
            raise MalformedRequest(f"{min(self._left)}: found a field that this command does not have")


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) and part for part in value)


def address_field(address: Address) -> list[str]:
    """An address as a request carries it."""
    return [address.local, address.domain]


_Run = Callable[[IAccounts], Awaitable[Any]]


def _domain_add(fields: _Fields) -> _Run:
    name, postmaster = fields.domain("name"), fields.address("postmaster")
    return lambda accounts: accounts.add_domain(name, postmaster)


def _domain_list(fields: _Fields) -> _Run:
    async def run(accounts: IAccounts) -> list[dict[str, Any]]:
        return [
            {"name": row.name, "postmaster": str(row.postmaster) if row.postmaster else None, "users": row.users}
            for row in await accounts.list_domains()
        ]

    return run


def _domain_remove(fields: _Fields) -> _Run:
    name = fields.text("name")
    return lambda accounts: accounts.remove_domain(name)


def _user_add(fields: _Fields) -> _Run:
    address, credentials = fields.address("address"), fields.credentials("credentials")
    return lambda accounts: accounts.add_user(address, credentials)


def _user_list(fields: _Fields) -> _Run:
    domain = fields.text_or_none("domain")

    async def run(accounts: IAccounts) -> list[dict[str, Any]]:
        return [
            {"address": str(row.address), "enabled": row.enabled, "messages": row.messages, "octets": row.octets}
            for row in await accounts.list_users(domain)
        ]

    return run


def _user_remove(fields: _Fields) -> _Run:
    address, purge = fields.address("address"), fields.flag("purge")
    return lambda accounts: accounts.remove_user(address, purge)


def _user_password(fields: _Fields) -> _Run:
    address, credentials = fields.address("address"), fields.credentials("credentials")
    return lambda accounts: accounts.set_credentials(address, credentials)


def _user_enabled(fields: _Fields) -> _Run:
    address, enabled = fields.address("address"), fields.flag("enabled")
    return lambda accounts: accounts.set_enabled(address, enabled)


_COMMANDS: Final[Mapping[str, Callable[[_Fields], _Run]]] = {
    "domain.add": _domain_add,
    "domain.list": _domain_list,
    "domain.remove": _domain_remove,
    "user.add": _user_add,
    "user.list": _user_list,
    "user.remove": _user_remove,
    "user.password": _user_password,
    "user.enabled": _user_enabled,
}


def _error(kind: str, message: str) -> Answer:
    return {"error": {"kind": kind, "message": message}}


class Commands:
    """What a request can ask for: the accounts, and how the daemon is."""

    def __init__(
        self, accounts: IAccounts, telemetry: Telemetry, status: Callable[[], Mapping[str, Any]] | None = None
    ) -> None:
        self._accounts = accounts
        self._telemetry = telemetry
        self._status = status

    async def answer(self, request: object) -> Answer:
        """Carry a request out. The answer has `result`, or `error` with `kind` and `message`; nothing is raised."""
        try:
            run = self._understand(request)
        except MalformedRequest as error:
            return _error(MALFORMED, str(error))
        try:
            return {"result": await run(self._accounts)}
        except AdminError as error:
            return _error(REFUSED, str(error))
        except StoreError as error:
            return _error(BUSY, f"the store could not do it now, nothing was changed: {error}")
        except Exception:
            self._telemetry.surprise("control", Failure())
            return _error(DEFECT, "an unexpected error; the daemon's log has it")

    def _understand(self, request: object) -> _Run:
        if not isinstance(request, dict):
            raise MalformedRequest(f"found {type(request).__name__}; allowed: a JSON object with the field command")
        fields = _Fields(request)
        name = fields.text("command")
        status = self._status
        if name == "status" and status is not None:
            fields.close()

            async def report(accounts: IAccounts) -> Mapping[str, Any]:
                return status()

            return report
        if name not in _COMMANDS:
            raise MalformedRequest(f"command: found {name!r}; allowed: {', '.join(_COMMANDS)}")
        run = _COMMANDS[name](fields)
        fields.close()
        return run
