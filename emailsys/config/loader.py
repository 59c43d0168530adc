"""Loader of the configuration from TOML. Each error names the file, the key path, the value and what is allowed."""

from __future__ import annotations

import difflib
import os
import re
import socket
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from emailsys.config.collisions import collisions
from emailsys.config.consistency import contradictions
from emailsys.config.monitoring_keys import MONITORING
from emailsys.config.outbound_keys import OUTBOUND, QUEUE, ROUTE, ROUTING, SENDING, TIMEOUTS
from emailsys.config.server_keys import ELSEWHERE, LIMITS, LOGIN, POP3, SERVICES, SMTP, STORE, TLS, TOP
from emailsys.config.settings import (
    CertificateFiles,
    LimitSettings,
    Listen,
    LoginSettings,
    MonitoringSettings,
    OutboundSettings,
    OutboundTimeouts,
    POP3Settings,
    QueueSettings,
    RouteSettings,
    RoutingSettings,
    SendingSettings,
    Settings,
    SMTPSettings,
    StoreSettings,
    TLSSettings,
)
from emailsys.config.values import (
    EVERY_ADDRESS,
    LOOPBACK,
    Read,
    Unfit,
    a_file_name,
    described,
    listen_addresses,
)
from emailsys.mail.next_hop import TLSPolicy

# Messages of tomllib (CPython 3.11 to 3.14).
_DECLARED_TWICE: Final = re.compile(r"Cannot declare \((.*?)\) twice \(at line (\d+)")
_AT_LINE: Final = re.compile(r"at line (\d+)")


class ConfigError(Exception):
    """The configuration is wrong. `problems` has a line for each error, and each line names the file."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Table:
    """One table of the file. Keys that were not read when it is closed are unknown ones."""

    def __init__(self, file: str, path: str, table: object, problems: list[str]) -> None:
        self._file = file
        self._path = path
        self._problems = problems
        self._known: list[str] = []
        self._table: dict[str, Any] = {}
        if isinstance(table, dict):
            self._table = table
        else:
            self.wrong("", table, f"a table, [{path}]")

    def wrong(self, key: str, found: object, allowed: str) -> None:
        """Record an error."""
        self._problems.append(f"{self._file}: {self._where(key)}: found {described(found)}; allowed: {allowed}")

    def raw(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, unread."""
        self._known.append(key)
        return self._table.get(key, default)

    def read(self, readers: Mapping[str, Read]) -> dict[str, Any]:
        """Return the valid values by key. Missing and invalid ones are left out, so their defaults apply."""
        values: dict[str, Any] = {}
        for key, reader in readers.items():
            value = self.raw(key)
            if key not in self._table:
                continue
            try:
                values[key] = reader(value)
            except Unfit as error:
                self.wrong(key, value if error.found is None else error.found, error.allowed)
        return values

    def section(self, key: str, readers: Mapping[str, Read]) -> dict[str, Any]:
        """Return the values of an inner table that has no other keys."""
        inner = self.inner(key)
        values = inner.read(readers)
        inner.close()
        return values

    def inner(self, key: str) -> _Table:
        """Return an inner table, an empty one if it is missing."""
        return _Table(self._file, self._where(key), self.raw(key, {}), self._problems)

    def elements(self, key: str, allowed: str) -> Iterator[_Table]:
        """Yield the tables of an inner list; none if it is not a list. Each is closed before the next one."""
        given = self.raw(key, [])
        if not isinstance(given, list):
            self.wrong(key, given, f"tables, [[{self._where(key)}]], {allowed}")
            return
        for number, table in enumerate(given, start=1):
            element = _Table(self._file, f"{self._where(key)}[{number}]", table, self._problems)
            yield element
            element.close()

    def require(self, key: str, allowed: str) -> None:
        """Record an error if the key is missing."""
        if key not in self._table:
            self._problems.append(f"{self._file}: {self._where(key)}: found nothing; allowed: {allowed}")

    def close(self) -> None:
        """Record each key that was not read. Its value may be a password, as in a route's `password`."""
        for key in self._table:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, n=1)
                instead = f"did you mean {near[0]}?" if near else ", ".join(self._known)
                instead = ELSEWHERE.get(key, instead)
                self._problems.append(f"{self._file}: {self._where(key)}: found an unknown key; allowed: {instead}")

    def _where(self, key: str) -> str:
        return ".".join(part for part in (self._path, key) if part) or "the file"


def embedded(state: Path) -> Settings:
    """Return the default settings without a configuration file.

    The ports are unprivileged and on loopback, where passwords may be sent in the clear. Mail for other systems waits
    in the queue.
    """
    listens = {f"{name}_listen": Listen(((LOOPBACK, port),)) for name, (_, port) in SERVICES.items()}
    return Settings(
        hostname="localhost",
        state=state,
        smtp=SMTPSettings(plaintext_auth_on_loopback=True),
        pop3=POP3Settings(plaintext_auth_on_loopback=True),
        # Other hosts do not know a machine without a configured name.
        outbound=OutboundSettings(enabled=False),
        **listens,  # type: ignore[arg-type]
    )


def load(
    path: Path | None, state: Path, check: Callable[[Path, os.stat_result], None] = lambda path, status: None
) -> Settings:
    """Return the settings of a file, or the embedded default if there is no file.

    @param check: called with the status of the file that was opened, before it is read. May raise.
    @raise ConfigError: the file has errors; all of them are reported.
    """
    if path is None:
        return embedded(state)
    try:
        with path.open("rb") as file:
            check(path, os.fstat(file.fileno()))
            octets = file.read()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}: line {line}: found octets that are not UTF-8; allowed: TOML in UTF-8"]) from None
    return parse(text, str(path), state)


def parse(text: str, file: str, state: Path, machine: str | None = None) -> Settings:
    """Return the settings of a file's text. Names of files in it are relative to the folder of the file.

    @param machine: the name of this host if the text has none. Default: the name that the system knows.
    @raise ConfigError: the text has errors; all of them are reported.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{file}: is not TOML: {_duplicate(str(error), text) or error}"]) from None
    problems: list[str] = []
    top = _Table(file, "", document, problems)
    values = top.read(TOP)
    values.setdefault("hostname", (machine or socket.gethostname()).lower())
    listens = _listens(top)
    smtp = SMTPSettings(**top.section("smtp", SMTP))
    pop3 = POP3Settings(**top.section("pop3", POP3))
    tls = _tls(top, Path(file).parent)
    store = StoreSettings(**top.section("store", STORE))
    login = LoginSettings(**top.section("login", LOGIN))
    limits = LimitSettings(**top.section("limits", LIMITS))
    queue = QueueSettings(**top.section("queue", QUEUE))
    routing = _routing(top, Path(file).parent)
    outbound = _outbound(top, Path(file).parent)
    sending = SendingSettings(**top.section("sending", SENDING))
    monitoring = _monitoring(top, Path(file).parent)
    top.close()
    if not problems:
        # Compare the settings only if each is valid: an invalid one was replaced by its default.
        addresses = {f"listen.{name}": listens[f"{name}_listen"].addresses for name in SERVICES}
        addresses["monitoring.metrics_listen"] = monitoring.metrics_listen
        together = (*contradictions(queue, routing), *collisions(addresses))
        problems = [f"{file}: {key}: found {found}; allowed: {allowed}" for key, found, allowed in together]
    if problems:
        raise ConfigError(problems)
    return Settings(
        state=state,
        source=Path(file),
        smtp=smtp,
        pop3=pop3,
        tls=tls,
        store=store,
        login=login,
        limits=limits,
        queue=queue,
        routing=routing,
        outbound=outbound,
        sending=sending,
        monitoring=monitoring,
        **listens,
        **values,
    )


def _duplicate(error: str, text: str) -> str | None:
    """Describe a table or key that stands twice in the file, as after pasting an example; None for another error."""
    table = _DECLARED_TWICE.search(error)
    if table is not None:
        name, number = ".".join(re.findall(r"'([^']*)'", table[1])), int(table[2])
        before = [i for i, line in enumerate(text.splitlines(), 1) if line.strip() == f"[{name}]" and i < number]
        first = f" on line {before[0]}" if before else ""
        return f"line {number}: the table [{name}] stands in the file twice; move its keys to the first one{first}"
    if "overwrite a value" in error:
        line = _AT_LINE.search(error)
        where = f"line {line[1]}: " if line is not None else ""
        return f"{where}a key stands in its table twice; remove one of them"
    return None


def _listens(top: _Table) -> dict[str, Any]:
    given = top.section("listen", dict.fromkeys(SERVICES, listen_addresses))
    addresses = {name: given.get(name, ((EVERY_ADDRESS, standard),)) for name, (standard, _) in SERVICES.items()}
    return {f"{name}_listen": Listen(pairs) for name, pairs in addresses.items()}


def _monitoring(top: _Table, folder: Path) -> MonitoringSettings:
    values = top.section("monitoring", MONITORING)
    if "mail_log" in values:
        values["mail_log"] = folder / values["mail_log"]
    return MonitoringSettings(**values)


def _tls(top: _Table, folder: Path) -> TLSSettings:
    table = top.inner("tls")
    values = table.read(TLS)
    certificates: list[CertificateFiles] = []
    for pair in table.elements("certificates", "each with chain and key"):
        files = pair.read({"chain": a_file_name, "key": a_file_name})
        for key in ("chain", "key"):
            pair.require(key, 'the name of a PEM file, such as "/etc/emailsys/fullchain.pem"')
        if len(files) == 2:
            certificates.append(CertificateFiles(folder / files["chain"], folder / files["key"]))
    table.close()
    return TLSSettings(certificates=tuple(certificates), **values)


def _routing(top: _Table, folder: Path) -> RoutingSettings:
    table = top.inner("routing")
    values = table.read(ROUTING)
    routes: list[RouteSettings] = []
    for element in table.elements("routes", "each with a host"):
        route = element.read(ROUTE)
        element.require("host", 'the smart host, such as "smtp.example.net"')
        if "username" in route or "certificate_fingerprint" in route:
            # NextHop.is_verified: the host must prove who it is.
            route.setdefault("tls", TLSPolicy.VERIFIED)
        if "username" in route:
            element.require("password_file", "the name of a file that holds the password")
        if "password_file" in route:
            route["password_file"] = folder / route["password_file"]
            password = _password_in(route["password_file"])
            if password is None:
                allowed = "the name of a text file that can be read and holds a password on one line"
                element.wrong("password_file", str(route["password_file"]), allowed)
            else:
                route["password"] = password
        if "host" in route:
            routes.append(RouteSettings(**route))
    table.close()
    return RoutingSettings(routes=tuple(routes), **values)


def _password_in(file: Path) -> str | None:
    """Return the password in a file, without its line end; None if the file has no password."""
    try:
        password = file.read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        return None
    # Otherwise, a wrong file would be noticed only when the smart host refuses the login.
    return password if password and "\n" not in password else None


def _outbound(top: _Table, folder: Path) -> OutboundSettings:
    table = top.inner("outbound")
    values = table.read(OUTBOUND)
    timeouts = OutboundTimeouts(**table.section("timeouts", TIMEOUTS))
    table.close()
    if "ca_file" in values:
        values["ca_file"] = folder / values["ca_file"]
    return OutboundSettings(timeouts=timeouts, **values)


def example() -> str:
    """Return the commented example, which has all defaults."""
    return resources.files("emailsys.config").joinpath("example.toml").read_text("utf-8")
