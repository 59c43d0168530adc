"""Import of vCard files into the contact book."""

from __future__ import annotations

from collections.abc import Iterable

from emailsys.client.contacts.book import Contact, ContactBook
from emailsys.client.contacts.vcard import read_cards


def import_cards(book: ContactBook, files: Iterable[tuple[str, bytes]]) -> tuple[list[Contact], list[str]]:
    """Add the cards of files that are not contacts yet. A short name that is taken gets a number.

    @param files: name and content of each.
    @return: the contacts that were added, and a sentence for each card that cannot be used.
    @raise ContactError: a file has no card, or the book cannot be changed.
    """
    added: list[Contact] = []
    left_out: list[str] = []
    known = book.load()
    present = {(one.name, one.addresses, one.is_group) for one in known.values()}
    for name, octets in files:
        contacts, problems = read_cards(octets, [*known, *(one.short_name for one in added)])
        left_out += [f"{name}: {one}" for one in problems]
        for one in contacts:
            if (one.name, one.addresses, one.is_group) not in present:
                added.append(one)
                present.add((one.name, one.addresses, one.is_group))
    book.put(added)
    return added, left_out
