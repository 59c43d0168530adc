"""Sender of the outbox, through each account's submission server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.task import deferLater

from emailsys.client.accounts.secrets import Secrets
from emailsys.client.accounts.values import Account, AccountError, Auth, Server
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import DRAFTS, OUTBOX, TRASH, ArchiveError, NoSuchMessage
from emailsys.client.base.gather import gather_all
from emailsys.client.base.process_lock import LockTaken
from emailsys.client.base.threads import InThread, threads_of
from emailsys.client.fetch.connect import Unreachable
from emailsys.client.fetch.login import CERTIFICATE_ADVICE, LOGIN_ADVICE
from emailsys.client.send.outbox import Job, Outbox, Refusal, State
from emailsys.client.send.outcome import Settlement, settle, shown
from emailsys.client.send.submission import hosts_of, next_hop_of, tls_for
from emailsys.config.settings import OutboundSettings
from emailsys.mail.dsn_request import (
    NOTHING_ASKED,
    NOTHING_ASKED_FOR_RECIPIENT,
    MessageRequest,
    RecipientRequest,
    Return,
)
from emailsys.mail.envelope import BodyType, MailParameters
from emailsys.mail.transmission import Forward, Outcome, Transmission
from emailsys.net.outbound.pool import ConnectionPool
from emailsys.telemetry import Telemetry

if TYPE_CHECKING:
    from emailsys.interfaces.wiretap import IWiretap

# EHLO name: the host's own name would reveal the user's network, and submission servers do not check it.
_HOSTNAME: Final = "localhost"
_PIECE: Final = 64 * 1024
# Seconds between attempts to lock a message, and their number: listing the outbox locks it for a moment.
_LOCK_RETRY_DELAY: Final = 0.1
_LOCK_ATTEMPTS: Final = 5
# Seconds for connections to close gracefully.
_GRACE: Final = 2.0


@dataclass(frozen=True, slots=True)
class SendProgress:
    """Progress of sending one message, in octets."""

    key: str
    octets: int
    all_octets: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class SendResult:
    """Result of sending one message.

    - `accepted` are the recipients that the server accepted. For them the message can no longer be stopped.
    - `problem` is None if all were accepted, else a text about what failed and why.
    - `waits`: the message is still in the outbox and will be retried.
    - `in_doubt`: the connection was lost before the final reply. The server may have accepted the message, and a retry
      may deliver it twice.
    - `reply` is the server's last reply.
    - `by_another`: another program has sent the message meanwhile.
    """

    key: str
    account: str
    accepted: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    problem: str | None = None
    advice: str = ""
    waits: bool = False
    in_doubt: bool = False
    reply: str = ""
    by_another: bool = False


class _CannotBegin(Exception):
    """The attempt could not start. The message says why."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class Sender:
    """Sends messages of the outbox. A program has one sender."""

    def __init__(
        self,
        reactor: Any,
        archive: Archive,
        outbox: Outbox,
        secrets: Secrets,
        now: Callable[[], datetime],
        progress: Callable[[SendProgress], None] = lambda progress: None,
        in_thread: InThread | None = None,
        wiretap: IWiretap | None = None,
    ) -> None:
        """
        @param in_thread: None for the reactor's threads.
        @param wiretap: records the connections; None records none.
        """
        self._reactor = reactor
        self._archive = archive
        self._outbox = outbox
        self._secrets = secrets
        self._now = now
        self._progress = progress
        self._in_thread = in_thread or threads_of(reactor)
        self._wiretap = wiretap
        self._pools: dict[Server, ConnectionPool] = {}

    async def send(self, account: Account, key: str) -> SendResult:
        """Wait until a message is due, then send it. Failures of servers and disks are in the result.

        If this is cancelled before the message is due, the message stays in the outbox; see `Outbox.stop`.
        """
        try:
            due = await self._in_thread(lambda: self._outbox.due_at(key))
            wait = due - self._now().timestamp()
            if wait > 0:
                await deferLater(self._reactor, wait)
            job = await self._begin(key)
        except LockTaken as taken:
            return SendResult(key, account.name, problem=f"{taken} is sending it now", waits=True)
        except NoSuchMessage:
            return await self._in_thread(lambda: self._gone(account, key))
        except ArchiveError as error:
            return SendResult(key, account.name, problem=str(error))
        except OSError as error:
            return SendResult(key, account.name, problem=f"{error.filename or key}: {error.strerror}", waits=True)
        if job is None:
            return await self._in_thread(lambda: self._gone(account, key))
        try:
            return await self._attempt(account, job)
        except ArchiveError as error:
            return SendResult(key, account.name, problem=str(error), waits=True, in_doubt=job.note.begun)
        finally:
            # Not in a thread: this only removes a file.
            self._outbox.end(job)

    def _gone(self, account: Account, key: str) -> SendResult:
        folder = self._outbox.left_to(key)
        if folder in (DRAFTS, TRASH):
            return SendResult(key, account.name, problem="it was taken back, and was not sent")
        if folder == OUTBOX and (kept := self._kept(account, key)) is not None:
            return kept
        if folder == OUTBOX:
            problem = f"its recipients are unknown; to make it a draft: emailsys mail outbox stop {key}"
            return SendResult(key, account.name, problem=problem)
        if folder is None:
            return SendResult(key, account.name, problem="it is no longer in the outbox")
        return SendResult(key, account.name, by_another=True)

    def _kept(self, account: Account, key: str) -> SendResult | None:
        """Return the result for a message that only the user can send again, or None."""
        queued = self._outbox.get(key)
        if queued.state is State.IN_DOUBT:
            problem = queued.last_problem or queued.state.value
            return SendResult(key, account.name, problem=problem, waits=True, in_doubt=True)
        if queued.state is State.REFUSED and queued.recipients:
            return SendResult(key, account.name, refusals=queued.refusals, problem=queued.last_problem)
        return None

    async def flush(self, accounts: Sequence[Account]) -> Sequence[SendResult]:
        """Send all due messages, accounts concurrently, over one connection each."""
        results = await gather_all(self._flush(account) for account in accounts)
        return [sent for of_account in results for sent in of_account]

    async def close(self) -> None:
        """Close the connections to servers."""
        await gather_all(pool.close(_GRACE) for pool in self._pools.values())
        self._pools.clear()

    async def _flush(self, account: Account) -> list[SendResult]:
        try:
            keys = await self._in_thread(lambda: self._outbox.due(account.name))
        except ArchiveError as error:
            return [SendResult("", account.name, problem=str(error))]
        results: list[SendResult] = []
        for key in keys:
            if await self._in_thread(lambda key=key: self._outbox.left_to(key)) is None:  # type: ignore[misc]
                # Another program has sent it since, and keeps no copies.
                continue
            results.append(await self.send(account, key))
        return results

    async def _begin(self, key: str) -> Job | None:
        """Lock a message for sending. Listing the outbox holds its lock for a moment, so try again."""
        for _attempt in range(_LOCK_ATTEMPTS):
            try:
                return await self._in_thread(lambda: self._outbox.begin(key))
            except LockTaken:
                await deferLater(self._reactor, _LOCK_RETRY_DELAY)
        return await self._in_thread(lambda: self._outbox.begin(key))

    async def _attempt(self, account: Account, job: Job) -> SendResult:
        if job.note.sent:
            # The previous program ended after the server's reply and before this step.
            await self._in_thread(lambda: self._outbox.finish(job, account.copy_to_sent))
            accepted = tuple(str(address) for address in job.note.accepted)
            return SendResult(job.key, account.name, accepted, reply="it was accepted before")
        try:
            outcomes = await self._transmit(account, job)
        except _CannotBegin as error:
            note = job.note.changed(begun=job.was_in_doubt, again=job.was_in_doubt, problem=str(error))
            await self._in_thread(lambda: self._outbox.write(job, note))
            return SendResult(job.key, account.name, problem=str(error), advice=error.advice, waits=True)
        settlement = settle(job.note, outcomes, job.was_in_doubt)
        await self._in_thread(lambda: self._record(account, job, settlement))
        return self._sent(account, job, settlement, outcomes)

    def _record(self, account: Account, job: Job, settlement: Settlement) -> None:
        """Write the outcome to the outbox. Runs in a thread."""
        self._outbox.write(job, settlement.note)
        if settlement.note.sent:
            self._outbox.finish(job, account.copy_to_sent)
        elif settlement.note.accepted and account.copy_to_sent:
            self._outbox.copy_to_sent(job)

    async def _transmit(self, account: Account, job: Job) -> Sequence[Outcome]:
        """Send a message to the server, trying its addresses in order.

        @raise _CannotBegin: the server could not be asked or refused the login. No recipient was tried.
        """
        server = account.smtp
        if server is None:
            raise _CannotBegin(f"the account {account.name} has no submission server", "add one")
        try:
            secret = None if server.auth is Auth.NONE else await self._secrets.get(account, server)
            hosts = await hosts_of(self._reactor, server, self._in_thread)
        except (AccountError, Unreachable) as error:
            raise _CannotBegin(str(error)) from error
        next_hop = next_hop_of(server, secret)
        transmission = self._transmission(job)
        outcomes: Sequence[Outcome] = ()
        for host in hosts:
            outcomes = await self._pool(server).send(next_hop, host, transmission)
            if not all(one.host_at_fault and not one.in_doubt and not one.from_remote for one in outcomes):
                break
        refused = next((one for one in outcomes if _is_refused_login(one)), None)
        if refused is not None:
            self._secrets.refused(server)
            problem = f"{server} refused the login of {server.username}: {shown(refused.reply)}"
            raise _CannotBegin(problem, LOGIN_ADVICE)
        return outcomes

    def _pool(self, server: Server) -> ConnectionPool:
        pool = self._pools.get(server)
        if pool is None:
            settings = OutboundSettings(connections_per_host=1)
            pool = ConnectionPool(
                self._reactor,
                settings,
                _HOSTNAME,
                lambda expected: tls_for(server, verify=expected.is_verified),
                Telemetry(),
                wiretap=self._wiretap,
            )
            self._pools[server] = pool
        return pool

    def _transmission(self, job: Job) -> Transmission:
        note = job.note
        notices = note.notices
        dsn, wanted = NOTHING_ASKED, NOTHING_ASKED_FOR_RECIPIENT
        if notices is not None:
            dsn = MessageRequest(Return.FULL if notices.whole_message else Return.HEADERS, job.key)
            wanted = RecipientRequest(notices.notify)
        body = BodyType.EIGHT_BIT_MIME if note.eight_bit else BodyType.SEVEN_BIT
        return Transmission(
            queue_id=job.key,
            reverse_path=note.sender,
            recipients=tuple(Forward(address, wanted) for address in note.to_try),
            octets=job.octets,
            pieces=lambda: self._pieces(job),
            parameters=MailParameters(body, note.smtputf8, dsn),
        )

    async def _pieces(self, job: Job) -> AsyncIterator[bytes]:
        done = 0
        with job.path.open("rb") as file:
            while piece := file.read(_PIECE):
                done += len(piece)
                if done >= job.octets:
                    await self._in_thread(lambda: self._outbox.record_last_octets(job))
                yield piece
                # The connection requested the next piece, so this one was sent.
                self._progress(SendProgress(job.key, done, job.octets))

    def _sent(self, account: Account, job: Job, settlement: Settlement, outcomes: Sequence[Outcome]) -> SendResult:
        note = settlement.note
        return SendResult(
            key=job.key,
            account=account.name,
            accepted=tuple(str(address) for address in settlement.accepted),
            refusals=note.refusals,
            problem=None if note.sent else note.problem,
            advice="" if note.sent else _advice(outcomes),
            waits=not note.sent and not note.stuck,
            in_doubt=settlement.in_doubt,
            reply=settlement.last_reply,
        )


def _is_refused_login(outcome: Outcome) -> bool:
    # RFC 4954 §6: 535 credentials invalid, 534 mechanism too weak; 5.7.8 and 5.7.9.
    return outcome.host_at_fault and outcome.from_remote and outcome.reply.code in (534, 535)


def _advice(outcomes: Sequence[Outcome]) -> str:
    if any(one.reply.enhanced == "4.7.5" and "certificate" in one.reply.text for one in outcomes):
        return CERTIFICATE_ADVICE
    return ""
