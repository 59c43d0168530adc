"""A real daemon for live tests: `twistd -n emailsys` on free ports, with a state folder of its own."""

from __future__ import annotations

import atexit
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from emailsys.control.control_socket import NoDaemon, ask
from emailsys.control.daemon_requests import Restart
from emailsys.control.requests import DomainAdd, Request, UserAdd
from emailsys.mail.address import Address
from emailsys.passwords import make_credentials
from emailsys.supervisor import holder_of
from tests.ports import free_ports

DOMAIN = "example.test"
SERVICES = ("smtp", "submission", "submissions", "pop3", "pop3s")
# Seconds to wait for a start or an end on a machine that is busy with other tests.
PATIENCE = 60.0
BIN = Path(sys.executable).parent
TWISTD = str(BIN / "twistd")


class Process(Protocol):
    """What a daemon needs of its process; `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int, /) -> None: ...


class Failed(AssertionError):
    """The daemon did not do what the test or the harness needs to go on."""


@dataclass(frozen=True)
class User:
    """An account and its password."""

    name: str
    password: str

    @property
    def address(self) -> str:
        return f"{self.name}@{DOMAIN}"


def has_ipv6() -> bool:
    """Whether this machine has ::1; a daemon told to listen on localhost then does so there too."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


class Daemon:
    """A daemon in a process of its own.

    @param config: the tables of the configuration file, without [listen] and hostname.
    @param cleartext: whether passwords are taken from loopback without TLS.
    @param wrapper: the command that runs the daemon, such as strace.
    @param folder: where configuration, log and state lie; the daemon is not started then. By default a temporary
        folder, which `close` removes, and the daemon is started.
    @param state: the state folder, where it lies elsewhere.
    @param environment: added to the environment of the process.
    """

    # Seconds to wait for a start or an end.
    patience = PATIENCE

    def __init__(
        self,
        config: str = "",
        cleartext: bool = True,
        wrapper: Sequence[str] = (),
        *,
        folder: Path | None = None,
        state: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="emailsys-live-"))
        self.state = state or self.folder / "state"
        self.log_path = self.folder / "daemon.log"
        self.config_path = self.folder / "emailsys.toml"
        self.ports: dict[str, int] = {}
        # Soft and hard limits of the process, by RLIMIT_ number.
        self.limits: dict[int, int] = {}
        self._config = config
        self._cleartext = cleartext
        self._wrapper = tuple(wrapper)
        self._environment = dict(environment or {})
        self._domain_made = False
        self._process: Process | None = None
        # Octets of the log before the last start.
        self._log_before = 0
        if folder is None:
            try:
                self.start()
            except BaseException:
                shutil.rmtree(self.folder, ignore_errors=True)
                raise

    @property
    def pid(self) -> int:
        """The process, or that of its wrapper."""
        assert self._process is not None
        return self._process.pid

    @property
    def ca(self) -> Path:
        """The certificate of its development CA."""
        return self.state / "certs" / "ca.pem"

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self.log_path.read_text("utf-8", "replace")

    def write_config(self) -> None:
        """Write the configuration, with ports that are free now."""
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        listen = "".join(f'{name} = ["localhost:{port}"]\n' for name, port in self.ports.items())
        flag = f"plaintext_auth_on_loopback = {str(self._cleartext).lower()}\n"
        text = f'hostname = "localhost"\n[listen]\n{listen}'
        rest = self._config
        for table in ("smtp", "pop3"):
            heading = f"[{table}]\n"
            rest = rest.replace(heading, heading + flag) if heading in rest else f"{rest}{heading}{flag}"
        self.config_path.write_text(text + rest)

    def start(self, program: Sequence[str] | None = None) -> float:
        """Start it and wait until every port answers; other ports are tried where one was taken meanwhile.

        @param program: the command before --config, by default `twistd -n emailsys`.
        @return: the seconds it took.
        """
        for attempt in range(3):
            if attempt or not self.ports:
                self.write_config()
            began = time.monotonic()
            self.launch(program)
            if self._is_ready():
                return time.monotonic() - began
            if "is already in use by " not in self.log[self._log_before :]:
                break
        raise Failed(f"the daemon does not start:\n{self.log}")

    def launch(self, program: Sequence[str] | None = None) -> None:
        """Start the process without waiting for anything."""
        command = [*self._wrapper, *(program or [TWISTD, "-n", "emailsys"])]
        command += ["--config", str(self.config_path), "--state", str(self.state)]
        checkout = str(Path(__file__).resolve().parents[3])
        with self.log_path.open("ab") as log:
            self._log_before = log.tell()
            self._process = self.spawn(command, log, {"PYTHONPATH": checkout, **self._environment})

    def spawn(self, command: Sequence[str], log: BinaryIO, environment: Mapping[str, str]) -> Process:
        """Start the process that `launch` has put together.

        @param environment: added to that of this process.
        """
        limits = self.limits

        def limit() -> None:
            if sys.platform == "win32":
                raise RuntimeError("needs Unix")
            for number, value in limits.items():
                resource.setrlimit(number, (value, value))

        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            env={**os.environ, **environment},
            preexec_fn=limit if limits else None,
        )

    def _is_ready(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + self.patience
        for port in self.ports.values():
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
                    break
                except OSError:
                    pass
                # Waiting for its end, briefly, is how the next try is put off.
                try:
                    self._process.wait(timeout=0.02)
                except subprocess.TimeoutExpired:
                    if time.monotonic() < deadline:
                        continue
                    self.kill()
                return False
        return True

    def command(self, request: Request) -> Any:
        """Ask by the control socket; the result."""
        answer = self._ask(request)
        if "result" not in answer:
            raise Failed(f"{request}: {answer}")
        return answer["result"]

    def _ask(self, request: Request) -> Any:
        """Ask, and wait for the control socket of a daemon that has just bound its ports."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return ask(self.state, request, self.patience * 2)
            except NoDaemon:
                if not self.alive or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def user(self, name: str | None = None) -> User:
        """A new account, so that each test has a maildrop of its own; the first is postmaster too."""
        password = secrets.token_hex(12)
        return self._add(name, password, make_credentials(password))

    def user_with(self, credentials: Sequence[tuple[str, str]]) -> User:
        """A new account with these secrets, which may fit no password."""
        return self._add(None, secrets.token_hex(12), credentials)

    def _add(self, name: str | None, password: str, credentials: Sequence[tuple[str, str]]) -> User:
        user = User(name or f"user{secrets.token_hex(4)}", password)
        own = Address(user.name, DOMAIN)
        if not self._domain_made:
            self._domain_made = True
            self.command(DomainAdd(DOMAIN, own))
        self.command(UserAdd(own, credentials))
        return user

    def users(self, count: int) -> list[User]:
        """Many accounts with one password between them, hashed once."""
        password = secrets.token_hex(12)
        credentials = make_credentials(password)
        return [self._add(None, password, credentials) for _ in range(count)]

    @property
    def worker(self) -> int:
        """The process of the daemon itself, where a wrapper runs it."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split() if self._wrapper else []
        return int(children[0]) if children else self.pid

    def end_child(self) -> None:
        """End the daemon that a wrapper runs, as an operator does: the wrapper ends with it."""
        os.kill(self.worker, signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it, by its id; to one that has ended, none."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    @property
    def alive(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, negative where a signal ended it."""
        assert self._process is not None
        return self._process.wait(self.patience if timeout is None else timeout)

    def stop(self) -> int:
        """End it as an operator does."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def restart(self) -> Any:
        """Let a new process take over, as `emailsys restart` does. It is no child of this one: see `stop_successor`."""
        return self.command(Restart())

    def stop_successor(self) -> None:
        """End the process that serves after a restart, and wait until all of them have ended."""
        if holder := holder_of(self.state):
            os.kill(holder, signal.SIGTERM)
        until = time.monotonic() + self.patience
        while holder_of(self.state) is not None and time.monotonic() < until:
            time.sleep(0.02)
        self.wait()

    def kill(self) -> None:
        """End it as a power cut does."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self.wait()

    def close(self) -> None:
        """End it and remove its folder."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


_running: dict[object, Daemon] = {}


def _close_all() -> None:
    while _running:
        _running.popitem()[1].close()


def shared(key: object, make: Callable[[], Daemon] = Daemon) -> Daemon:
    """The daemon of a test class, started when its first test asks; the one of the class before is ended.

    trial has no set-up for a class, and hands the tests of one class to several workers: each has a daemon then.
    """
    if key not in _running:
        if not _running:
            atexit.unregister(_close_all)
            atexit.register(_close_all)
        _close_all()
        _running[key] = make()
    return _running[key]
