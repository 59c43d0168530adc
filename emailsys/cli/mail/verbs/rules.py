"""Verbs for the rules of accounts: list, test and apply."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from emailsys.cli.mail.arguments import account_option, all_accounts_option, folder_of, messages_of
from emailsys.cli.mail.completions import complete_folders
from emailsys.cli.mail.safe_output import flag_names, print_json, print_safe_rows, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.accounts.rule_values import Rule
    from emailsys.client.accounts.values import Account
    from emailsys.client.archive.values import Folder, Summary
    from emailsys.client.rules.application import Judged

# Messages read from the archive at a time.
_PAGE: Final = 500
_WRITE_ONE: Final = "Write rules in {path}, in tables [[accounts.{name}.rules]]; docs/user-guide.md has examples."


@click.group()
def rules() -> None:
    """List and try the rules that file and mark new mail.

    They are in mail.toml, in tables such as this one:

    \b
    [[accounts.work.rules]]
    list = "twisted.example.org"
    folder = "Lists"

    \b
    emailsys mail rules list
    emailsys mail rules test --folder Inbox
    emailsys mail rules apply
    """


def _rules_of(session: Session, account: Account) -> tuple[Rule, ...]:
    """Return the rules of an account. @raise Refused: they have errors, or there are none."""
    if account.rule_problems:
        raise Refused("\n".join(account.rule_problems), Exit.CONFIG)
    if not account.rules:
        path = session.mailbox.paths.accounts
        raise Refused(
            f"The account {account.name} has no rules. {_WRITE_ONE.format(path=path, name=account.name)}",
            Exit.NO_INPUT,
        )
    return account.rules


@rules.command("list")
@all_accounts_option
@as_json
@pass_session
def list_(session: Session, account: str | None, as_json: bool) -> int:
    """List the rules in the order in which they are tried, and their errors with file, line and key.

    \b
    emailsys mail rules list
    emailsys mail rules list -a work --json
    """
    mailbox = session.mailbox
    accounts = mailbox.accounts() if account is None else [mailbox.find_account(account)]
    rows = [
        {
            "account": one.name,
            "number": number,
            "name": rule.name,
            "line": rule.line or None,
            "if": _conditions(rule),
            "then": _actions(rule),
        }
        for one in accounts
        for number, rule in enumerate(one.rules, 1)
    ]
    problems = [problem for one in accounts for problem in one.rule_problems]
    if as_json:
        print_json({"rules": rows, "problems": problems})
    elif rows or not problems:
        words = _WRITE_ONE.format(path=mailbox.paths.accounts, name=accounts[0].name if accounts else "NAME")
        print_safe_rows(rows, f"There are no rules yet. {words}")
    for problem in problems:
        tell(problem)
    if problems:
        tell("Until this is corrected, all new mail of the account stays in Inbox.")
    return Exit.CONFIG if problems else Exit.OK


@rules.command()
@click.argument("keys", nargs=-1)
@click.option("--folder", metavar="FOLDER", shell_complete=complete_folders, help="Try all messages of this folder.")
@account_option
@as_json
@pass_session
def test(session: Session, keys: tuple[str, ...], folder: str | None, account: str | None, as_json: bool) -> None:
    """Say what the rules would do with messages, or with those of a folder. Nothing is changed.

    \b
    emailsys mail rules test KEY
    emailsys mail rules test --folder Inbox
    emailsys mail search --keys from:bob | emailsys mail rules test - --json
    """
    if bool(keys) == (folder is not None):
        raise Refused("Name messages, or a folder with --folder.", Exit.USAGE)
    rows = []
    tried = 0
    for one in _judged(session, _chosen(session, keys, folder, account)):
        tried += 1
        if one.verdict.rules or one.problem or keys:
            rows.append(_row(one, as_json))
    if as_json:
        print_json(rows)
        return
    print_safe_rows(rows, f"The rules match none of {tried:,} messages{_place(session, folder, account)}.")


@rules.command()
@click.argument("keys", nargs=-1)
@click.option(
    "--folder",
    metavar="FOLDER",
    shell_complete=complete_folders,
    help="Apply them to all messages of this folder. Default: Inbox, unless you name messages.",
)
@account_option
@as_json
@pass_session
def apply(session: Session, keys: tuple[str, ...], folder: str | None, account: str | None, as_json: bool) -> None:
    """Apply the rules to messages that are here already: to those that you name, or to Inbox or another folder.

    \b
    emailsys mail rules apply
    emailsys mail rules apply --folder work/Archive
    emailsys mail search --keys newer:7d | emailsys mail rules apply -
    """
    from emailsys.client.display.list_text import message_count
    from emailsys.client.rules.application import apply as apply_to

    if keys and folder is not None:
        raise Refused("Name messages, or a folder with --folder, not both.", Exit.USAGE)
    found = list(_judged(session, _chosen(session, keys, None if keys else folder or "Inbox", account)))
    notes: list[str] = []
    matching = apply_to(session.mailbox.archive, found, notes.append)
    for one in found:
        if one.problem:
            notes.append(f"{one.summary.key}: the rules failed: {one.problem}")
    if as_json:
        print_json({"tried": len(found), "matched": matching, "notes": notes})
    for note in notes:
        tell(note)
    place = "" if keys else _place(session, folder or "Inbox", account)
    tell(f"The rules matched {matching:,} of {message_count(len(found))}{place}.")


def _place(session: Session, folder: str | None, account: str | None) -> str:
    """Return the words for a folder: of several accounts, each has its own Inbox."""
    if folder is None:
        return ""
    found = folder_of(session, folder, account)
    return f" in {found.account}/{found.name}"


def _chosen(session: Session, keys: tuple[str, ...], folder: str | None, account: str | None) -> Iterator[Summary]:
    """Yield messages. All are read before the first is moved.

    @raise Refused: a message is in the outbox, or a draft.
    """
    from emailsys.client.archive.values import DRAFTS, OUTBOX

    found = (
        messages_of(session, keys) if folder is None else list(_all_of(session, folder_of(session, folder, account)))
    )
    for one in found:
        if one.folder.name in (DRAFTS, OUTBOX):
            raise Refused(f"Rules are for received messages; {one.key} is in {one.folder.name}.", Exit.USAGE)
    yield from found


def _all_of(session: Session, folder: Folder) -> Iterator[Summary]:
    below: int | None = None
    while page := session.mailbox.archive.list(folder, _PAGE, below):
        yield from page
        below = page[-1].order


def _judged(session: Session, messages: Iterator[Summary]) -> Iterator[Judged]:
    """Try the rules of each message's account on it."""
    from emailsys.client.rules.application import judged

    by_account: dict[str, tuple[Rule, ...]] = {}
    for one in messages:
        name = one.folder.account
        if name not in by_account:
            by_account[name] = _rules_of(session, session.mailbox.find_account(name))
        if (found := judged(session.mailbox.archive, by_account[name], one)) is not None:
            yield found


def _row(one: Judged, as_json: bool) -> dict[str, Any]:
    from emailsys.client.display.list_text import SHORT_KEY, correspondent

    found, summary = one.verdict, one.summary
    names = [rule.name for rule in found.rules]
    marks = flag_names(found.flags)
    if as_json:
        return {
            "key": summary.key,
            "from": summary.sender,
            "subject": summary.subject,
            "rules": names,
            "folder": found.folder,
            "tags": list(found.tags),
            "flags": marks,
            "problem": one.problem or None,
        }
    return {
        "key": summary.key[:SHORT_KEY],
        "from": correspondent(summary),
        "subject": summary.subject,
        "rules": one.problem or ", ".join(names) or "-",
        "folder": found.folder or "-",
        "marks": " ".join([*marks, *(f"#{tag}" for tag in found.tags)]) or "-",
    }


def _conditions(rule: Rule) -> str:
    words = [f"{one.header or one.place.value}: {' or '.join(one.patterns)}" for one in rule.conditions]
    words += [f"larger: {rule.larger}"] if rule.larger is not None else []
    words += [f"smaller: {rule.smaller}"] if rule.smaller is not None else []
    return ", ".join(words)


def _actions(rule: Rule) -> str:
    words = [rule.folder] if rule.folder is not None else []
    words += [f"#{tag}" for tag in rule.tags]
    words += [word for word, is_set in (("flag", rule.flag), ("read", rule.read), ("stop", rule.stop)) if is_set]
    return ", ".join(words)
