"""TRANSACTION and UPDATE states of a POP3 session: its commands over the open maildrop (RFC 1939 §5, §6)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Final

from twisted.python.failure import Failure

from emailsys.interfaces import IMaildrop, MaildropLost, StoreError
from emailsys.mail.message.surrogate import Surrogate
from emailsys.mail.quantities import counted
from emailsys.net.pop3.authorization_state import AuthorizationState
from emailsys.net.pop3.sending import send_kept, send_listing, send_message, send_whole

# RFC 3206 §4, RFC 2449 §8: clients act on these response codes.
TAKEN_OVER: Final = "[SYS/TEMP] another login took the maildrop over; nothing was removed"
_NOT_REMOVED: Final = "[SYS/TEMP] some deleted messages not removed"
# Messages from which on a command that looks at all of them ends the client's turn. Hundreds of such commands in one
# segment would delay other clients by a millisecond each.
_MANY: Final = 2000


class Transaction:
    """Carries out the commands of a client on the maildrop that its login opened."""

    def __init__(self, authorization: AuthorizationState) -> None:
        self._authorization = authorization
        self._connection = authorization.connection
        self._deleted = 0
        #: How many messages were sent by RETR.
        self.retrieved = 0
        #: Whether the UPDATE state has begun. It then runs to its end and releases the maildrop itself.
        self.updating = False

    @property
    def _maildrop(self) -> IMaildrop:
        maildrop = self._authorization.maildrop
        assert maildrop is not None
        return maildrop

    def summarize(self) -> int:
        """Send +OK with the number of messages and their octets. Returns how many messages the maildrop has."""
        sizes = self._maildrop.listMessages()
        messages = counted(len(sizes) - sizes.count(0), "message")
        self._authorization.reply(f"{messages} ({sum(sizes)} octets)".encode("ascii"))
        return len(sizes)

    def _end_turn(self, messages: int) -> Coroutine[Any, Any, None] | None:
        return self._connection.next_turn() if messages >= _MANY else None

    def _find(self, number: int) -> int:
        """Returns the octets of a message; 0 if it does not exist or is deleted, after telling the client."""
        try:
            octets: int = self._maildrop.listMessages(number - 1)
        except (ValueError, IndexError):
            self._authorization.refuse("no such message")
            return 0
        if not octets:
            self._authorization.refuse(b"message %d is deleted" % number)
            return 0
        self._authorization.wire.idle_commands = 0
        return octets

    def stat(self) -> Coroutine[Any, Any, None] | None:
        """Act on STAT."""
        sizes = self._maildrop.listMessages()
        self._authorization.reply(b"%d %d" % (len(sizes) - sizes.count(0), sum(sizes)))
        return self._end_turn(len(sizes))

    def list_sizes(self, number: int | None) -> Coroutine[Any, Any, None] | None:
        """Act on LIST."""
        if number is not None:
            octets = self._find(number)
            if octets:
                self._authorization.reply(b"%d %d" % (number, octets))
            return None
        return self._list("LIST", b"+OK sizes follow\r\n", self._size_lines)

    def _size_lines(self) -> Iterator[bytes]:
        return (b"%d %d\r\n" % entry for entry in enumerate(self._maildrop.listMessages(), 1) if entry[1])

    def _list(
        self, command: str, status: bytes, lines: Callable[[], Iterator[bytes]]
    ) -> Coroutine[Any, Any, None] | None:
        """Send a list of all messages. It is made once for all sessions that find the same messages."""
        kept = self._maildrop.listings
        if kept is None:
            return send_listing(self._connection, status, lines())
        reply = kept.get(command)
        if reply is not None:
            return send_kept(self._connection, reply)
        return send_listing(self._connection, status, lines(), partial(kept.__setitem__, command))

    def list_uids(self, number: int | None) -> Coroutine[Any, Any, None] | None:
        """Act on UIDL."""
        if number is not None:
            if self._find(number):
                self._authorization.reply(b"%d %b" % (number, self._maildrop.getUidl(number - 1)))
            return None
        return self._list("UIDL", b"+OK unique ids follow\r\n", self._uid_lines)

    def _uid_lines(self) -> Iterator[bytes]:
        uidl, sizes = self._maildrop.getUidl, self._maildrop.listMessages()
        return (b"%d %b\r\n" % (index + 1, uidl(index)) for index, size in enumerate(sizes) if size)

    def _exact(self, octets: int) -> int | None:
        """Return the size of a message; None if the maildrop does not know it exactly."""
        return octets if self._maildrop.has_exact_sizes else None

    def _is_raw(self, index: int) -> bool:
        """Return whether the client gets a message as it is stored.

        RFC 6856 §4: a client that has not sent UTF8 gets no UTF-8 header unless the operator allows it.
        """
        wire, settings = self._authorization.wire, self._authorization.service.settings
        return wire.utf8 or settings.serve_utf8_raw or not self._maildrop.needs_utf8(index)

    def _refuses_utf8(self) -> bool:
        """Refuse an SMTPUTF8 message to a client that has not sent UTF8, if the operator wants so (RFC 6856 §5)."""
        if self._authorization.service.settings.downgrade_utf8:
            return False
        self._authorization.refuse("[UTF8] the message needs the UTF8 command before login")
        return True

    def retrieve(self, number: int) -> Coroutine[Any, Any, None] | None:
        """Act on RETR."""
        maildrop, index = self._maildrop, number - 1
        whole = maildrop.whole_message(index)
        if whole is not None:
            self._authorization.wire.idle_commands = 0
            self.retrieved += 1
            send_whole(self._connection, *whole)
            return None
        octets = self._find(number)
        if not octets:
            return None
        if self._is_raw(index):
            self.retrieved += 1
            status = b"+OK %d octets\r\n" % octets
            return send_message(self._connection, maildrop, index, self._exact(octets), status)
        if self._refuses_utf8():
            return None
        self.retrieved += 1
        status = b"+OK message follows\r\n"
        return send_message(self._connection, maildrop, index, self._exact(octets), status, surrogate=Surrogate())

    def top(self, number: int, lines: int) -> Coroutine[Any, Any, None] | None:
        """Act on TOP."""
        octets = self._find(number)
        if not octets:
            return None
        surrogate = None if self._is_raw(number - 1) else Surrogate()
        if surrogate is not None and self._refuses_utf8():
            return None
        status = b"+OK top of the message follows\r\n"
        exact = self._exact(octets)
        return send_message(self._connection, self._maildrop, number - 1, exact, status, lines, surrogate)

    def delete(self, number: int) -> None:
        """Act on DELE."""
        if self._find(number):
            self._maildrop.deleteMessage(number - 1)
            self._deleted += 1
            self._authorization.reply(b"message %d deleted" % number)

    def reset(self) -> Coroutine[Any, Any, None] | None:
        """Act on RSET."""
        self._maildrop.undeleteMessages()
        self._deleted = 0
        return self._end_turn(self.summarize())

    async def update(self) -> None:
        """Act on QUIT: remove the deleted messages, release the maildrop, and only then reply (RFC 1939 §6)."""
        login, maildrop = self._authorization, self._maildrop
        if self._deleted:
            # A client that pipelines QUIT may not have read yet the messages that it deletes.
            await self._connection.drained(maildrop.touch)
        self.updating = True
        failure: str | None = None
        try:
            if self._deleted:
                await maildrop.sync()
                login.event("pop3-removed", messages=self._deleted)
        except MaildropLost:
            login.event("pop3-taken-over")
            failure = TAKEN_OVER
        except StoreError as error:
            login.event("pop3-store-failed", why=error)
            failure = _NOT_REMOVED
        except Exception:
            login.service.environment.telemetry.exception("pop3-update-exception", Failure(), session=login.session_id)
            failure = _NOT_REMOVED
        finally:
            login.release()
        login.event("pop3-end", retrieved=self.retrieved)
        if failure is None:
            login.reply(f"bye, {counted(self._deleted, 'message')} removed".encode("ascii"))
        else:
            login.refuse(failure)
        self._connection.close()
