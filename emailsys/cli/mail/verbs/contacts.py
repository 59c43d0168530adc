"""Verbs for the contact book: add, list, remove, import and export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from emailsys.cli.command_group import Verbs
from emailsys.cli.mail.arguments import people
from emailsys.cli.mail.safe_output import print_json, print_safe_rows, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.client.contacts.book import Contact, ContactBook
from emailsys.config.exit_status import Exit


@click.group(cls=Verbs, invoke_without_command=True)
@click.pass_context
def contact(ctx: click.Context) -> None:
    """Keep people and groups, with short names for To, Cc and Bcc.

    \b
    emailsys mail contact add bob "Bob Miller <bob@example.org>"
    emailsys mail contact add team ann@example.org ben@example.org --group
    emailsys mail send team -s Lunch -m "At twelve?"
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, as_json=False)


def _book() -> ContactBook:
    from emailsys.client.base.locations import contacts_file

    return ContactBook(contacts_file())


def _fields(one: Contact) -> dict[str, Any]:
    return {
        "short_name": one.short_name,
        "name": one.name,
        "addresses": [str(address) for address in one.addresses],
        "group": one.is_group,
    }


@contact.command("add")
@click.argument("short_name")
@click.argument("mailboxes", nargs=-1, required=True)
@click.option("--name", default="", help="Full name. Default: the name before the first address.")
@click.option("--group", is_flag=True, help="SHORT_NAME stands for all the addresses, not for the first one.")
@as_json
def add(short_name: str, mailboxes: tuple[str, ...], name: str, group: bool, as_json: bool) -> None:
    """Add a contact, or replace the one with that short name.

    \b
    emailsys mail contact add bob "Bob Miller <bob@example.org>" bob@home.example
    emailsys mail contact add team ann@example.org ben@example.org --group
    """
    found = people("mailbox", mailboxes)
    named = next((one.name for one in found if one.name), "") if not group else ""
    one = Contact(short_name, name or named, tuple({one.address.key: one.address for one in found}.values()), group)
    _book().put([one])
    if as_json:
        print_json(_fields(one))
    tell(f"{short_name} stands for: {', '.join(map(str, one.mailboxes))}")


@contact.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List all contacts.

    \b
    emailsys mail contact list --json
    """
    found = sorted(_book().load().values(), key=lambda one: one.short_name.casefold())
    if as_json:
        print_json([_fields(one) for one in found])
        return
    rows = [
        {"short name": one.short_name, "name": one.name, "addresses": ", ".join(map(str, one.addresses))}
        for one in found
    ]
    print_safe_rows(rows, 'There are no contacts. Add one: emailsys mail contact add bob "Bob <bob@example.org>"')


@contact.command("remove")
@click.argument("short_name")
@as_json
def remove(short_name: str, as_json: bool) -> None:
    """Remove a contact.

    \b
    emailsys mail contact remove bob
    """
    _book().remove(short_name)
    if as_json:
        print_json({"short_name": short_name, "removed": True})
    tell(f"Removed the contact {short_name}.")


@contact.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
@pass_session
def import_(session: Session, files: tuple[Path, ...], as_json: bool) -> int:
    """Import contacts from vCard files (.vcf). The short name is the nickname, or else the part before the @.

    If a short name is already taken, a number is added to it. A card that is already a contact is skipped.

    \b
    emailsys mail contact import contacts.vcf
    """
    from emailsys.client.contacts.vcard_import import import_cards

    contents = []
    for file in files:
        try:
            contents.append((str(file), file.read_bytes()))
        except OSError as error:
            raise Refused(f"{file}: {error.strerror}", Exit.NO_INPUT) from None
    added, left_out = import_cards(_book(), contents)
    for problem in left_out:
        tell(problem)
    if as_json:
        print_json({"imported": [_fields(one) for one in added], "left_out": left_out})
    tell(f"{len(added)} contact{'s' * (len(added) != 1)} imported.")
    return Exit.DATA if left_out and not added else Exit.OK


@contact.command("export")
@as_json
def export(as_json: bool) -> None:
    """Print all contacts as vCards (RFC 6350), or with --json as `contact list` does.

    \b
    emailsys mail contact export > contacts.vcf
    """
    from emailsys.client.contacts.vcard import write_cards

    if as_json:
        print_json([_fields(one) for one in _book().load().values()])
        return
    sys.stdout.buffer.write(write_cards(_book().load().values()))
