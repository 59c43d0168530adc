"""A package that serves mailboxes: a stock realm with stock mailboxes in memory, and what they do instead."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from twisted.mail import pop3
from twisted.python.failure import Failure
from zope.interface import implementer

Ended = Callable[[Any, bool], None]


class Folder(pop3.Mailbox):
    """A session's view of the messages of a `Realm`. Marks are kept in the mailbox, as stock ones do."""

    def __init__(self, realm: Realm) -> None:
        self._realm = realm
        self._messages: list[tuple[int, bytes] | None] = list(realm.messages)
        self._deleted: dict[int, tuple[int, bytes]] = {}

    def listMessages(self, i: int | None = None) -> Any:
        self._realm.step("listMessages")
        sizes = [0 if message is None else len(message[1].replace(b"\r\n", b"\n")) for message in self._messages]
        return self._realm.answered(sizes if i is None else sizes[i])

    def getMessage(self, i: int) -> Any:
        self._realm.step("getMessage")
        message = self._messages[i]
        assert message is not None
        # Most mailboxes of Unix end lines by LF.
        return self._realm.answered(self._realm.file(message[1].replace(b"\r\n", b"\n")))

    def getUidl(self, i: int) -> Any:
        self._realm.step("getUidl")
        message = self._messages[i]
        assert message is not None
        return self._realm.answered(self._realm.uid(message[0]))

    def deleteMessage(self, i: int) -> Any:
        message = self._messages[i]
        assert message is not None
        self._deleted[i], self._messages[i] = message, None
        self._realm.step("deleteMessage")
        return self._realm.answered(None)

    def undeleteMessages(self) -> Any:
        self._realm.step("undeleteMessages")
        for index, message in self._deleted.items():
            self._messages[index] = message
        self._deleted.clear()
        return self._realm.answered(None)

    def sync(self) -> Any:
        self._realm.step("sync")
        gone = set(self._deleted.values())
        self._realm.messages = [message for message in self._realm.messages if message not in gone]
        self._deleted.clear()
        return self._realm.answered(None)


@implementer(IRealm)
class Realm:
    """The realm. `steps` are the calls so far, `instead` what a call does in place of its work, by its name."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, bytes]] = []
        self.steps: list[str] = []
        self.instead: dict[str, Callable[[], Any]] = {}
        self.file: Callable[[bytes], Any] = io.BytesIO
        self.uid: Callable[[int], Any] = lambda number: b"id%d" % number
        # Makes a result of what a method returns.
        self.answered: Callable[[Any], Any] = lambda result: result
        self._last = 0

    def add(self, *bodies: bytes) -> None:
        """Add messages to the one mailbox of all accounts."""
        for body in bodies:
            self._last += 1
            self.messages.append((self._last, body))

    def step(self, name: str) -> None:
        """Note a call, and do what it does instead."""
        self.steps.append(name)
        if name in self.instead:
            self.instead[name]()

    def make(self) -> Any:
        """Make a mailbox."""
        return Folder(self)

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        self.step(f"requestAvatar {avatarId!r}")
        self.step("requestAvatar")
        return self.answered((pop3.IMailbox, self.make(), lambda: self.step("logout")))


class AtOnce:
    """In place of threads: each call is made at once; with `holds`, it waits for `let_go`."""

    def __init__(self) -> None:
        self.holds = False
        self._held: list[Callable[[], None]] = []

    def run(self, work: Callable[[], Any], ended: Ended) -> Deferred[Any]:
        wanted = [True]
        answer: Deferred[Any] = Deferred(lambda _: wanted.clear())

        def call() -> None:
            try:
                result = work()
            except Exception:
                result = Failure()
            ended(result, bool(wanted))
            if wanted:
                answer.callback(result)

        if self.holds:
            self._held.append(call)
        else:
            call()
        return answer

    def let_go(self) -> None:
        """Make the calls that wait."""
        self.holds = False
        held, self._held = self._held, []
        for call in held:
            call()
