"""A web face over a mail system in memory, and browsers that use it without a socket."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from emailsys.config.settings import LimitSettings, LoginSettings, WebSettings
from emailsys.control.commands import Commands
from emailsys.control.store_access import Hooks
from emailsys.mail.address import Address
from emailsys.net.serving.admission import Admission
from emailsys.policy.access import Delivery
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.login_check import build_portal
from emailsys.policy.token_check import TokenCheck
from emailsys.web.application import WebFace, build
from emailsys.web.base.services import Services
from emailsys.wiretap.recorder import Recorder
from tests.fakes.hashing import CountedHashing
from tests.fakes.net.memory_net import MemoryNet
from tests.fakes.store.memory_operations import MemoryQuotas
from tests.fakes.whole_house import PASSWORD, WholeHouse

ALICE, BOB = "alice@home.test", "bob@home.test"
HOST = "mail.home.test"
BROWSER_IP = "192.0.2.7"


class _AtOnce:
    """A thread pool that does everything at once."""

    def callInThreadWithCallback(self, told: Callable[..., Any], function: Callable[..., Any], *args: Any) -> None:
        try:
            result = function(*args)
        except Exception:
            told(False, Failure())
        else:
            told(True, result)


class WebReactor:
    """The time of a task.Clock; threads do their work at once."""

    def __init__(self, clock: Clock) -> None:
        self.callLater, self.seconds = clock.callLater, clock.seconds

    def getThreadPool(self) -> _AtOnce:
        return _AtOnce()

    def callFromThread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)


class WebTransport(StringTransport):
    """A connection that notices its abort."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is sent."""


@dataclass
class Page:
    """An answer, as a browser has it."""

    code: int
    headers: dict[str, list[str]]
    body: bytes

    def header(self, name: str) -> str:
        return ", ".join(self.headers.get(name.lower(), []))

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def proof(self) -> str:
        """The CSRF token of its forms."""
        found = re.search('name="csrf" value="([^"]*)"', self.text)
        assert found is not None, self.text
        return found[1]


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


class WebHouse:
    """The mail system, its accounts alice and bob, and its web face."""

    def __init__(self, web: WebSettings | None = None, ip: str = BROWSER_IP) -> None:
        self.clock = self.net = MemoryNet()
        self.house = WholeHouse(self.net, HOST, "192.0.2.1", ALICE, BOB)
        # The house replaces its accounts, of which aliases are a part.
        self.house.store.aliases = self.house.store.accounts
        self.house.store.quotas = MemoryQuotas(self.house.store.accounts, self.house.store.drops)
        settings = replace(self.house.settings, web=web or WebSettings(listen=(("127.0.0.1", 8080),)))
        self.failed_logins = FailedLogins(
            self.clock, LimitSettings(), LoginSettings(), lambda ip: False, lambda pair: None
        )
        hashing = CountedHashing(lambda stored, password: stored == password)
        self.portal: Portal = build_portal(
            self.house.store.directory,
            self.house.store.maildrops,
            hashing,
            self.house.outbound.access,
            None,
            self.failed_logins,
        )
        self.telemetry = self.house.telemetry
        self.records = Recorder(10, 64 * 1024, enabled=False)
        self.web: WebFace = build(
            WebReactor(self.clock),
            settings,
            self.telemetry,
            self.portal,
            self.house.store.directory,
            self.house.outbound.intake,
            self.house.store,
            Admission(settings.web.max_connections, settings.web.max_connections_per_ip),
            self.services(),
        )

    def services(self) -> Services:
        """Return what the daemon gives to the API and the pages of operators."""
        store, access = self.house.store, self.house.outbound.access
        commands = Commands(store, self.telemetry, Hooks(status=dict))

        async def make_credentials(password: str, address: Address) -> list[tuple[str, str]]:
            return [("argon2id", password)]

        async def sample() -> dict[str, int]:
            return {"accepted": 1}

        return Services(
            ask=commands.answer,
            make_credentials=make_credentials,
            check_token=TokenCheck(store.tokens, store.now, self.failed_logins).check,
            delivery_of=lambda account: Delivery(access, account),
            sample=sample,
            foretell=lambda seconds: (),
            wire=self.records,
        )

    def connect(self, ip: str = BROWSER_IP) -> tuple[Any, WebTransport]:
        """Return a new connection and its transport."""
        transport = WebTransport(IPv4Address("TCP", "192.0.2.1", 8080), IPv4Address("TCP", ip, 50000))
        channel: Any = self.web.server.factory.buildProtocol(transport.getPeer())
        channel.makeConnection(transport)
        return channel, transport

    def browser(self, ip: str = BROWSER_IP) -> Browser:
        """Return a browser without cookies."""
        return Browser(self, ip)


@dataclass
class Browser:
    """A browser: its cookies, and what it asks for."""

    house: WebHouse
    ip: str = BROWSER_IP
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, host: str = HOST
    ) -> Page:
        """Send a request, and return the answer."""
        channel, transport = self.house.connect(self.ip)
        fields = {"Host": host, "Connection": "close", **(headers or {})}
        if self.cookies:
            fields["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body or method == "POST":
            fields["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        channel.dataReceived(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        for _ in range(500):
            if transport.disconnecting:
                break
            # Failed logins are answered late.
            self.house.clock.advance(0.1)
        channel.connectionLost(Failure(ConnectionError()))
        return self._read(transport.value())

    def _read(self, octets: bytes) -> Page:
        head, _, rest = octets.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers.setdefault(name.lower(), []).append(value)
        for cookie in headers.get("set-cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        chunked = headers.get("transfer-encoding") == ["chunked"]
        return Page(int(first.split()[1]), headers, _unchunked(rest) if chunked else rest)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Page:
        """Load a page."""
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, proof: str, headers: Mapping[str, str] | None = None, **values: str) -> Page:
        """Send a form."""
        body = urlencode({"csrf": proof, **values}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.ask("POST", path, body, kind)

    def post_files(self, path: str, proof: str, files: Sequence[tuple[str, str, str, bytes]], **values: str) -> Page:
        """Send a form with files: each field, name, type and content."""
        parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in {"csrf": proof, **values}.items()]
        parts += [
            f'name="{name}"; filename="{file}"\r\nContent-Type: {kind}\r\n\r\n'.encode() + octets
            for name, file, kind, octets in files
        ]
        body = b"".join(b"--edge\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts)
        return self.ask("POST", path, body + b"--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"})

    def log_in(self, name: str = ALICE, password: str = PASSWORD, **values: str) -> Page:
        """Log in by the form."""
        return self.post("/login", self.get("/login").proof, None, name=name, password=password, **values)
