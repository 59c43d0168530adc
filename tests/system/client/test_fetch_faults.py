"""Each call to the disk fails while mail is fetched, at each place, once and for a while: no message is lost."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
from collections.abc import Callable
from typing import Any, Final

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from emailsys.client.archive.values import ArchiveError
from emailsys.client.fetch.fetcher import FetchError, FetchOptions
from tests.fakes.client.client_house import ClientHouse
from tests.fakes.net.pop3_house import FIRST, SECOND, THIRD, POP3House
from tests.system.client.test_fetch import DELETE

# What each call may say; the places of the call take turns with them.
_CALLS: Final = {
    "open": (errno.EMFILE, errno.ENOSPC, errno.EROFS, errno.EIO),
    "write": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "fsync": (errno.EIO, errno.ENOSPC),
    "utime": (errno.EIO, errno.EROFS),
    "replace": (errno.EIO, errno.ENOSPC, errno.EROFS),
    "ftruncate": (errno.EIO,),
    "mkdir": (errno.ENOSPC, errno.EROFS),
    "unlink": (errno.EIO, errno.EROFS),
}


def _is_pipe(name: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a call writes to a pipe: a thread wakes the reactor so."""
    return name == "write" and not stat.S_ISREG(os.fstat(arguments[0]).st_mode)


class FetchFaultTests(TestCase):
    """Three messages, deleted on the server once they are kept here."""

    timeout = 300

    def setUp(self) -> None:
        # No power is cut here, so the real disk may take its time.
        self.patch(os, "fsync", lambda descriptor: None)

    def failing(self, name: str, at: int, lasting: bool) -> tuple[Callable[[], None], list[int]]:
        """Let a call outside the reactor's thread fail at that place, and behind it if that lasts.

        @return: how to heal it, and the places at which it failed.
        """
        original: Callable[..., Any] = getattr(os, name)
        reactor_thread = threading.get_ident()
        failed: list[int] = []
        count = 0

        def failing(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            if threading.get_ident() == reactor_thread or _is_pipe(name, arguments):
                return original(*arguments, **named)
            count += 1
            if count == at or (lasting and count > at):
                failed.append(count)
                number = _CALLS[name][at % len(_CALLS[name])]
                raise OSError(number, os.strerror(number))
            return original(*arguments, **named)

        return self.patch(os, name, failing).restore, failed

    async def survives(self, name: str, at: int, lasting: bool) -> bool:
        """Whether the fault happened; fails the test if a message is lost or doubled, or a claim was not true."""
        fault = (name, at, lasting)
        client = ClientHouse(reactor)
        try:
            server = POP3House(clock=reactor)
            account = client.account(pop3=client.listen(server.factory))
            wanted = sorted([FIRST, SECOND, THIRD])
            heal, failed = self.failing(*fault)
            kept = deleted = 0
            try:
                result = await deferToThread(client.fetcher.fetch, account, FetchOptions(keep=DELETE))
                kept, deleted = len(result.keys), result.deleted
                if not failed:
                    self.assertEqual((result.problem, kept, deleted), (None, 3, 3), fault)
            except (ArchiveError, FetchError):
                pass
            finally:
                heal()
            client.archive.refresh()
            here, there = client.messages(), server.bodies()
            self.assertGreaterEqual(len(here), kept, f"{fault}: said to be kept")
            self.assertEqual(3 - len(there), deleted, f"{fault}: said to be deleted on the server")
            self.assertEqual(sorted({*here, *there}), wanted, f"{fault}: lost")
            again = await deferToThread(client.fetcher.fetch, account, FetchOptions(keep=DELETE))
            self.assertIsNone(again.problem, fault)
            client.archive.refresh()
            self.assertEqual((client.messages(), server.bodies()), (wanted, []), f"{fault}: fetched once more")
        finally:
            await client.close()
        return bool(failed)

    async def test_no_message_is_lost_or_doubled_whatever_call_fails(self) -> None:
        tried = 0
        for name, lasting in itertools.product(_CALLS, (False, True)):
            for at in itertools.count(1):
                if not await self.survives(name, at, lasting):
                    break
                tried += 1
        self.assertGreater(tried, 50, "hardly anything was tried")
