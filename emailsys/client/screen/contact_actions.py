"""Actions of the contact book: add, change and remove contacts, write to them, and read and write vCard files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from emailsys.client.archive.files import rewrite
from emailsys.client.archive.values import Summary
from emailsys.client.contacts.book import Contact, checked, checked_short_name, name_of
from emailsys.client.mailbox import UserMailbox
from emailsys.client.opening.paths import existing_path, new_file
from emailsys.client.screen.contact_book import ContactBookDialog
from emailsys.client.screen.dialogs import ChoiceDialog, ConfirmDialog, InputDialog
from emailsys.client.screen.opening_dialogs import PathDialog
from emailsys.client.screen.outbox_actions import OutboxActions
from emailsys.client.screen.panes import Panes
from emailsys.client.text.terminal import safe_line
from emailsys.mail.message.mailboxes import Mailbox, parse_mailboxes, read_mailboxes
from emailsys.mail.message.mime import parse_header

_SHORT_NAME_HINT = "It stands for the contact in To, Cc and Bcc: letters, digits and . _ - +"
_ADDRESSES_HINT = "With commas between them. A name may stand before the first: Bob Miller <bob@example.org>"
_KINDS = ("a person, whose first address is used", "a group: all addresses are used")
_EXPORTED = "~/contacts.vcf"


class ContactActions:
    """The contact book of the full screen. The coroutines run in workers."""

    def __init__(self, mailbox: UserMailbox, screen: Panes, outbox: OutboxActions) -> None:
        self._mailbox = mailbox
        self._screen = screen
        self._app = screen.mail_app
        self._outbox = outbox

    async def open(self, summary: Summary | None) -> None:
        """Show the contact book until the user leaves it. @param summary: the message whose sender can be added."""
        at = 0
        while True:
            book = await asyncio.to_thread(self._mailbox.contacts.load)
            contacts = sorted(book.values(), key=lambda one: one.short_name.casefold())
            chosen = await self._app.push_screen_wait(ContactBookDialog(contacts, at))
            if chosen is None:
                return
            action, at = chosen
            one = contacts[at] if contacts else None
            if action == "write_to" and one is not None:
                await self._outbox.compose(one.mailboxes)
                return
            await self._act(action, one, summary)

    async def _act(self, action: str, one: Contact | None, summary: Summary | None) -> None:
        match action:
            case "add_contact":
                await self._ask_contact("", [])
            case "add_sender":
                await self._add_sender(summary)
            case "import_cards":
                await self._import_cards()
            case "change_contact" if one is not None:
                first, *others = [Mailbox("", address) for address in one.addresses]
                people = [Mailbox(one.name, first.address) if not one.is_group else first, *others]
                await self._ask_contact(one.short_name, people, one)
            case "remove_contact" if one is not None:
                await self._remove(one)
            case "export_cards" if one is not None:
                await self._export_cards()
            case _:
                self._screen.show_status("There are no contacts yet. n adds one.")

    async def _add_sender(self, summary: Summary | None) -> None:
        if summary is None:
            self._screen.show_status("The list is empty, so there is no sender to add.")
            return
        octets = await asyncio.to_thread(self._mailbox.archive.octets, summary.key)
        found = read_mailboxes(parse_header(octets).text_of("from"))[:1]
        if not found:
            self._screen.show_status("The message names no sender with an address.", error=True)
            return
        (sender,) = found
        book = await asyncio.to_thread(self._mailbox.contacts.load)
        keys = {address.key: one for one in book.values() if not one.is_group for address in one.addresses}
        if (known := keys.get(sender.address.key)) is not None:
            self._screen.show_status(f"{sender.address} is a contact already: {known.short_name}")
            return
        await self._ask_contact(sender.address.local, [Mailbox(name_of(sender.name), sender.address)])

    async def _ask_contact(self, short_name: str, people: Sequence[Mailbox], old: Contact | None = None) -> None:
        """Ask for a contact, and keep it."""
        ask = self._app.push_screen_wait
        named = await ask(InputDialog("Short name", short_name, _SHORT_NAME_HINT, read=checked_short_name))
        if named is None:
            return
        title, addresses = f"Addresses of {safe_line(named)}", ", ".join(map(str, people))
        contact = await ask(InputDialog(title, addresses, _ADDRESSES_HINT, read=lambda typed: _contact(named, typed)))
        if contact is None:
            return
        if len(contact.addresses) > 1:
            kind = await self._app.push_screen_wait(ChoiceDialog(f"{named} is", _KINDS))
            if kind is None:
                return
            if kind == 1:
                contact = Contact(named, "", contact.addresses, is_group=True)
        await self._keep(contact, old)

    async def _keep(self, contact: Contact, old: Contact | None) -> None:
        contacts = self._mailbox.contacts
        names = {name.casefold(): name for name in await asyncio.to_thread(contacts.load)}
        there = names.get(contact.short_name.casefold())
        if there is not None and (old is None or there != old.short_name):
            question = f"There is a contact {there} already. Replace it?"
            if not await self._app.push_screen_wait(ConfirmDialog(question, is_risky=True)):
                return

        def keep() -> None:
            contacts.put([contact])
            if old is not None and old.short_name.casefold() != contact.short_name.casefold():
                contacts.remove(old.short_name)

        await asyncio.to_thread(keep)
        people = ", ".join(map(str, contact.mailboxes))
        self._screen.show_status(f"{contact.short_name} stands for {people}")

    async def _remove(self, one: Contact) -> None:
        if await self._app.push_screen_wait(ConfirmDialog(f"Remove the contact {one.short_name}?", is_risky=True)):
            await asyncio.to_thread(self._mailbox.contacts.remove, one.short_name)
            self._screen.show_status(f"The contact {one.short_name} is removed.")

    async def _import_cards(self) -> None:
        from emailsys.client.contacts.vcard_import import import_cards

        def read(typed: str) -> tuple[Sequence[Contact], Sequence[str]]:
            path = existing_path(typed)
            return import_cards(self._mailbox.contacts, [(path.name, path.read_bytes())])

        found = await self._app.push_screen_wait(PathDialog("vCard file to import", "", read, files=True))
        if found is None:
            return
        added, left_out = found
        words = f"{len(added)} contact{'s' * (len(added) != 1)} imported."
        self._screen.show_status(" ".join([words, *left_out[:3]]), error=bool(left_out))

    async def _export_cards(self) -> None:
        from emailsys.client.contacts.vcard import write_cards

        dialog = PathDialog("File to export all contacts to", _EXPORTED, new_file, files=True)
        path = await self._app.push_screen_wait(dialog)
        if path is None:
            return
        question = f"{path} exists. Replace it?"
        if path.exists() and not await self._app.push_screen_wait(ConfirmDialog(question, is_risky=True)):
            return
        await asyncio.to_thread(lambda: rewrite(path, write_cards(self._mailbox.contacts.load().values())))
        self._screen.show_status(f"All contacts are in {path}.")


def _contact(short_name: str, addresses: str) -> Contact:
    """@raise AddressSyntaxError: an address is invalid. @raise ContactError: the contact cannot be kept."""
    people = parse_mailboxes(addresses)
    name = next((one.name for one in people if one.name), "")
    return checked(Contact(short_name, name, tuple({one.address.key: one.address for one in people}.values())))
