"""Relay to commands: gives each recipient's message to a run of its own, and turns exit statuses into outcomes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import IO, Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.python.failure import Failure
from zope.interface import implementer

from emailsys.interfaces import IRelay, StoreDamaged, StoreError
from emailsys.mail import reply as replies
from emailsys.mail.address import Address
from emailsys.mail.next_hop import NextHop
from emailsys.mail.pipe import DashedAddressError, Pipe, environment, judged, prefix
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission, close_pieces, kind_of
from emailsys.telemetry import Telemetry

_TOO_MUCH: Final = "was ended, because it wrote more than 1 MiB"
# RFC 3463 §3.4: system incorrectly configured.
_MISCONFIGURED: Final = "4.3.5"


class Ended(Protocol):
    """How a command ended; see `platforms.commands`."""

    @property
    def status(self) -> int:
        """The exit status, negative for a signal."""

    @property
    def why(self) -> str:
        """Why it was ended: "time", "output" or "stop"; "" if it ended by itself."""

    @property
    def output(self) -> bytes:
        """The output of the command."""


class Run(Protocol):
    """One run of a command."""

    def run(self) -> Ended:
        """Run it, and block until it has ended.

        @raise OSError: it cannot be run.
        """

    def end(self) -> None:
        """End it, from any thread."""


#: Makes a run, from its arguments, its environment, its user, its standard input and its time limit in seconds.
MakeRun = Callable[[Sequence[str], Mapping[str, str], str, IO[bytes], float], Run]


@implementer(IRelay)
class PipeRelay:
    """Relay whose next hops are commands."""

    def __init__(
        self,
        clock: Any,
        make_run: MakeRun,
        in_own_thread: Callable[[Callable[[], Ended]], Deferred[Ended]],
        spool: Callable[[], IO[bytes]],
        most: int,
        telemetry: Telemetry,
    ) -> None:
        """@param spool: makes an empty file that vanishes when it is closed.
        @param most: runs of one command at the same time.
        """
        self._clock = clock
        self._make_run = make_run
        self._in_own_thread = in_own_thread
        self._spool = spool
        self._most = most
        self._telemetry = telemetry
        self._slots: dict[Pipe, DeferredSemaphore] = {}
        # The commands that run, and what fires when each has ended.
        self._runs: dict[Run, Deferred[Ended]] = {}
        self._is_closed = False
        self._winding_up = False

    async def relay(self, next_hop: NextHop, transmission: Transmission) -> Sequence[Outcome]:
        pipe = next_hop.pipe
        assert pipe is not None
        attempts = [
            Deferred.fromCoroutine(self._in_turn(pipe, transmission, recipient.forward_path))
            for recipient in transmission.recipients
        ]
        try:
            return [await attempt for attempt in attempts]
        finally:
            # Only a cancelled relay has attempts left.
            for attempt in attempts:
                attempt.cancel()
                _ = attempt.addErrback(lambda failure: failure.trap(CancelledError))

    async def _in_turn(self, pipe: Pipe, transmission: Transmission, forward_path: Address) -> Outcome:
        slots = self._slots.setdefault(pipe, DeferredSemaphore(self._most))
        await slots.acquire()
        try:
            if self._winding_up:
                return _not_begun()
            return await self._outcome(pipe, transmission, forward_path)
        except StoreDamaged:
            return Outcome(OutcomeKind.DELAYED, replies.MESSAGE_DAMAGED, hold=True)
        except (StoreError, OSError) as error:
            self._telemetry.event("outbound-store-failed", queue_id=transmission.queue_id, why=str(error))
            return Outcome(OutcomeKind.DELAYED, replies.LOCAL_ERROR)
        except CancelledError:
            raise
        except Exception:
            # The other recipients keep their outcomes, and do not get the message again.
            self._telemetry.exception("relay-exception", Failure(), queue_id=transmission.queue_id, next_hop=pipe)
            return Outcome(OutcomeKind.DELAYED, replies.LOCAL_ERROR)
        finally:
            slots.release()

    async def _outcome(self, pipe: Pipe, transmission: Transmission, forward_path: Address) -> Outcome:
        try:
            arguments = pipe.arguments(transmission, forward_path)
        except DashedAddressError as error:
            said = f"{pipe}: {error} begins with a hyphen, and the command would take it for an option"
            return Outcome(OutcomeKind.FAILED, Reply(553, "5.1.3", said), str(pipe))
        message = await self._spooled(transmission, forward_path)
        if self._winding_up:
            # A command that begins now would be ended at once, and might have done its work nevertheless.
            message.close()
            return _not_begun()
        if not transmission.may_end():
            message.close()
            return Outcome(OutcomeKind.DELAYED, replies.LEASE_UNCERTAIN)
        variables = environment(transmission, forward_path)
        run = self._make_run(arguments, variables, pipe.user, message, pipe.time_limit)
        self._runs[run] = ending = self._in_own_thread(run.run)
        try:
            ended = await ending
        except CancelledError:
            run.end()
            if not self._is_closed:
                raise
            return _stopped(pipe)
        except OSError as error:
            message.close()
            reply = Reply(451, _MISCONFIGURED, f"{pipe}: {error.strerror or error}")
            return Outcome(OutcomeKind.DELAYED, reply, host_at_fault=True, route_at_fault=True)
        finally:
            del self._runs[run]
        return _outcome_of(pipe, ended)

    async def _spooled(self, transmission: Transmission, forward_path: Address) -> IO[bytes]:
        """Return a file with the message, at its beginning, with the line ends of Unix.

        @raise StoreError: the message cannot be read.
        @raise OSError: the disk is full, for example.
        """
        file = self._spool()
        try:
            _ = file.write(prefix(transmission, forward_path))
            pieces = transmission.pieces()
            try:
                await _copy(pieces, file)
            finally:
                await close_pieces(pieces)
            _ = file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def idle(self, next_hop: NextHop) -> None:
        """Do nothing, because there are no connections."""

    def shut_down(self, grace: float) -> None:
        self._winding_up = True
        if self._runs:
            self._clock.callLater(grace, self.close)

    def close(self) -> None:
        """End all commands. Call `shut_down` first.

        Their outcomes are known at once: the queue waits no longer than `shut_down` does.
        """
        self._is_closed = True
        for ending in tuple(self._runs.values()):
            ending.cancel()


async def _copy(pieces: AsyncIterator[bytes], file: IO[bytes]) -> None:
    rest = b""
    async for piece in pieces:
        octets = rest + piece
        rest = octets[-1:] if octets.endswith(b"\r") else b""
        _ = file.write((octets[:-1] if rest else octets).replace(b"\r\n", b"\n"))
    _ = file.write(rest)


def _not_begun() -> Outcome:
    return Outcome(OutcomeKind.DELAYED, replies.BROKEN_OFF, host_at_fault=True)


def _stopped(pipe: Pipe) -> Outcome:
    return Outcome(OutcomeKind.DELAYED, replies.BROKEN_OFF, str(pipe), host_at_fault=True, in_doubt=True)


def _outcome_of(pipe: Pipe, ended: Ended) -> Outcome:
    # A command that was ended may have done its work.
    if ended.why == "stop":
        return _stopped(pipe)
    if ended.why:
        words = _TOO_MUCH if ended.why == "output" else f"was ended after {pipe.time_limit:g} s"
        return Outcome(OutcomeKind.DELAYED, Reply(451, "4.3.0", f"{pipe}: {words}"), str(pipe), in_doubt=True)
    reply = judged(pipe, ended.status, ended.output)
    # What an operator has to correct is at fault for all mail.
    at_fault = reply.enhanced == _MISCONFIGURED
    return Outcome(kind_of(reply), reply, str(pipe), host_at_fault=at_fault, route_at_fault=at_fault)
