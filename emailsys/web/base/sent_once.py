"""Sends a message once, however often its request is repeated."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from twisted.internet.defer import Deferred, DeferredLock
from twisted.python.failure import Failure

from emailsys.interfaces import ISentKeys, StoreError
from emailsys.mail.address import Address
from emailsys.telemetry import Telemetry
from emailsys.web.base.submission import Sent

# How long a key is known.
_KEPT: Final = timedelta(days=1)
# A message is committed some time after it began to arrive; and the clocks of two daemons may differ.
_MARGIN: Final = timedelta(minutes=10)
# How long the process before this one may commit after `emailsys restart`: it finishes what is in progress.
_OVERLAP: Final = timedelta(minutes=2)
# Hexadecimal digits of a key in the store, and of the content that was sent with it.
_KEY_DIGITS: Final = 32
_CONTENT_DIGITS: Final = 32

#: Submits the message, with the key for its Client.
Submit = Callable[[str], Awaitable[Sent]]


class KeyReused(Exception):
    """A key was used before, for another message."""


class _Running:
    """A submission that has not ended, and the requests that wait for it."""

    def __init__(self, content: str) -> None:
        self.content = content
        self._waiting: list[Deferred[Sent]] = []
        self._result: Sent | Failure | None = None

    def wait(self) -> Deferred[Sent]:
        """Return a Deferred of the result. Cancelling it does not cancel the submission."""
        waiting: Deferred[Sent] = Deferred()
        self._waiting.append(waiting)
        self._tell()
        return waiting

    def end(self, result: Sent | Failure) -> None:
        """Tell the result to all who wait."""
        self._result = result
        self._tell()

    def _tell(self) -> None:
        if self._result is None:
            return
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(self._result)


class SentOnce:
    """The keys of messages that were sent, and the submissions that run.

    A key is committed with its message (`ISentKeys`), so a repetition is recognised after a crash, too.
    """

    def __init__(self, keys: ISentKeys, telemetry: Telemetry, now: Callable[[], datetime]) -> None:
        self._keys = keys
        self._telemetry = telemetry
        self._now = now
        self._running: dict[str, _Running] = {}
        # The content of each key, what was sent, and when; the oldest first.
        self._sent: OrderedDict[str, tuple[str, Sent, datetime]] = OrderedDict()
        self._unread: datetime | None = now() - _KEPT
        self._alone_from = now() + _OVERLAP
        self._reading = DeferredLock()

    async def send(self, account: Address, key: str, content: bytes, submit: Submit) -> Sent:
        """Submit a message, or return what a request with the same key has sent.

        @param key: of the client, unique among the messages of its account. "" submits in any case.
        @param content: a digest of the request.
        @raise KeyReused: the key was used for another request.
        """
        if not key:
            return await submit("")
        mark = sha256(f"{account}\0{key}".encode()).hexdigest()[:_KEY_DIGITS]
        digest = sha256(content).hexdigest()[:_CONTENT_DIGITS]
        await self._read()
        found = self._sent.get(mark)
        if found is not None:
            if found[0] != digest:
                raise KeyReused
            self._telemetry.event("submission-repeated", account=account, queue_id=found[1].queue_id)
            return found[1]
        running = self._running.get(mark)
        if running is None:
            running = self._running[mark] = _Running(digest)
            began = self._now()
            # It goes on when its request is cancelled: what is on its way to the disk cannot be taken back.
            submitting: Deferred[Sent] = Deferred.fromCoroutine(_sent(submit, f"{mark}-{digest}"))
            _ = submitting.addBoth(self._end, mark, running, began)
        elif running.content != digest:
            raise KeyReused
        return await running.wait()

    def _end(self, result: Sent | Failure, mark: str, running: _Running, began: datetime) -> None:
        del self._running[mark]
        if isinstance(result, Sent):
            self._sent[mark] = (running.content, result, began)
        elif isinstance(result.value, StoreError):
            # The commit may have reached the disk nevertheless.
            self._unread = min(self._unread or began, began - _MARGIN)
        running.end(result)

    async def _read(self) -> None:
        """Read the keys in the store that are not known yet."""
        await self._reading.acquire()
        try:
            now = self._now()
            if self._keys.is_shared or now < self._alone_from:
                self._unread = min(self._unread or now, now - _MARGIN)
            if self._unread is not None:
                since, self._unread = self._unread, None
                try:
                    found = await self._keys.since(since)
                except BaseException:
                    self._unread = since
                    raise
                for one in found:
                    mark, _, digest = one.key.partition("-")
                    self._sent.setdefault(mark, (digest, Sent(one.queue_id, one.message_id, one.octets), now))
            while self._sent and now - next(iter(self._sent.values()))[2] > _KEPT:
                self._sent.popitem(last=False)
        finally:
            self._reading.release()


async def _sent(submit: Submit, key: str) -> Sent:
    return await submit(key)
