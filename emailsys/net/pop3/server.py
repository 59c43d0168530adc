"""A POP3 server over an asynchronous maildrop (RFC 1939, 2449, 6856): what follows the login, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.interfaces import IMaildrop, MaildropLost, StoreDamaged, StoreError, StoreMissing
from emailsys.mail.quantities import counted
from emailsys.net.pop3.authorization import POP3Authorization, POP3Service
from emailsys.net.pop3.sending import CutShort, send_listing, send_message
from emailsys.net.serving.admission import TurnedAway
from emailsys.net.serving.session_ids import session_names
from emailsys.wire.pop3.server import Command, Event, Refusal, Response

# RFC 3206 §4, RFC 2449 §8: response codes that clients act on.
_STORE_FAILED: Final = "[SYS/TEMP] the mail store cannot answer now; try again later"
_TAKEN_OVER: Final = "[SYS/TEMP] another login took the maildrop over; nothing was removed"
_NOT_REMOVED: Final = "[SYS/TEMP] some deleted messages not removed"
_DAMAGED: Final = "[SYS/PERM] the message was damaged in the store and is not sent; tell your postmaster"
_SURPRISE: Final = "[SYS/TEMP] internal error; it was logged"


class POP3Server(POP3Authorization):
    """One POP3 session. Made by a POP3ServerFactory.

    Of twisted.mail's protocol it keeps the frame: the dispatch to `do_X`, `listCapabilities`, `mbox`, the portal and
    `pop3.IMailbox` of twisted.cred. Input, order, timing, sending and errors are ours.
    """

    def __init__(self, service: POP3Service, session: str, sessions: set[POP3Server]) -> None:
        """@param sessions: where it stands while it is connected."""
        super().__init__(service, session)
        self._sessions = sessions
        self._updating = False
        self._deleted = 0
        self._retrieved = 0

    # The course of the session

    @override
    def connectionMade(self) -> None:
        self._sessions.add(self)
        self.service.admission.enter(self.peer_host)
        super().connectionMade()

    @override
    def perform(self, event: Event) -> Coroutine[Any, Any, None] | None:
        if self.mbox is not None:
            self.mbox.touch()
        if isinstance(event, Command):
            step: Coroutine[Any, Any, None] | None = getattr(self, f"do_{event.verb}")(*event.arguments)
            return step
        if isinstance(event, Response):
            return self.respond(event.line)
        if isinstance(event, Refusal):
            self.failResponse(event.text)
            if event.last:
                self.event("pop3.closed", why=event.text)
                self.close()
            return None
        self.event("pop3.closed", why=event.reason)
        self.close()
        return None

    @override
    def failed(self, failure: Failure) -> None:
        if self.lost and failure.check(CutShort, MaildropLost, StoreError):
            # What was being sent when the peer went: nobody wants it any more.
            return
        if failure.check(CutShort):
            self.event("pop3.cut_short", why=failure.getErrorMessage())
            cause = failure.value.__cause__ if failure.value is not None else None
            if cause is not None and not isinstance(cause, StoreError | MaildropLost):
                self.service.telemetry.surprise("pop3", Failure(cause), session=self.session)
            self.abort()
        elif failure.check(MaildropLost):
            self.event("pop3.taken_over")
            self.failResponse(_TAKEN_OVER)
            self.close()
        elif failure.check(StoreMissing):
            # The daemon's log has it, once in a while; a line for each login would bury that one.
            self.failResponse(_STORE_FAILED)
        elif failure.check(StoreDamaged):
            self.event("pop3.damaged", why=failure.getErrorMessage())
            self.failResponse(_DAMAGED)
        elif failure.check(StoreError):
            self.event("pop3.store_failed", why=failure.getErrorMessage())
            self.failResponse(_STORE_FAILED)
        else:
            self.service.telemetry.surprise("pop3", failure, session=self.session)
            self.failResponse(_SURPRISE)

    @override
    def timed_out(self) -> None:
        self.event("pop3.closed", why="silence")
        if self.choked:
            self.abort()
            return
        # RFC 1939 §3: no UPDATE state; what was marked as deleted stays.
        self.failResponse("silent for too long; nothing was removed" if self.mbox else "no login in time")
        self.close()

    @override
    def ended(self, reason: Failure) -> None:
        self._sessions.discard(self)
        self.service.admission.leave(self.peer_host)
        if not reason.check(ConnectionDone, ConnectionLost, ConnectionAborted):
            self.event("pop3.connection_failed", why=reason.getErrorMessage())
        if self.mbox is not None:
            self.event("pop3.end", retrieved=self._retrieved)
        if not self._updating:
            # Else a commit is on its way, and the lock is held until it has ended.
            self.let_go()

    # After login

    @property
    def maildrop(self) -> IMaildrop:
        """The maildrop of a session that is logged in."""
        maildrop: IMaildrop = self.mbox
        return maildrop

    @override
    def logged_in(self) -> None:
        sizes = self.maildrop.listMessages()
        here = counted(len(sizes) - sizes.count(0), "message")
        self.successResponse(f"{here} ({sum(sizes)} octets)".encode("ascii"))

    def _find(self, number: int) -> int | None:
        """The index of a message that exists and is not deleted; otherwise None, and the client was told."""
        try:
            size = self.maildrop.listMessages(number - 1)
        except (ValueError, IndexError):
            self.failResponse("no such message")
            return None
        if not size:
            self.failResponse(b"message %d is deleted" % number)
            return None
        return number - 1

    @override
    def do_STAT(self) -> None:
        sizes = self.maildrop.listMessages()
        self.successResponse(b"%d %d" % (len(sizes) - sizes.count(0), sum(sizes)))

    @override
    def do_LIST(self, number: int | None = None) -> Coroutine[Any, Any, None] | None:
        if number is not None:
            index = self._find(number)
            if index is not None:
                self.successResponse(b"%d %d" % (number, self.maildrop.size_of(index)))
            return None
        sizes = self.maildrop.listMessages()
        lines = (b"%d %d\r\n" % entry for entry in enumerate(sizes, 1) if entry[1])
        return send_listing(self, b"+OK sizes follow\r\n", lines)

    @override
    def do_UIDL(self, number: int | None = None) -> Coroutine[Any, Any, None] | None:
        uidl = self.maildrop.getUidl
        if number is not None:
            index = self._find(number)
            if index is not None:
                self.successResponse(b"%d %b" % (number, uidl(index)))
            return None
        sizes = self.maildrop.listMessages()
        lines = (b"%d %b\r\n" % (index + 1, uidl(index)) for index, size in enumerate(sizes) if size)
        return send_listing(self, b"+OK unique ids follow\r\n", lines)

    def _may_read(self, index: int) -> bool:
        """RFC 6856 §5: a client that did not say UTF8 gets no header in UTF-8, unless the operator says so."""
        if self.wire.utf8 or self.service.settings.serve_utf8_raw or not self.maildrop.needs_utf8(index):
            return True
        self.failResponse("[UTF8] the message needs the UTF8 command before login")
        return False

    @override
    def do_RETR(self, number: int) -> Coroutine[Any, Any, None] | None:
        index = self._find(number)
        if index is None or not self._may_read(index):
            return None
        self._retrieved += 1
        return send_message(self, self.maildrop, index, b"+OK %d octets\r\n" % self.maildrop.size_of(index))

    @override
    def do_TOP(self, number: int, lines: int) -> Coroutine[Any, Any, None] | None:
        index = self._find(number)
        if index is None or not self._may_read(index):
            return None
        return send_message(self, self.maildrop, index, b"+OK top of the message follows\r\n", lines)

    @override
    def do_DELE(self, number: int) -> None:
        index = self._find(number)
        if index is not None:
            self.maildrop.deleteMessage(index)
            self._deleted += 1
            self.successResponse(b"message %d deleted" % number)

    @override
    def do_NOOP(self) -> None:
        self.successResponse()

    @override
    def do_RSET(self) -> None:
        self.maildrop.undeleteMessages()
        self._deleted = 0
        self.logged_in()

    @override
    def do_QUIT(self) -> Coroutine[Any, Any, None] | None:
        if self.mbox is not None:
            return self._update()
        self.successResponse(b"bye")
        self.close()
        return None

    async def _update(self) -> None:
        """RFC 1939 §6: remove what is marked, then release the maildrop, and only then answer."""
        if self._deleted:
            # A client that pipelines QUIT may not have read yet what it wants deleted.
            await self.drained(self.maildrop.touch)
        self._updating = True
        failure: str | None = None
        try:
            if self._deleted:
                await self.maildrop.sync()
                self.event("pop3.removed", messages=self._deleted)
        except MaildropLost:
            self.event("pop3.taken_over")
            failure = _TAKEN_OVER
        except StoreError as error:
            self.event("pop3.store_failed", why=error)
            failure = _NOT_REMOVED
        except Exception:
            self.service.telemetry.surprise("pop3.update", Failure(), session=self.session)
            failure = _NOT_REMOVED
        finally:
            self.let_go()
        self.event("pop3.end", retrieved=self._retrieved)
        if failure is None:
            self.successResponse(f"bye, {counted(self._deleted, 'message')} removed".encode("ascii"))
        else:
            self.failResponse(failure)
        self.close()


class POP3ServerFactory(ServerFactory):
    """Makes POP3 sessions. For implicit TLS (port 995) wrap it in a TLSMemoryBIOFactory: the sessions notice."""

    protocol = POP3Server  # type: ignore[assignment]  # its sessions take more than nothing
    noisy = False

    def __init__(self, service: POP3Service, new_session: Callable[[], str] | None = None) -> None:
        """@param new_session: gives each session the id that its log events bear."""
        self.service = service
        self.sessions: set[POP3Server] = set()
        self._new_session = new_session if new_session is not None else session_names()

    @override
    def buildProtocol(self, addr: IAddress | None) -> POP3Server | TurnedAway:  # type: ignore[override]  # no TypeVar
        service, ip = self.service, str(getattr(addr, "host", ""))
        too_many = service.admission.refusal(ip)
        if too_many is not None:
            service.telemetry.event("pop3.turned_away", ip=ip, why=too_many.value)
            words = b"-ERR [SYS/TEMP] %b\r\n" % too_many.value.encode()
            return TurnedAway(service.admission, words, service.clock, service.settings.close_timeout)
        server = POP3Server(self.service, self._new_session(), self.sessions)
        server.factory = self  # type: ignore[assignment]  # upstream calls it None
        return server

    def drain(self) -> int:
        """The daemon goes down: end the sessions that do nothing at the moment, without UPDATE state.

        @return: how many sessions are left.
        """
        for session in tuple(self.sessions):
            session.hurry()
            if not (session.busy or session.closing):
                session.failResponse("[SYS/TEMP] the server goes down; nothing was removed")
                session.close()
        return len(self.sessions)
