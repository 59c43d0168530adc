"""State that a worker shares with the daemon: events, limits for logins and connections, the takeover of maildrops."""

from __future__ import annotations

import base64
import itertools
import pickle
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from emailsys.daemon.worker_channel import Channel
from emailsys.interfaces import LoginBusy, LoginUnchecked, PasswordId, TooManyGuesses
from emailsys.net.serving.admission import Admission
from emailsys.telemetry import Telemetry

#: Outcomes of a login on the channel, besides true and false.
TOO_MANY: Final = "too-many"
BUSY: Final = "busy"
UNCHECKED: Final = "unchecked"
GUESS: Final = "guess"

_CONCERNS: Final = (LogLevel.warn, LogLevel.error, LogLevel.critical)


#: The pools of connections by service. Each pool has a limit of its own.
POOLS: Final[Mapping[str, str]] = {
    "smtp": "smtp",
    "submission": "submission",
    "submissions": "submission",
    "pop3": "pop3",
    "pop3s": "pop3",
}


def packed(value: object) -> str:
    """Return settings, or another value of ours, as text for the channel."""
    return base64.b64encode(pickle.dumps(value)).decode("ascii")


def unpacked(text: str) -> Any:
    """Return the value. Only the daemon and the worker have the channel from which the text comes."""
    return pickle.loads(base64.b64decode(text))  # noqa: S301


@implementer(ILogObserver)
class PassedEvents(Telemetry):
    """Passes events on to the daemon, which counts and logs them with its own."""

    def __init__(self) -> None:
        super().__init__()
        #: The channel, as soon as there is one.
        self.channel: Channel | None = None

    @override
    def _log_event(self, level: Any, name: str, fields: Mapping[str, object]) -> None:
        if self.channel is not None:
            self.channel.tell("event", level=level.name, name=name, fields=_plain(fields))

    @override
    def exception(self, name: str, failure: Failure, /, **fields: Any) -> None:
        if self.channel is not None:
            self.channel.tell("exception", name=name, traceback=failure.getTraceback(), fields=_plain(fields))

    def __call__(self, event: LogEvent) -> None:
        """Pass on what Twisted logs, if it is a warning or an error."""
        failure = event.get("log_failure")
        if failure is not None:
            self.exception("worker-exception", failure)
        elif event.get("log_level") in _CONCERNS:
            self.event("worker-warning", text=formatEvent(event))


def _plain(fields: Mapping[str, object]) -> dict[str, object]:
    return {
        key: value if isinstance(value, int | float) or value is None else str(value) for key, value in fields.items()
    }


class PassedExceptionError(Exception):
    """An unexpected exception in a worker. Its text is the traceback there."""


class SharedAdmission(Admission):
    """Admits every connection to a pool: the daemon has counted it, and is told of its end."""

    def __init__(self, channel: Channel, pool: str) -> None:
        super().__init__()
        self._channel = channel
        self._pool = pool

    @override
    def leave(self, ip: str) -> None:
        super().leave(ip)
        self._channel.tell("left", pool=self._pool, ip=ip)


class SharedFailedLogins:
    """Has logins counted by the daemon, in the same counters and the same queue as its own. The password stays here.

    @param is_exempt: whether an IP address has no limits.
    """

    def __init__(self, channel: Channel, is_exempt: Callable[[str], bool]) -> None:
        self._channel = channel
        self._is_exempt = is_exempt
        self._numbers = itertools.count(1)
        self._verifying: dict[int, Callable[[], Awaitable[bool]]] = {}

    async def verify(
        self, password: PasswordId | None, ip: str, digest: bytes, verify: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Verify a login, as `FailedLogins.verify` does."""
        if self._is_exempt(ip):
            return await verify()
        number = next(self._numbers)
        self._verifying[number] = verify
        try:
            outcome = await self._channel.ask("login", number=number, password=password, ip=ip, digest=digest.hex())
        finally:
            del self._verifying[number]
        return login_outcome(outcome)

    async def verify_now(self, number: int) -> bool | str:
        """Verify the password of a login, because the daemon says that it is its turn."""
        verify = self._verifying.get(number)
        # The client may have gone.
        if verify is None:
            return BUSY
        try:
            return await verify()
        except LoginBusy as error:
            return why_unverified(error)


def why_unverified(error: LoginBusy) -> str:
    """Return an exception as the other end of the channel gets it, for `login_outcome`."""
    if isinstance(error, LoginUnchecked):
        return GUESS if error.is_guess else UNCHECKED
    return TOO_MANY if isinstance(error, TooManyGuesses) else BUSY


def login_outcome(outcome: object) -> bool:
    """Return the outcome of a login that the other end of the channel tells.

    @raise LoginBusy: the login was not verified.
    """
    if outcome == TOO_MANY:
        raise TooManyGuesses
    if outcome == BUSY:
        raise LoginBusy
    if outcome in (UNCHECKED, GUESS):
        raise LoginUnchecked(is_guess=outcome == GUESS)
    return bool(outcome)
