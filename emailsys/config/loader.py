"""Loader of the configuration from TOML. Each error names the file, the key path, the value and what is allowed."""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

from emailsys.config.checks_settings import CHECKS, ChecksSettings
from emailsys.config.collisions import collisions
from emailsys.config.consistency import contradictions, doubled_workers
from emailsys.config.given import References, origins, with_variables
from emailsys.config.monitoring_keys import MONITORING, WIRETAP
from emailsys.config.monitoring_settings import MonitoringSettings, WiretapSettings
from emailsys.config.outbound_keys import OUTBOUND, QUEUE, ROUTE, ROUTING, SENDING, TIMEOUTS
from emailsys.config.server_keys import LIMITS, LOGIN, POP3, SERVICES, SMTP, STORE, TLS, TOP
from emailsys.config.settings import (
    CertificateFiles,
    LimitSettings,
    Listen,
    LoginSettings,
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
    WebSettings,
)
from emailsys.config.table import Table
from emailsys.config.values import EVERY_ADDRESS, LOOPBACK, a_file_name, listen_addresses
from emailsys.config.web_keys import WEB
from emailsys.mail.next_hop import TLSPolicy, default_port

# Messages of tomllib (CPython 3.11 to 3.14).
_DECLARED_TWICE: Final = re.compile(r"Cannot declare \((.*?)\) twice \(at line (\d+)")
_AT_LINE: Final = re.compile(r"at line (\d+)")


class ConfigError(Exception):
    """The configuration is wrong. `problems` has a line for each error, and each line names the file."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def embedded(state: Path) -> Settings:
    """Return the default settings without a configuration file.

    The ports are unprivileged and on loopback, where passwords may be sent in the clear. Mail for other systems waits
    in the queue.
    """
    return replace(_settings(_EMBEDDED, Path(), state, {}), source=None)


# Other hosts do not know a machine without a configured name, so nothing is sent to them.
_EMBEDDED: Final[dict[str, Any]] = {
    "hostname": "localhost",
    "listen": {name: f"{LOOPBACK}:{port}" for name, (_, port) in SERVICES.items()},
    "smtp": {"plaintext_auth_on_loopback": True},
    "pop3": {"plaintext_auth_on_loopback": True},
    "outbound": {"enabled": False},
}


def load(
    path: Path | None,
    state: Path,
    check: Callable[[Path, os.stat_result], None] = lambda path, status: None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings of a file, or the embedded default if there is no file; environment variables go before both.

    @param check: called with the status of the file that was opened, before it is read. May raise.
    @raise ConfigError: the file or a variable has errors; all of them are reported.
    """
    if path is None:
        return replace(_settings(_EMBEDDED, state / "no file", state, environ), source=None)
    return parse(_text_of(path, check), str(path), state, environ=environ)


def _text_of(path: Path, check: Callable[[Path, os.stat_result], None]) -> str:
    try:
        with path.open("rb") as file:
            check(path, os.fstat(file.fileno()))
            octets = file.read()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}: line {line}: found octets that are not UTF-8; allowed: TOML in UTF-8"]) from None


def parse(
    text: str, file: str, state: Path, machine: str | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings of a file's text. Names of files in it are relative to the folder of the file.

    @param machine: the name of this host if the text has none. Default: the name that the system knows.
    @param environ: variables whose values go before those of the text, and to which its references lead.
    @raise ConfigError: the text has errors; all of them are reported.
    """
    return _settings(_document(text, file), Path(file), state, environ or {}, machine)


def _document(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{file}: is not TOML: {_duplicate(str(error), text) or _with_quotes(error)}"]) from None


def origins_of(path: Path | None, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return where the value of each key that is not a default comes from, as `given.origins` does.

    @raise ConfigError: the file is not TOML, or cannot be read.
    """
    document = {} if path is None else _document(_text_of(path, lambda path, status: None), str(path))
    folder = Path() if path is None else path.parent
    return origins(References(environ, folder).replaced(with_variables(document, environ, TOP)))


def _settings(
    document: dict[str, Any], path: Path, state: Path, environ: Mapping[str, str], machine: str | None = None
) -> Settings:
    file = str(path)
    references = References(environ, path.parent)
    document = references.replaced(with_variables(document, environ, TOP))
    problems = [f"{file}: {key}: {problem}" for key, problem in references.problems]
    top = Table(file, "", document, problems)
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
    wiretap = WiretapSettings(**top.section("wiretap", WIRETAP))
    web = WebSettings(**top.section("web", WEB))
    checks = ChecksSettings(**top.section("checks", CHECKS))
    top.close()
    if not problems:
        # Compare the settings only if each is valid: an invalid one was replaced by its default.
        addresses = {f"listen.{name}": listens[f"{name}_listen"].addresses for name in SERVICES}
        addresses |= {"monitoring.metrics_listen": monitoring.metrics_listen, "web.listen": web.listen}
        together = (
            *contradictions(queue, routing),
            *doubled_workers(values.get("workers", 0), pop3.workers),
            *collisions(addresses),
        )
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
        wiretap=wiretap,
        web=web,
        checks=checks,
        **listens,
        **values,
    )


def _with_quotes(error: tomllib.TOMLDecodeError) -> str:
    """Return the text of an error, with advice if a quotation mark may be missing."""
    text = str(error)
    if "Illegal character '\\n'" in text or "Unterminated string" in text:
        return f"{text}; a quotation mark may be missing at the end of a value"
    return f"{text}; a text needs quotation marks around it" if "Invalid value" in text else text


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


def _listens(top: Table) -> dict[str, Any]:
    given = top.section("listen", dict.fromkeys(SERVICES, listen_addresses))
    addresses = {name: given.get(name, ((EVERY_ADDRESS, standard),)) for name, (standard, _) in SERVICES.items()}
    return {f"{name}_listen": Listen(pairs) for name, pairs in addresses.items()}


def _monitoring(top: Table, folder: Path) -> MonitoringSettings:
    values = top.section("monitoring", MONITORING)
    if "mail_log" in values:
        values["mail_log"] = folder / values["mail_log"]
    return MonitoringSettings(**values)


def _tls(top: Table, folder: Path) -> TLSSettings:
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


def _routing(top: Table, folder: Path) -> RoutingSettings:
    table = top.inner("routing")
    values = table.read(ROUTING)
    routes: list[RouteSettings] = []
    for element in table.elements("routes", "each with a host"):
        route = element.read(ROUTE)
        element.require("host", 'the host, such as "smtp.example.net"')
        if "username" in route or "certificate_fingerprint" in route:
            # NextHop.is_verified: the host must prove who it is.
            route.setdefault("tls", TLSPolicy.VERIFIED)
        if "username" in route:
            element.require("password_file", "the name of a file that holds the password")
        for key, what in (("password", "a password"), ("secret", "a secret")):
            file = f"{key}_file"
            if file in route:
                route[file] = folder / route[file]
                secret = _secret_in(route[file])
                if secret is None:
                    allowed = f"the name of a text file that can be read and holds {what} on one line"
                    element.wrong(file, str(route[file]), allowed)
                else:
                    route[key] = secret
        if "host" in route:
            route.setdefault("port", default_port(route["host"]))
            routes.append(RouteSettings(**route))
    table.close()
    return RoutingSettings(routes=tuple(routes), **values)


def _secret_in(file: Path) -> str | None:
    """Return the password or secret in a file, without its line end; None if the file has none."""
    try:
        if not file.is_file():
            # A pipe would be waited for, and a device may have no end.
            return None
        secret = file.read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        return None
    # Otherwise, a wrong file would be noticed only when the other host refuses it.
    return secret if secret and "\n" not in secret else None


def _outbound(top: Table, folder: Path) -> OutboundSettings:
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
