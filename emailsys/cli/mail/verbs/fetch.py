"""Verbs for POP3 servers: fetch and waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from emailsys.cli.mail.arguments import account_arguments, all_accounts_option, keep_of
from emailsys.cli.mail.safe_output import print_json, print_safe_rows, tell
from emailsys.cli.mail.secret_prompt import ask_secret
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.mail.wire import wire_options
from emailsys.cli.options import Refused, as_json
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.accounts.secrets import Prompt
    from emailsys.client.accounts.values import Account
    from emailsys.client.archive.values import FetchStore
    from emailsys.client.fetch.fetcher import Fetcher
    from emailsys.client.fetch.values import FetchResult, Progress, ServerMessage


def _chosen(session: Session, names: Sequence[str]) -> list[Account]:
    if names:
        return [session.mailbox.find_account(name) for name in names]
    found = [one for one in session.mailbox.accounts() if one.pop3 is not None]
    if not found:
        raise Refused(
            "There is no account to fetch from. Add one: emailsys mail account add you@example.org", Exit.CONFIG
        )
    return found


def _octets_of(size: str) -> int:
    from emailsys.cli.amounts import octets_of

    return octets_of(size)


def _fetcher(
    session: Session,
    store: FetchStore,
    accounts: Sequence[Account],
    prompt: Prompt,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Fetcher:
    """Return a fetcher. All passwords are requested first, in the main thread, where Ctrl-C reaches the prompt."""
    from emailsys.client.accounts.blocking_secrets import CommandSecrets
    from emailsys.client.fetch.fetcher import Fetcher

    mailbox = session.mailbox
    secrets = CommandSecrets(prompt)
    for account in accounts:
        if account.pop3 is not None:
            secrets.prefetch(account, account.pop3)
    return Fetcher(store, secrets, mailbox.paths.state, mailbox.now, progress, session.streams())


@click.command()
@account_arguments
@click.option("--watch", is_flag=True, help="Fetch repeatedly until Ctrl-C.")
@click.option(
    "--every",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: time between two fetches.",
)
@click.option(
    "--uid",
    "uids",
    multiple=True,
    metavar="UID",
    help="Fetch only this message, whatever its size. Repeatable. `emailsys mail waiting` lists the UIDs.",
)
@click.option(
    "--again",
    "anew",
    is_flag=True,
    help="Fetch all messages that are not here, even if they were fetched before. Use it if the data folder was lost.",
)
@click.option("--newest", type=click.IntRange(1), metavar="NUMBER", help="Fetch only the latest new messages.")
@click.option("--max-size", metavar="SIZE", help="Leave larger messages on the server: 500k, 2M; 0 for no limit.")
@click.option(
    "--keep",
    metavar="HOW",
    help="Fetched mail on the server: leave, delete, or the number of days to leave it. Default: as the account says.",
)
@wire_options
@as_json
@pass_session
def fetch(
    session: Session,
    accounts: tuple[str, ...],
    watch: bool,
    every: float,
    uids: tuple[str, ...],
    anew: bool,
    newest: int | None,
    max_size: str | None,
    keep: str | None,
    as_json: bool,
) -> int:
    """Fetch new mail from all accounts at the same time, or from ACCOUNTS.

    Each message is on disk here before it is deleted on the server. With --watch and --json, each fetch with new mail
    or an error prints a JSON document of its own.

    \b
    emailsys mail fetch
    emailsys mail fetch work --max-size 2M
    emailsys mail fetch --watch --every 30
    emailsys mail fetch work --again
    emailsys mail fetch work --wire
    """
    if anew and (watch or uids):
        raise Refused("--again goes with neither --watch nor --uid.", Exit.USAGE)
    _remove_opened(session)
    if not watch:
        session.start_archive_worker()
    from emailsys.cli.mail.progress_bars import ProgressBars
    from emailsys.client.fetch.values import FetchOptions

    chosen = _chosen(session, accounts)
    wanted = FetchOptions(
        frozenset(uids) if uids else None,
        _octets_of(max_size) if max_size is not None else None,
        keep_of(keep) if keep is not None else None,
        newest,
        anew,
    )

    def again(result: FetchResult) -> None:
        _wake(session)
        _remove_opened(session)
        if as_json and (result.keys or result.problem):
            print_json(fetched_fields(result))
        if result.keys or result.problem:
            tell_fetched(result)

    store = session.fetch_store()
    with ProgressBars(not session.shows_wire) as bars:
        fetcher = _fetcher(session, store, chosen, bars.ask_secret, bars.fetching)
        if watch:
            try:
                tell(f"Watching {', '.join(one.name for one in chosen)}. Press Ctrl-C to stop.")
                fetcher.watch(chosen, every, again, wanted)
            except KeyboardInterrupt:
                tell("")
            return Exit.OK
        results = fetcher.fetch_all(chosen, wanted)
    _wake(session)
    if as_json:
        print_json([fetched_fields(one) for one in results])
    status = max((tell_fetched(one) for one in results), default=Exit.OK)
    for one in results:
        if one.problem is None and not one.keys and one.on_server and _is_empty(session, one.account):
            tell(
                f"{one.account}: all messages on the server were fetched before, but none is here. To fetch them: "
                f"emailsys mail fetch {one.account} --again"
            )
    return status


def _remove_opened(session: Session) -> None:
    """Remove copies that other programs opened more than a day ago."""
    state = session.mailbox.paths.state
    if (state / "opened").is_dir():
        from emailsys.client.opening.private_files import sweep

        sweep(state)


def _is_empty(session: Session, account: str) -> bool:
    """Whether the account's folders have no message. Looks at the files: the worker has the index."""
    from emailsys.client.archive.files import is_message

    return not any(is_message(path.name) for path in (session.mailbox.paths.archive / account).glob("*/*.eml"))


def _wake(session: Session) -> None:
    """Bring back the snoozed messages whose moment has come. Most mailboxes have none and open no archive here."""
    if any(session.mailbox.paths.archive.glob("*/Snoozed")):
        from emailsys.client.archive.snooze import wake
        from emailsys.client.archive.values import ArchiveError

        try:
            woken = wake(session.mailbox.archive, session.mailbox.now())
        except ArchiveError as error:
            tell(f"Snoozed messages were not brought back: {error}")
            return
        if woken:
            tell(f"Back from Snoozed: {len(woken)}.")


def fetched_fields(result: FetchResult) -> dict[str, Any]:
    """Return the JSON fields of a fetch result."""
    return {
        "account": result.account,
        "keys": list(result.keys),
        "octets": result.octets,
        "deleted_on_server": result.deleted,
        "on_server": result.on_server,
        "filed": result.filed,
        "notes": list(result.notes),
        "too_big": [{"uid": one.uid, "octets": one.octets} for one in result.too_big],
        "problem": result.problem,
        "advice": result.advice,
    }


def tell_fetched(result: FetchResult) -> int:
    """Print the result of a fetch, and return the exit status."""
    from emailsys.client.display.list_text import message_count, size_text
    from emailsys.client.display.problem_text import problem_text

    number = len(result.keys)
    what = message_count(number, "new ") if number else "no new mail"
    if result.problem is None or number:
        filed = f", {result.filed:,} filed by rules" if result.filed else ""
        tell(f"{result.account}: {what}{f', {size_text(result.octets)}' if number else ''}{filed}")
    for note in result.notes:
        tell(f"{result.account}: {note}")
    if result.too_big:
        largest = ", ".join(f"{one.uid} ({size_text(one.octets)})" for one in result.too_big[:5])
        tell(f"{result.account}: too large, left on the server: {largest}. To fetch one: emailsys mail fetch --uid UID")
    if result.problem is None:
        return Exit.OK
    tell(f"{result.account}: {problem_text(result.problem, result.advice)}")
    return Exit.TEMPORARY if result.transient else Exit.UNAVAILABLE


@click.command()
@all_accounts_option
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Maximum number of messages of each account, from the latest.",
)
@click.option("--lines", type=click.IntRange(0), default=0, help="With --json: lines of each body to preview.")
@wire_options
@as_json
@pass_session
def waiting(session: Session, account: str | None, limit: int, lines: int, as_json: bool) -> int:
    """List the messages on the servers of all accounts with size, sender and subject. Nothing is fetched or deleted.

    (?) before a sender has the same meaning as in `emailsys mail list`.

    \b
    emailsys mail waiting
    emailsys mail waiting -a work --lines 5 --json
    """
    from emailsys.client.display.problem_text import problem_text
    from emailsys.client.fetch.values import FetchError

    owners = _chosen(session, [account] if account is not None else [])
    fetcher = _fetcher(session, session.mailbox.archive, owners, ask_secret)
    rows: list[dict[str, Any]] = []
    status = Exit.OK
    for owner in owners:
        try:
            found = fetcher.preview(owner, lines, limit)
        except FetchError as error:
            if len(owners) == 1:
                raise
            tell(f"{owner.name}: {problem_text(str(error), error.advice)}")
            status = max(status, Exit.TEMPORARY if error.transient else Exit.UNAVAILABLE)
            continue
        for one in found:
            row = _waiting_row(session, one, as_json, with_preview=bool(lines))
            rows.append({"account": owner.name, **row} if as_json or len(owners) > 1 else row)
    if as_json:
        print_json(rows)
    elif rows or status is Exit.OK:
        print_safe_rows(rows, "There are no messages on the server.")
    return status


def _waiting_row(session: Session, one: ServerMessage, as_json: bool, with_preview: bool) -> dict[str, Any]:
    from emailsys.client.archive.unreadable import readable_fields
    from emailsys.client.display.list_text import UNVERIFIED, short_date, size

    now = session.mailbox.now()
    known = readable_fields(session.mailbox.archive.root, one.uid, one.header, now)
    return {
        "uid": one.uid,
        "fetched": one.fetched,
        "date": known.date.isoformat() if as_json else short_date(known.date, now),
        "from": UNVERIFIED + known.sender if known.unverified and not as_json else known.sender,
        "subject": known.subject,
        "octets": one.octets if as_json else size(one.octets),
        **({"unverified": known.unverified} if as_json else {}),
        **({"preview": known.preview} if as_json and with_preview else {}),
    }
