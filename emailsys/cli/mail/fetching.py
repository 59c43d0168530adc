"""The verbs that ask the POP3 servers: fetch mail, and look at what waits there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from emailsys.cli.mail.naming import account_arguments, account_option
from emailsys.cli.mail.printing import print_json, print_safe_rows, tell
from emailsys.cli.mail.prompting import ask_secret
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.config.exits import Exit

if TYPE_CHECKING:
    from emailsys.client.accounts.values import Account
    from emailsys.client.fetch_values import Fetched, Progress, Waiting


def _chosen(session: Session, names: Sequence[str]) -> list[Account]:
    if names:
        return [session.desk.account(name) for name in names]
    found = [one for one in session.desk.accounts() if one.pop3 is not None]
    if not found:
        raise Refused("there is no account to fetch: emailsys mail account add you@example.org", Exit.CONFIG)
    return found


@click.command()
@account_arguments
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@click.option(
    "--every", type=click.FloatRange(1), default=60.0, show_default=True, help="Seconds between, with --watch."
)
@click.option("--uid", "uids", multiple=True, metavar="UID", help="This message, whatever its size; see `waiting`.")
@click.option("--newest", type=click.IntRange(1), help="So many of the latest new ones only.")
@click.option("--max-size", metavar="SIZE", help="Leave larger ones on the server: 500k, 2M; 0 for no limit.")
@click.option("--keep", metavar="HOW", help="leave, delete, or days on the server; by default as the account says.")
@as_json
@pass_session
def fetch(
    session: Session,
    accounts: tuple[str, ...],
    watch: bool,
    every: float,
    uids: tuple[str, ...],
    newest: int | None,
    max_size: str | None,
    keep: str | None,
    as_json: bool,
) -> int:
    """Fetch new mail of all accounts side by side, or of some.

    What is fetched is on disk here before anything is deleted there. With --watch and --json each fetch that brought
    something prints a document of its own.

    \b
    emailsys mail fetch
    emailsys mail fetch work --max-size 2M
    emailsys mail fetch --watch --every 30
    """
    if not watch:
        session.split_off_second()
    from emailsys.cli.mail.accounts import keep_of, octets_of
    from emailsys.client.fetch_values import Wanted
    from emailsys.client.post import Post

    chosen = _chosen(session, accounts)
    wanted = Wanted(
        frozenset(uids) if uids else None,
        octets_of(max_size) if max_size is not None else None,
        keep_of(keep) if keep is not None else None,
        newest,
    )
    archive = session.desk.archive
    with _bars(not as_json or sys.stderr.isatty()) as progress:

        async def once(reactor: Any) -> Sequence[Fetched]:
            return await Post(session.desk, reactor, ask_secret, progress).fetch(chosen, wanted)

        def again(result: Fetched) -> None:
            if as_json and (result.keys or result.problem):
                print_json(fetched_fields(result))
            if result.keys or result.problem:
                tell_fetched(result)

        async def on_and_on(reactor: Any) -> None:
            await Post(session.desk, reactor, ask_secret, progress).fetcher().watch(chosen, every, again, wanted)

        archive.refresh()
        if watch:
            tell(f"watching {', '.join(one.name for one in chosen)}; Ctrl-C ends it")
            try:
                session.run(on_and_on)
            except KeyboardInterrupt:
                tell("")
            return Exit.OK
        results = session.run(once)
    if as_json:
        print_json([fetched_fields(one) for one in results])
    return max((tell_fetched(one) for one in results), default=Exit.OK)


@contextmanager
def _bars(wanted: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar for each account that is fetching, on a terminal."""
    if not (wanted and sys.stderr.isatty()):
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    from emailsys.client.fetch_values import Stage
    from emailsys.client.glance import size
    from emailsys.client.reading import safe_line

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(progress: Progress) -> None:
            if progress.account not in tasks:
                tasks[progress.account] = bars.add_task(progress.account, total=None, note="")
            done = progress.stage in (Stage.DONE, Stage.FAILED)
            bars.update(
                tasks[progress.account],
                completed=progress.messages,
                total=progress.all_messages or None,
                note=f"{size(progress.octets)} {safe_line(progress.note or progress.stage.value)}",
                visible=not done,
            )

        yield show


def fetched_fields(result: Fetched) -> dict[str, Any]:
    """What came of a fetch, as JSON has it."""
    return {
        "account": result.account,
        "keys": list(result.keys),
        "octets": result.octets,
        "deleted_on_server": result.deleted,
        "on_server": result.on_server,
        "too_big": [{"uid": one.uid, "octets": one.octets} for one in result.too_big],
        "problem": result.problem,
        "advice": result.advice,
    }


def tell_fetched(result: Fetched) -> int:
    """Say what came of a fetch; the exit status."""
    from emailsys.client.glance import size

    number = len(result.keys)
    what = "no new mail" if not number else "1 new message" if number == 1 else f"{number} new messages"
    if result.problem is None or number:
        tell(f"{result.account}: {what}{f', {size(result.octets)}' if number else ''}")
    if result.too_big:
        largest = ", ".join(f"{one.uid} ({size(one.octets)})" for one in result.too_big[:5])
        tell(f"{result.account}: left on the server for their size: {largest}; emailsys mail fetch --uid UID")
    if result.problem is None:
        return Exit.OK
    tell(f"{result.account}: {result.problem}{'; ' + result.advice if result.advice else ''}")
    return Exit.TEMPORARY if result.transient else Exit.UNAVAILABLE


@click.command()
@account_option
@click.option("-n", "--limit", type=click.IntRange(1), default=50, show_default=True, help="So many of the latest.")
@click.option("--lines", type=click.IntRange(0), default=0, help="With so many lines of each body, in JSON.")
@as_json
@pass_session
def waiting(session: Session, account: str | None, limit: int, lines: int, as_json: bool) -> None:
    """Look at what is on the server: size, sender and subject; nothing is fetched or deleted."""
    from emailsys.client.archive.facts import facts_of
    from emailsys.client.glance import size, when
    from emailsys.client.post import Post

    owner = session.desk.account(account)

    async def work(reactor: Any) -> Sequence[Waiting]:
        return await Post(session.desk, reactor, ask_secret).preview(owner, lines, limit)

    now = session.desk.now()
    rows = []
    for one in session.run(work):
        known = facts_of(one.header, now)
        rows.append(
            {
                "uid": one.uid,
                "fetched": one.fetched,
                "date": known.date.isoformat() if as_json else when(known.date, now),
                "from": known.sender,
                "subject": known.subject,
                "octets": one.octets if as_json else size(one.octets),
                **({"preview": known.preview} if as_json and lines else {}),
            }
        )
    if as_json:
        print_json(rows)
    else:
        print_safe_rows(rows, "nothing is on the server")
