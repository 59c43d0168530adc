"""Verbs for saved searches: list, add, rename and remove."""

from __future__ import annotations

import click

from emailsys.cli.command_group import Verbs
from emailsys.cli.mail.safe_output import print_json, print_safe_rows, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.config.exit_status import Exit


@click.group("saved", cls=Verbs)
def saved() -> None:
    """List, add, rename and remove saved searches, which are virtual folders in the full screen.

    \b
    emailsys mail saved add Bills 'subject:(invoice OR bill) newer:1y'
    emailsys mail search --saved Bills
    """


@saved.command("list")
@as_json
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List the saved searches with their queries.

    \b
    emailsys mail saved list
    """
    rows = [{"name": name, "query": query} for name, query in session.mailbox.saved_searches.load().items()]
    if as_json:
        print_json(rows)
    else:
        print_safe_rows(rows, "No search is saved. Save one: emailsys mail saved add NAME QUERY", cut=("query",))


@saved.command("add")
@click.argument("name")
@click.argument("query", nargs=-1, required=True)
@as_json
@pass_session
def add(session: Session, name: str, query: tuple[str, ...], as_json: bool) -> None:
    """Save a search, in place of one of the same name.

    \b
    emailsys mail saved add Bills 'subject:(invoice OR bill) newer:1y'
    """
    from emailsys.client.archive.query import unknown_field_warning

    text = " ".join(query).strip()
    if not text:
        raise Refused("The search is empty: it would find all messages.", Exit.USAGE)
    # An invalid query is refused now.
    session.mailbox.archive.query(text)
    if warning := unknown_field_warning(text):
        tell(f"Warning: {warning}")
    session.mailbox.saved_searches.put(name, text)
    if as_json:
        print_json({"name": name.strip(), "query": text})
    tell(f"The search is saved as {name.strip()}.")


@saved.command("rename")
@click.argument("name")
@click.argument("new")
@as_json
@pass_session
def rename(session: Session, name: str, new: str, as_json: bool) -> None:
    """Rename a saved search.

    \b
    emailsys mail saved rename Bills Invoices
    """
    session.mailbox.saved_searches.rename(name, new)
    name, query = session.mailbox.saved_searches.find(new.strip())
    if as_json:
        print_json({"name": name, "query": query})
    tell(f"The saved search is called {name} now.")


@saved.command("remove")
@click.argument("name")
@as_json
@pass_session
def remove(session: Session, name: str, as_json: bool) -> None:
    """Remove a saved search. Its messages stay where they are.

    \b
    emailsys mail saved remove Bills
    """
    name, query = session.mailbox.saved_searches.find(name)
    session.mailbox.saved_searches.remove(name)
    if as_json:
        print_json({"name": name, "query": query})
    tell(f"The saved search {name} is removed.")
