"""Verb `shell`: a line-by-line shell in which each line is a verb of `emailsys mail`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

import click

from emailsys.cli.mail.arguments import folder_of
from emailsys.cli.mail.asyncio_reactor import reactor_on
from emailsys.cli.mail.group import mail, refused_by
from emailsys.cli.mail.safe_output import tell
from emailsys.cli.mail.session import Session, Work, pass_session
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit

T = TypeVar("T")


@click.command()
@pass_session
def shell(session: Session) -> int:
    """Open a line-by-line shell, which never redraws the screen. For slow terminals and screen readers.

    \b
    emailsys mail shell
    mail> list
    mail> 3
    mail> reply 3
    mail> fetch
    mail> quit
    """
    from emailsys.client.base.locations import state_folder

    if session.numbered is not None:
        raise Refused("The mail shell is already open. Type a verb, for example: list", Exit.USAGE)
    if not sys.stdin.isatty():
        raise Refused("The mail shell needs a terminal. In scripts, use a verb: emailsys mail --help", Exit.USAGE)
    loop = asyncio.new_event_loop()
    with reactor_on(loop) as reactor:
        from emailsys.client.shell import Shell

        inner = Session(LoopRunner(loop, reactor))
        inner.numbered = []
        verbs = {name: text for name, text in mail.lines_of_help().items() if name != "shell"}
        Shell(
            lambda words: execute(inner, words),
            verbs,
            lambda name: change_folder(inner, name),
            lambda: folder_names(inner),
            inner.mailbox.people,
            tell,
            state_folder() / "shell-history",
        ).run()
        inner.close()
    return Exit.OK


class LoopRunner:
    """Runs coroutines, one after the other, on an event loop that stops in between."""

    def __init__(self, loop: asyncio.AbstractEventLoop, reactor: Any) -> None:
        self._loop = loop
        self._reactor = reactor

    def __call__(self, work: Work[T]) -> T:
        from twisted.internet.defer import CancelledError, Deferred

        deferred = Deferred.fromCoroutine(work(self._reactor))
        future = deferred.asFuture(self._loop)
        try:
            return self._loop.run_until_complete(future)
        except KeyboardInterrupt:
            deferred.cancel()
            self._loop.run_until_complete(asyncio.wait([future], timeout=10))
            raise
        except CancelledError:
            raise KeyboardInterrupt from None


def execute(session: Session, words: list[str]) -> int:
    """Run a verb, print its errors, and return its exit status. No error ends the shell."""
    from emailsys.cli.main import exit_status_of

    status = exit_status_of(lambda: mail.main(args=words, prog_name="mail", standalone_mode=False, obj=session))
    session.tell_reports()
    return status


def change_folder(session: Session, name: str) -> str:
    """Set the folder that `list` lists. Returns its full name, or "" if it does not exist."""
    try:
        folder = folder_of(session, name, None)
    except Exception as error:
        refused = error if isinstance(error, Refused) else refused_by(error)
        if refused is None:
            raise
        refused.show()
        return ""
    session.folder = f"{folder.account}/{folder.name}"
    return session.folder


def folder_names(session: Session) -> Iterable[str]:
    """Return the folders of the default account by name, and those of other accounts as ACCOUNT/FOLDER."""
    counts = session.mailbox.archive.folders()
    default = session.mailbox.account().name
    return [
        one.folder.name if one.folder.account == default else f"{one.folder.account}/{one.folder.name}"
        for one in counts
    ]
