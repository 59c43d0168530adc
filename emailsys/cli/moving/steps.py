"""The steps of the command `move`, with and without a running daemon."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from emailsys.cli.moving.config_switch import ConfigSwitch, has_password, resolved_url
from emailsys.cli.moving.running_daemon import RunningDaemon, Served
from emailsys.cli.options import NoStore, Places, Refused
from emailsys.config.exit_status import Exit
from emailsys.config.locations import without_password
from emailsys.config.settings import Settings
from emailsys.daemon.preload import load_before_dropping
from emailsys.interfaces import StoreError, StoreMissing
from emailsys.mail.quantities import counted
from emailsys.platforms.signals import ENDING, handled
from emailsys.platforms.users import owner_of
from emailsys.store.commit.ids import id_text
from emailsys.store.moving.move import Move, Moved, TooBusy, store_errors
from emailsys.store.moving.target import TargetInUse, remove_files
from emailsys.store.open import engine_of, sqlite_path
from emailsys.store.schema.identity import KeptIdentity
from emailsys.supervisor import FolderLock, as_owner, check_state_folder

# Ignored in the last step, which takes a moment: no key and no shutdown interrupts it.
_IGNORED: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGTSTP")
# The lock that one move at a time holds, in the state folder.
_LOCK_NAME: Final = "move.lock"
_SHOWN: Final = 20
_USE_A_FILE: Final = "Next time, put it into a file, and write {file:PATH} in its place"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a move has done.

    @ivar source, target: the databases, without passwords.
    @ivar hint: what an earlier move left, in words; None if nothing.
    @ivar kept: the former configuration; None if it was left as it is.
    @ivar seconds: for all of it.
    @ivar seconds_without: in which no process could commit. A running daemon answered with 451.
    @ivar served: the process that uses the copy.
    """

    source: str
    target: str
    moved: Moved
    hint: str | None
    kept: Path | None
    seconds: float
    seconds_without: float
    served: Served

    def as_json(self) -> Mapping[str, Any]:
        """Return the document of --json."""
        return {
            "from": self.source,
            "to": self.target,
            "finished_earlier": self.moved.finished,
            "rows": self.moved.rows,
            "damaged": [id_text(number) for number in self.moved.damaged],
            "former_config": None if self.kept is None else str(self.kept),
            "seconds": round(self.seconds, 3),
            "seconds_without_commits": round(self.seconds_without, 3),
            "pid": self.served.pid,
            "problem": self.served.problem,
        }

    def lines(self) -> Iterator[str]:
        """Yield the lines for a reader."""
        if self.hint is not None:
            yield self.hint
        if self.moved.finished:
            yield "an earlier move had copied everything"
        else:
            rows = self.moved.rows
            yield (
                f"{counted(sum(rows.values()), 'row')} copied and compared in {self.seconds:.1f} s: "
                f"{counted(rows['messages'], 'message')}, {rows['maildrop']} in maildrops, "
                f"{rows['queue']} in the queue, {counted(rows['accounts'], 'account')}"
            )
        for number in self.moved.damaged[:_SHOWN]:
            yield f"damaged already before: the body of {id_text(number)}"
        if len(self.moved.damaged) > _SHOWN:
            yield f"and {len(self.moved.damaged) - _SHOWN} more; --json prints all"
        if self.kept is None:
            yield f"the store is {self.target} now. Set store.url to it before the daemon starts"
        else:
            yield f"the store is {self.target} now; the former configuration is kept in {self.kept}"
        if self.served.pid is not None and self.served.problem is None:
            yield f"process {self.served.pid} serves it; mail had to wait for {self.seconds_without:.2f} s"
        yield f"{self.source} has the mail from before; no daemon uses it again. Remove it when you no longer need it"


def move_store(where: Places, to: str, leave_config: bool, tell: Callable[[str], None]) -> Outcome:
    """Move the store to a database.

    @param to: its URL, which may have references.
    @param leave_config: whether `store.url` stays as it is.
    @param tell: shows how far the move is.
    @raise Refused: the store was not moved.
    """
    began = time.monotonic()
    settings = where.settings()
    where.announce(settings.store.url)
    check_state_folder(where.folder)
    url = resolved_url(to, where.folder if where.config is None else where.config.parent)
    if has_password(to):
        click.echo(f"--to has a password, which other users of this machine may see. {_USE_A_FILE}", err=True)
    with _refusals():
        _check_other(settings, url)
    load_before_dropping(owner_of(where.folder) if where.folder.is_dir() else None)
    daemon = RunningDaemon(where)
    if daemon.is_running and "{env:" in to:
        raise Refused(
            "--to has {env:...}, and the running daemon has another environment. Use {file:PATH}, or stop it first",
            Exit.USAGE,
        )
    if daemon.is_running and leave_config:
        raise Refused("--leave-config is for a store that no daemon uses: stop the daemon first", Exit.USAGE)
    # As Ctrl-C does: otherwise triggers and a draft would stay. Under nohup, SIGHUP ends nothing.
    ended = handled(ENDING, signal.default_int_handler, even_ignored=False)
    with ended, _locked(where.folder, with_daemon=daemon.is_running):
        switch = None if leave_config else _draft(where, to, url, daemon)
        try:
            with _refusals(), _opened(settings, url, tell) as move:
                with as_owner(where.folder):
                    hint = move.begin()
                    move.copy()
                    move.approach()
                if switch is not None:
                    # The configuration may have been edited since.
                    switch = _draft(where, to, url, daemon)
                tell("waiting for the daemon" if daemon.is_running else "switching")
                config = None if switch is None else switch.path
                prepared = nullcontext(math.inf) if move.is_finishing else daemon.prepared(config)
                with prepared as until, handled(_IGNORED, signal.SIG_IGN):
                    with as_owner(where.folder):
                        moved = move.switch(until)
                    kept = None if switch is None else switch.commit()
                    served = daemon.take_over()
                    without = time.monotonic() - moved.locked_at
                with as_owner(where.folder):
                    move.tidy()
        finally:
            if switch is not None:
                switch.discard()
    source = without_password(settings.store.url or str(sqlite_path(None, where.folder)))
    return Outcome(source, without_password(url), moved, hint, kept, time.monotonic() - began, without, served)


def _draft(where: Places, to: str, url: str, daemon: RunningDaemon) -> ConfigSwitch:
    """Return the configuration with the new URL, if the daemon can read it."""
    switch = ConfigSwitch.prepare(where, to, url)
    try:
        if daemon.is_running:
            switch.check_for_daemon(where.folder)
    except BaseException:
        switch.discard()
        raise
    return switch


def _check_other(settings: Settings, url: str) -> None:
    """@raise Refused: the store is in that database already."""
    here, there = sqlite_path(settings.store.url, settings.state), sqlite_path(url, settings.state)
    is_same = settings.store.url == url if here is None or there is None else here == there
    if is_same:
        raise Refused("the store is there already: --to names the database of store.url")


@contextmanager
def _locked(folder: Path, with_daemon: bool) -> Iterator[None]:
    """Let no other move run in the state folder, and no daemon start there.

    @param with_daemon: whether a daemon runs there.
    @raise StartupError: one of them runs already.
    """
    locks: list[FolderLock] = []
    try:
        with as_owner(folder):
            locks.append(FolderLock.take(folder, _LOCK_NAME, "emailsys move"))
            if not with_daemon:
                locks.append(FolderLock.take(folder))
        yield
    finally:
        with as_owner(folder):
            for lock in locks:
                lock.release()


@contextmanager
def _opened(settings: Settings, url: str, tell: Callable[[str], None]) -> Iterator[Move]:
    """Provide the move. Files are opened and closed with the rights of the owner of the state folder."""

    def report(step: str, table: str, done: int, of: int) -> None:
        tell(f"{step} {table}: {done} of {of}")

    state = settings.state
    file = sqlite_path(url, state)
    with as_owner(state):
        is_new = file is not None and not file.exists()
        source = engine_of(settings.store.url, state, create=False)
        try:
            target = engine_of(url, state, create=True)
        except StoreMissing:
            source.close()
            raise StoreError(f"the folder of {sqlite_path(url, state)} does not exist. Create it first") from None
        except BaseException:
            source.close()
            raise
        move = Move(source, target, KeptIdentity(state), report)
    is_moved = False
    try:
        yield move
        is_moved = True
    finally:
        with as_owner(state):
            move.close()
            # As long as the former store is in use, a part of its mail in another file is of no use to anybody.
            if file is not None and is_new and not is_moved and move.has_own_copy:
                remove_files(file)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn errors of the stores into those of a command."""
    try:
        with store_errors():
            yield
    except TargetInUse as error:
        raise Refused(str(error)) from None
    except TooBusy as error:
        raise Refused(str(error), Exit.TEMPORARY) from None
    except StoreMissing as error:
        raise NoStore(str(error)) from None
    except StoreError as error:
        raise Refused(str(error), Exit.UNAVAILABLE) from None
