"""Sockets that another process has opened for this one: systemd (sd_listen_fds(3)), or the daemon it succeeds."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Collection, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from emailsys.config.exit_status import Exit
from emailsys.supervisor.errors import StartupError
from emailsys.supervisor.folder import FolderLock
from emailsys.supervisor.sockets import Bound

#: In the environment of a daemon that succeeds another: the descriptors it inherits, as JSON.
SUCCESSION: Final = "EMAILSYS_SUCCESSION"
#: What a predecessor answers to a successor that can serve: take over, or end, because it was given up.
TAKE_OVER: Final = b"take over\n"
TOO_LATE: Final = b"too late\n"
#: What a predecessor says to a successor that it holds back: read the configuration, and start.
BEGIN: Final = b"begin\n"
# Seconds within which a predecessor answers.
_ANSWER_SECONDS: Final = 10.0
# The first descriptor that systemd passes: SD_LISTEN_FDS_START of sd-daemon.h.
_FIRST: Final = 3
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def activated_listeners(environ: MutableMapping[str, str], services: Collection[str]) -> list[Bound]:
    """Return the sockets that systemd passed, and remove its variables: they are not for child processes.

    @param services: the names of the services. FileDescriptorName= of each socket unit is one of them.
    @raise StartupError: a socket has no such name, or does not listen for TCP connections.
    """
    given = {name: environ.pop(name, "") for name in _VARIABLES}
    if given["LISTEN_PID"] != str(os.getpid()) or not given["LISTEN_FDS"].isdigit():
        return []
    names = given["LISTEN_FDNAMES"].split(":")
    bound: list[Bound] = []
    for number in range(int(given["LISTEN_FDS"])):
        name = names[number] if number < len(names) else ""
        if name not in services:
            raise StartupError(
                f'systemd passed a socket with the name "{name}"; allowed: {", ".join(services)}. '
                "Write FileDescriptorName= with one of these into the socket unit",
                Exit.CONFIG,
            )
        bound.append(Bound(name, _listener(name, _FIRST + number), is_activated=True))
    return bound


def _listener(name: str, descriptor: int) -> socket.socket:
    """@raise StartupError: the descriptor is no socket that listens for TCP connections."""
    try:
        listener = socket.socket(fileno=descriptor)
        is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise StartupError(f"{name}: systemd passed no socket: {error.strerror}", Exit.CONFIG) from None
    if listener.family not in (socket.AF_INET, socket.AF_INET6) or not is_listening:
        raise StartupError(
            f"{name}: systemd passed a socket that accepts no TCP connections. Write ListenStream= with a port, and "
            "Accept=no, into the socket unit",
            Exit.CONFIG,
        )
    return _own(listener)


def _own(inherited: socket.socket) -> socket.socket:
    inherited.setblocking(False)
    inherited.set_inheritable(False)
    return inherited


@dataclass(frozen=True, slots=True)
class Inheritance:
    """The descriptors that a daemon passes to its successor.

    @ivar report: the socket on which the successor says that it can serve, or why it cannot, and hears the answer.
    @ivar listeners: of each listening socket its service, and whether systemd opened it.
    @ivar is_held: whether the successor waits for its predecessor before it reads its configuration.
    """

    lock: int
    control: int | None
    report: int
    listeners: list[tuple[str, int, bool]] = field(default_factory=list)
    is_held: bool = False

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the successor."""
        text = json.dumps([self.lock, self.control, self.report, self.listeners, *[True] * self.is_held])
        # The watchdog is for the process that systemd knows, and that is the successor from the moment it serves.
        return {**{name: value for name, value in environ.items() if name != "WATCHDOG_PID"}, SUCCESSION: text}

    def descriptors(self) -> list[int]:
        """Return all of them."""
        control = [] if self.control is None else [self.control]
        return [self.lock, self.report, *control, *(descriptor for _, descriptor, _ in self.listeners)]


class Predecessor:
    """The daemon that this process succeeds. It serves until this one does."""

    def __init__(self, passed: Inheritance) -> None:
        self._passed = passed
        #: Its listening sockets.
        self.listeners = [
            Bound(name, _own(socket.socket(fileno=descriptor)), is_activated)
            for name, descriptor, is_activated in passed.listeners
        ]
        #: Its control socket.
        self.control = None if passed.control is None else _own(socket.socket(fileno=passed.control))
        for descriptor in (passed.lock, passed.report):
            os.set_inheritable(descriptor, False)

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Predecessor | None:
        """Return the predecessor that the environment names, and remove the variable."""
        text = environ.pop(SUCCESSION, "")
        if not text:
            return None
        lock, control, report, listeners, *rest = json.loads(text)
        # A predecessor of an earlier release holds no process back.
        passed = [(name, number, flag) for name, number, flag in listeners]
        return cls(Inheritance(lock, control, report, passed, *rest))

    def lock(self, folder: Path) -> FolderLock:
        """Return the lock of the state folder, which both processes hold.

        @raise StartupError: the predecessor has another state folder.
        """
        return FolderLock.inherit(self._passed.lock, folder)

    @property
    def is_held(self) -> bool:
        """Whether this process must `wait` before it reads its configuration."""
        return self._passed.is_held

    def wait(self) -> bool:
        """Say that everything is imported, and wait. Returns whether to start; otherwise the process ends."""
        self._say({"loaded": os.getpid()})
        return self._heard(BEGIN, None) == BEGIN

    def ready(self) -> bool:
        """Say that this process can serve. Returns whether it may take over, which `finish` completes.

        A predecessor that has given up this process goes on, and everything in the state folder belongs to it. One
        that was killed meanwhile does not answer, and this process takes over.
        """
        self._say({"ready": os.getpid()})
        return self._heard(TOO_LATE, _ANSWER_SECONDS) != TOO_LATE

    def _heard(self, longest: bytes, seconds: float | None) -> bytes:
        """Return what the predecessor says. Empty if it says nothing, or has ended."""
        with suppress(OSError):
            channel = socket.socket(fileno=self._passed.report)
            try:
                channel.settimeout(seconds)
                return channel.recv(len(longest))
            finally:
                channel.detach()
        return b""

    def finish(self) -> None:
        """Say that this process has taken over."""
        os.close(self._passed.report)

    def failed(self, problems: Collection[str]) -> None:
        """Say why this process cannot serve."""
        self._say({"problem": "; ".join(problems)})
        self.finish()

    def _say(self, outcome: Mapping[str, Any]) -> None:
        with suppress(OSError):
            os.write(self._passed.report, json.dumps(outcome).encode() + b"\n")
