"""Marks in a store that `emailsys move` copies: they stand in the place of its revision, so that no daemon opens it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from emailsys.interfaces import StoreError, StoreMissing

#: A copy that is being made, or that was given up.
UNFINISHED: Final = "unfinished copy"
#: A copy that has every row, while the store that it was made of is being retired.
COMPLETE: Final = "complete copy"
#: A store that was moved: another one has its mail.
MOVED: Final = "moved"


class StoreMoved(StoreMissing):
    """The store is a copy that was never finished, or it was moved. Becomes the same replies as a missing store."""


class StoreRetired(StoreError):
    """A commit came too late: the store was moved. Another process serves in a moment, so clients try again."""


def moved_text(location: str) -> str:
    """Return the error text for a store that was moved."""
    return (
        f"the store {location} was moved to another one. Set store.url to that one; if `emailsys move` was "
        "interrupted, run it again with the same --to"
    )


def raise_if_marked(found: str | None, location: str) -> None:
    """@raise StoreMoved: the revision of the store is one of the marks."""
    if found == MOVED:
        raise StoreMoved(moved_text(location))
    if found in (UNFINISHED, COMPLETE):
        raise StoreMoved(
            f"the store {location} is an unfinished copy of another one. Set store.url to that one, and run "
            "`emailsys move` again"
        )


def read_mark(connection: Connection) -> str:
    """Read the revision of a store, or the mark in its place."""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def write_mark(connection: Connection, mark: str) -> None:
    """Replace the revision of a store, or the mark in its place."""
    connection.execute(text("UPDATE alembic_version SET version_num = :mark"), {"mark": mark})
