"""Messages of workers to the daemon: what they report, and what they ask, because it counts for all processes."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.python.failure import Failure

from emailsys.daemon.outbound import Outbound
from emailsys.daemon.worker_channel import ChannelLost, Handler
from emailsys.daemon.worker_limits import BUSY, CLEAN, GO_ON, GUESSED
from emailsys.daemon.worker_process import WorkerProcess
from emailsys.daemon.worker_sharing import PassedExceptionError, login_outcome, packed, unpacked, why_unverified
from emailsys.delivery.sending_counts import Admission
from emailsys.interfaces import LoginBusy, StoreError, TooMuchHeld
from emailsys.mail import reply
from emailsys.mail.address import Address
from emailsys.mail.envelope import RemoteRoute, Route
from emailsys.mail.reply import Reply
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.login_check import VerifiedLogins
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry

# Seconds that another worker gets to give up a maildrop.
_GIVE_UP_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class SharedParts:
    """The parts of the daemon that its workers share.

    @ivar verified: the verified passwords. All processes recognise those that one of them has verified.
    @ivar outbound: has the queue runner, and the limits for guesses, senders and notices.
    """

    telemetry: Telemetry
    store: Store
    failed_logins: FailedLogins
    verified: VerifiedLogins
    outbound: Outbound


class Requests:
    """Answers the workers, and tells all of them what one process has changed.

    @param serving: returns the workers that serve.
    """

    def __init__(self, reactor: Any, parts: SharedParts, serving: Callable[[], Sequence[WorkerProcess]]) -> None:
        self._reactor = reactor
        self._parts = parts
        self._serving = serving
        self._numbers = itertools.count(1)
        # Messages that were counted for their senders, and are not committed yet.
        self._admissions: defaultdict[WorkerProcess, dict[int, Admission]] = defaultdict(dict)
        store, tell = parts.store, self._tell_others
        store.maildrops.ask_others = partial(self._take_over, None)
        store.directory.tell = lambda number: tell(None, "generation", number=number)
        store.quotas.tell = lambda delivered: tell(None, "delivered", delivered=delivered)
        parts.verified.tell = lambda digest: tell(None, "verified", digest=digest.hex())
        parts.outbound.unknown.tell = lambda network: tell(None, "guessed", network=network)

    def handlers(self, worker: WorkerProcess) -> Mapping[str, Handler]:
        """Return the handlers for the messages of a worker."""
        outbound = self._parts.outbound
        return {
            "event": self._event,
            "exception": self._exception,
            "login": partial(self._login, worker),
            "take-over": partial(self._take_over, worker),
            "verified": partial(self._verified, worker),
            "generation": partial(self._generation, worker),
            "delivered": partial(self._delivered, worker),
            "recipient": partial(self._recipient, worker),
            "unknown-recipient": self._unknown_recipient,
            "message-accepted": outbound.unknown.accepted,
            "admit": partial(self._admit, worker),
            "admitted": partial(self._admitted, worker),
            "revoke": partial(self._revoke, worker),
            "notice": self._notice,
            "wake": outbound.runner.wake,
        }

    def ended(self, worker: WorkerProcess) -> None:
        """Forget a worker. Whether its last messages were accepted is unknown: they stay counted for their senders."""
        self._admissions.pop(worker, None)

    def _tell_others(self, teller: WorkerProcess | None, name: str, **fields: object) -> None:
        for worker in self._serving():
            if worker is not teller:
                worker.channel.tell(name, **fields)

    # Events

    def _event(self, level: str, name: str, fields: Mapping[str, object]) -> None:
        telemetry = self._parts.telemetry
        log = telemetry.alarm if level == "critical" else telemetry.event
        log(name, **fields)

    def _exception(self, name: str, traceback: str, fields: Mapping[str, object]) -> None:
        self._parts.telemetry.exception(name, Failure(PassedExceptionError(traceback)), **fields)

    # Logins and maildrops

    async def _login(
        self, worker: WorkerProcess, number: int, password: list[int] | None, ip: str, digest: str
    ) -> bool | str:
        """Count a login in the counters of all processes. The worker verifies the password when it is its turn."""

        async def verify() -> bool:
            return login_outcome(await worker.channel.ask("verify", number=number))

        password_id = None if password is None else (password[0], password[1])
        try:
            return await self._parts.failed_logins.verify(password_id, ip, bytes.fromhex(digest), verify)
        except LoginBusy as error:
            return why_unverified(error)

    def _verified(self, worker: WorkerProcess, digest: str) -> None:
        self._parts.verified.learn(bytes.fromhex(digest))
        self._tell_others(worker, "verified", digest=digest)

    async def _take_over(self, asking: WorkerProcess | None, account_id: int) -> bool:
        """Have the process that serves a silent session give up its maildrop. Returns whether one did."""
        if asking is not None and await self._parts.store.maildrops.give_up(account_id):
            return True
        for worker in self._serving():
            if worker is asking:
                continue
            asked = worker.channel.ask("give-up", account_id=account_id).addTimeout(_GIVE_UP_SECONDS, self._reactor)
            try:
                if await asked:
                    return True
            except (ChannelLost, NoAnswer):
                continue
        return False

    # The store

    def _generation(self, worker: WorkerProcess, number: int) -> None:
        """A worker has changed the directory: no process answers from its cache."""
        self._parts.store.directory.changed(number)
        self._tell_others(worker, "generation", number=number)

    def _delivered(self, worker: WorkerProcess, delivered: list[tuple[int, int]]) -> None:
        """A worker has delivered mail to maildrops with quotas."""
        self._parts.store.quotas.count_elsewhere(delivered)
        self._tell_others(worker, "delivered", delivered=delivered)

    # Recipients, senders and notices

    async def _recipient(self, worker: WorkerProcess, number: int, ip: str) -> str:
        """Say whether a client may have a recipient looked up. If it must wait, the worker looks it up in its turn."""
        unknown = self._parts.outbound.unknown

        async def resolve() -> Sequence[Route]:
            await worker.channel.ask("resolve", number=number)
            return ()

        if unknown.has_guessed(ip):
            return GUESSED
        if not unknown.is_known(ip) and isinstance(await unknown.look_up(ip, resolve), Reply):
            return BUSY
        return CLEAN if unknown.is_clean(ip) else GO_ON

    async def _unknown_recipient(self, ip: str) -> bool:
        """Count an unknown recipient. Returns, after a delay, whether the client may be told that it is unknown."""
        return await self._parts.outbound.unknown.refuse(ip) is reply.NO_SUCH_MAILBOX

    async def _admit(self, worker: WorkerProcess, envelope: str) -> Mapping[str, object]:
        """Count a message for its senders."""
        before, admissions = unpacked(envelope), self._admissions[worker]
        try:
            counted = self._parts.outbound.sending.admit(before)
            admission = await counted if isinstance(counted, Deferred) else counted
        except TooMuchHeld as error:
            return {"refused": str(error)}
        except StoreError as error:
            return {"failed": str(error)}
        number = next(self._numbers)
        # If the worker has ended meanwhile, these are not remembered any more.
        admissions[number] = admission
        if admission.envelope is before and not admission.crossings:
            return {"number": number}
        return {"number": number, "decision": packed((admission.envelope, admission.crossings))}

    def _admitted(self, worker: WorkerProcess, number: int, queue_id: str) -> None:
        self._parts.outbound.sending.log(self._admissions[worker].pop(number), queue_id)

    def _revoke(self, worker: WorkerProcess, number: int) -> None:
        self._parts.outbound.sending.revoke(self._admissions[worker].pop(number))

    def _notice(self, address: Sequence[str], queue_id: str) -> bool:
        to = Address(*address)
        return self._parts.outbound.cap.take(to, (RemoteRoute(to),), queue_id)
