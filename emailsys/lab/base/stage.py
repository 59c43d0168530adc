"""The stage of a lesson: daemons, certificates and accounts on loopback."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from emailsys.config.settings import Settings
from emailsys.lab.base.certificates import careful_client
from emailsys.lab.base.client import maildrop, submit
from emailsys.lab.base.loopback import LoopbackServer
from emailsys.lab.base.values import LessonFailed
from emailsys.mail.next_hop import TLSPolicy
from emailsys.pki import IssuedFiles, ensure_development_ca, make_variant

#: Accounts of each daemon. These passwords exist only here: the daemons are made for the lesson, and removed after it.
ALICE: Final = "alice@example.test"
BOB: Final = "bob@example.test"
CAROL: Final = "carol@example.test"
MALLORY: Final = "mallory@example.test"
PASSWORDS: Final[Mapping[str, str]] = {
    ALICE: "blue-giraffe-42",
    BOB: "quiet-harbour-7",
    CAROL: "sunshine",
    MALLORY: "let-me-in-13",
}
#: The domain of the other mail host, and an address there.
ELSEWHERE: Final = "elsewhere.test"
DAVE: Final = "dave@elsewhere.test"
# Seconds to wait for mail; a slow machine needs more than the lesson.
PATIENCE: Final = 15.0

Change = Callable[[Settings], Settings]
_Opened = TypeVar("_Opened", bound=LoopbackServer)


class System(Protocol):
    """A running daemon with the accounts above."""

    @property
    def ports(self) -> Mapping[str, int]:
        """The port of each service, by name."""

    def set_route(self, domain: str, port: int, tls: TLSPolicy) -> None:
        """Sends mail for a domain to a port of this machine."""

    def may_send_as(self, account: str, sender: str, allowed: bool) -> None:
        """Allows or forbids an account to send from another address."""

    def queue(self) -> list[dict[str, Any]]:
        """Returns the rows of the queue, as `emailsys queue list --json` prints them."""

    def retry(self) -> None:
        """Makes all rows of the queue due now, as `emailsys queue retry` does."""

    def limit_growth(self, octets: int | None) -> bool:
        """Lets the daemon's database grow by that number of octets only; None removes the limit.

        Returns whether this operating system can do it.
        """

    def drop_queue(self) -> None:
        """Removes all rows of the queue that are not under way, as `emailsys queue drop` does."""


class Systems(Protocol):
    """Daemons by their settings: each is started when it is first needed."""

    def running(self, change: Change) -> System:
        """Returns the daemon whose settings are the lab's, changed by this function."""


def unchanged(settings: Settings) -> Settings:
    """The lab's own settings, which are the defaults but for times and ports."""
    return settings


class Stage:
    """The systems and certificates of a lesson. Everything that the stage opens is closed at the end of the lesson."""

    def __init__(self, systems: Systems, pki: Pki) -> None:
        self._systems, self.pki = systems, pki
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def system(self, change: Change = unchanged) -> System:
        """Returns a running daemon with these settings."""
        system = self._systems.running(change)
        # The next lesson begins with an empty queue.
        self._stack.callback(_empty, system)
        return system

    def open(self, one: _Opened) -> _Opened:
        """Opens a host or an attacker until the end of the lesson."""
        self._stack.callback(one.close)
        return one

    @property
    def trusting(self) -> ssl.SSLContext:
        """A context of a user: it trusts the lab's authority, and checks names."""
        return careful_client(self.pki.authority)

    def submit(self, system: System, sender: str, recipients: list[str], message: bytes) -> str:
        """Submits a message as an account; returns the reply to the message."""
        return submit(system.ports["submission"], self.trusting, sender, PASSWORDS[sender], recipients, message)

    def refusal(self, system: System) -> str:
        """Waits until a delivery has failed for now; returns the reply in the queue."""
        until("the refusal of a delivery", lambda: any(row["reply"] for row in system.queue()))
        return next((str(row["reply"]) for row in system.queue() if row["reply"]), "")

    def maildrop(self, system: System, account: str) -> list[bytes]:
        """Returns the messages in the maildrop of an account."""
        return maildrop(system.ports["pop3s"], self.trusting, account, PASSWORDS[account])


class Pki:
    """The lab's own authority, and certificates by it and by others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        made = ensure_development_ca(folder)
        self.authority = made.authority
        self.certificates = made.certificates

    @property
    def good(self) -> IssuedFiles:
        """A valid certificate for localhost."""
        return self.certificates[-1]

    def variant(self, name: str) -> IssuedFiles:
        """Returns a faulty certificate, by the name of a variant of the recipe in certs/."""
        return make_variant(self._folder, name)[-1]


def _empty(system: System) -> None:
    def is_empty() -> bool:
        system.drop_queue()
        return not system.queue()

    until("the end of the deliveries", is_empty)


def until(what: str, is_so: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Waits until something is so.

    @param what: what is waited for, for the error.
    @raise LessonFailed: it is not so in time.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise LessonFailed(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.02)


def letter(sender: str, recipient: str, subject: str, *lines: str) -> bytes:
    """Returns a short message with CRLF lines."""
    head = [f"From: {sender}", f"To: {recipient}", f"Subject: {subject}", f"Message-ID: <{time.time_ns():x}@lab.test>"]
    return "\r\n".join([*head, "", *lines, ""]).encode()
