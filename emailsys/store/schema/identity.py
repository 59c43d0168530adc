"""Identity of a store: a random text in the store, and a copy in the state folder that another store does not match."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, select

from emailsys.interfaces import StoreError, StoreMissing
from emailsys.platforms.files import NO_FOLLOW, open_regular, read_file, sync_directory
from emailsys.store.schema.tables import domains, generation
from emailsys.telemetry import Telemetry

# Name of the copy in the state folder.
IDENTITY_NAME: Final = "store-identity"
# Octets of an identity before they are written as hexadecimal digits.
_OCTETS: Final = 16
# Octets of the copy that are read: what is longer is no identity.
_MOST_READ: Final = 256


class StoreReplaced(StoreMissing):
    """The store is not the one that this state folder belongs to. Becomes the same replies as a missing store."""


def had_store(folder: Path) -> bool:
    """Return whether a store has been opened with this state folder. If it is gone, only `init` makes another one."""
    return os.path.lexists(folder / IDENTITY_NAME)


def new_identity() -> str:
    """Return a random identity."""
    return secrets.token_hex(_OCTETS)


def derived_identity(first_domain: tuple[int, str] | None) -> str:
    """Return the identity of a store from before revision 0007, which has none.

    Every copy of a store gets the same identity, so that a backup made before the upgrade is still recognized.

    @param first_domain: id and key of the domain that was added first. The id contains the time and is unique.
    """
    if first_domain is None:
        return new_identity()
    return sha256("{}/{}".format(*first_domain).encode("utf-8")).hexdigest()[: 2 * _OCTETS]


def read_identity(connection: Connection) -> str:
    """Read the identity of a store of any revision. Without domains, an older store has a new one at each call."""
    if any(column["name"] == "identity" for column in inspect(connection).get_columns("generation")):
        return str(connection.execute(select(generation.c.identity)).scalar_one())
    first = connection.execute(
        select(domains.c.domain_id, domains.c.domain_key).order_by(domains.c.domain_id).limit(1)
    ).one_or_none()
    return derived_identity(None if first is None else (first.domain_id, first.domain_key))


def replaced_text(location: str, path: Path) -> str:
    """Return the error text for a store that does not match the copy in the state folder."""
    return (
        f"the store {location} is not the one that was used before: its identity differs from {path}. "
        "Put the former store back, or run `emailsys init --adopt` to use the present one"
    )


@dataclass(frozen=True)
class KeptIdentity:
    """The copy in a state folder.

    @ivar adopt: whether an operator asked to use the present store, whatever its identity is.
    """

    folder: Path
    adopt: bool = False

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / IDENTITY_NAME

    def read(self) -> str | None:
        """Return the identity, or None if no store has been opened with this state folder.

        @raise StoreError: the file cannot be read.
        """
        try:
            return read_file(self.path, _MOST_READ).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror}") from error

    def check(self, connection: Connection, location: str) -> None:
        """Compare the store with the copy. Changes nothing.

        @raise StoreReplaced: they differ.
        """
        kept = None if self.adopt else self.read()
        if kept is not None and kept != read_identity(connection):
            raise StoreReplaced(replaced_text(location, self.path))

    def keep(self, identity: str, telemetry: Telemetry) -> None:
        """Write the copy durably, if it is missing or differs. On a full disk, the store is used without it.

        @raise StoreError: an operator adopts the store, and the file cannot be written.
        """
        if self.read() == identity:
            return
        draft = self.path.with_name(f"{IDENTITY_NAME}.{os.getpid()}.new")
        try:
            descriptor = open_regular(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | NO_FOLLOW)
            try:
                os.write(descriptor, f"{identity}\n".encode("ascii"))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            draft.replace(self.path)
            sync_directory(self.folder)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            if self.adopt:
                raise StoreError(f"{self.path} cannot be written: {error.strerror}") from error
            telemetry.event("store-identity-not-kept", path=str(self.path), why=error.strerror)
