"""Fetches mail in processes that die at every step: between any two calls that touch the disk or the wire.

For each step a fork of this process fetches until it makes that call, and dies before it; then another one fetches
to the end. What is here and there at both moments is printed as JSON, one line a step, until a step is not reached.
With "beside" a second process keeps what comes, and the first one dies; with "second" it is the second one that dies.
With "-handing" behind that the first one writes all messages, and the second one only names them.
"""

from __future__ import annotations

import json
import os
import poplib
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from twisted.internet.selectreactor import SelectReactor

from emailsys.client.accounts.values import Keep, KeepKind
from emailsys.client.archive import worker
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.writer import Writer
from emailsys.client.fetch.fetcher import FetchOptions
from emailsys.upstream import end_process
from tests.fakes.client.client_house import ClientHouse

_CALLS = ("write", "fsync", "replace", "rename", "open", "unlink", "ftruncate", "utime")
_DIED = 9


def _die_at(step: int, mark: Path) -> None:
    """End this process, as kill -9 does, instead of its call of that number, leaving a mark."""
    count = 0

    def dying(call: Any) -> Any:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                mark.mkdir()
                end_process(_DIED)
            return call(*arguments, **named)

        return counted

    for name in _CALLS:
        setattr(os, name, dying(getattr(os, name)))
    from emailsys.client.fetch.stream import TCPStream

    TCPStream.send = dying(TCPStream.send)  # type: ignore[method-assign]
    # Between the names and the index there is no call that changes anything on disk.
    Writer._write_index = dying(Writer._write_index)  # type: ignore[method-assign]


def _second(folder: Path, step: int | None, is_busy: bool) -> Any:
    """The second process, which dies at that step. @param is_busy: it never has the time to write."""
    serve = worker.serve

    def dying(
        opened: Callable[[], Archive], asked: BinaryIO, answered: BinaryIO, has_request: Callable[[float], bool]
    ) -> None:
        if step is not None:
            _die_at(step, folder / "died")
        serve(opened, asked, answered, has_request)

    worker.serve = dying
    second = worker.start(folder / "mail", lambda: datetime(2026, 3, 1, tzinfo=UTC))
    if is_busy:
        worker._MIN_STAGED = 1  # type: ignore[misc]
        worker.WorkerProcess.is_busy = True  # type: ignore[assignment, method-assign]
    return second


def _fetch(folder: Path, name: str, port: int, keep: Keep, who: str, step: int | None) -> int:
    """In a fork: 0 if the fetch came to its end, else how it died. Returns when its second process has ended, too."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    ended, alive = os.pipe()
    child = os.fork()
    if child:
        os.close(alive)
        # Both have that end open while they live.
        os.read(ended, 1)
        os.close(ended)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        reactor: Any = SelectReactor()
        who, _, handing = who.partition("-")
        second = None if who == "alone" else _second(folder, step if who == "second" else None, bool(handing))
        house = ClientHouse(reactor, folder, second)
        account = house.account(name, pop3=port)
        if step is not None and who != "second":
            _die_at(step, folder / "died")
        result = house.fetcher.fetch(account, FetchOptions(keep=keep))
        if result.problem is not None:
            print(result, file=sys.stderr)
        if second is not None:
            second.close()
        end_process(0 if result.problem is None else 2)
    finally:
        end_process(3)


def _there(name: str, port: int) -> list[str]:
    """The first lines of what the server has."""
    server = poplib.POP3("127.0.0.1", port, timeout=30)
    server.user(f"{name}@example.test")
    server.pass_("secret")
    found = [server.retr(number + 1)[1][0].decode() for number in range(server.stat()[0])]
    server.quit()
    return found


def _here(folder: Path) -> list[str]:
    """The first lines of what the local store has: by its files, as they are on disk."""
    return [file.read_text().partition("\n")[0] for file in sorted((folder / "mail").glob("*/Inbox/*.eml"))]


def main(port: int, rule: str, who: str, steps: int) -> None:
    """Die at each step of the first ones, until one is not reached any more. @param who: see above."""
    keep = Keep(KeepKind(rule))
    for step in range(1, steps + 1):
        folder = Path(tempfile.mkdtemp(prefix="emailsys-victim-"))
        name = f"user{step}"
        status = _fetch(folder, name, port, keep, who, step)
        after_death = (_here(folder), _there(name, port))
        last = _fetch(folder, name, port, keep, "alone", None)
        archive = Archive(folder / "mail", lambda: datetime(2026, 3, 1, tzinfo=UTC))
        indexed = sum(count.messages for count in archive.folders())
        archive.close()
        report = {
            "step": step,
            "died": (folder / "died").exists(),
            "status": status,
            "then": last,
            "after_death": after_death,
            "at_the_end": (_here(folder), _there(name, port)),
            "indexed": indexed,
        }
        print(json.dumps(report), flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        if not report["died"]:
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
