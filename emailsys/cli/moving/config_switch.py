"""Replacement of `store.url` in the configuration file: prepared beforehand, then put into force in one step."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from emailsys.cli.options import Places, Refused
from emailsys.config.exit_status import Exit
from emailsys.config.given import References, without_references
from emailsys.config.loader import ConfigError, load
from emailsys.config.store_url import NotReplaceable, with_store_url
from emailsys.config.values import Unfit, a_store_url
from emailsys.platforms.files import BINARY, NO_FOLLOW, sync_directory
from emailsys.supervisor import as_owner, check_configuration

#: What the name of the former file ends with.
KEPT: Final = ".before-move"
_BY_HAND: Final = "Or set it yourself: move with --leave-config while no daemon runs"


def resolved_url(given: str, folder: Path) -> str:
    """Return the URL with its references to variables and files replaced, as in the configuration.

    @param folder: where relative paths begin.
    @raise Refused: a reference leads nowhere, or the URL is wrong.
    """
    references = References(os.environ, folder)
    url = str(references.replaced(given, "--to"))
    if references.problems:
        raise Refused("; ".join(f"{where}: {problem}" for where, problem in references.problems), Exit.CONFIG)
    try:
        return a_store_url(url)
    except Unfit as error:
        # The URL may have a password in it.
        raise Refused(f"--to: allowed: {error.allowed}", Exit.USAGE) from None


def has_password(given: str) -> bool:
    """Whether a URL contains a password itself, and not only a reference to one."""
    try:
        url = urlsplit(without_references(given))
    except ValueError:
        return False
    return bool(url.password or parse_qs(url.query).get("password"))


@dataclass(frozen=True, slots=True)
class ConfigSwitch:
    """A configuration file, and the draft that will replace it."""

    path: Path
    draft: Path

    @classmethod
    def prepare(cls, where: Places, given: str, url: str) -> ConfigSwitch:
        """Write the draft.

        @param given: the new value of the key, with references.
        @param url: the same without references.
        @raise Refused: the configuration cannot be changed like this.
        """
        if where.config is None:
            raise Refused(
                "there is no configuration file in which store.url could be set. Make one: "
                f"emailsys config example > {where.folder}/emailsys.toml. {_BY_HAND}",
                Exit.CONFIG,
            )
        path = Path(os.path.realpath(where.config))
        try:
            status = path.stat()
            text = with_store_url(path.read_text("utf-8-sig"), given)
        except NotReplaceable:
            raise Refused(f"{path}: store.url cannot be replaced here. {_BY_HAND}", Exit.CONFIG) from None
        draft = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            _write(draft, text, status)
            _try_link(path, draft.with_suffix(".link"))
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise Refused(f"{path} cannot be replaced: {error.strerror}. {_BY_HAND}", Exit.NO_PERMISSION) from None
        switch = cls(path, draft)
        try:
            found = load(draft, where.folder, check_configuration).store.url
        except BaseException:
            switch.discard()
            raise
        if found != url:
            switch.discard()
            raise Refused(
                "store.url is set by the environment variable EMAILSYS_STORE__URL, which goes before the file. "
                f"{_BY_HAND}",
                Exit.CONFIG,
            )
        return switch

    def check_for_daemon(self, state: Path) -> None:
        """@raise Refused: the user of the daemon cannot read the file, or a file that it names."""
        try:
            with as_owner(state):
                load(self.draft, state)
        except ConfigError as error:
            why = error.problems[0].replace(str(self.draft), str(self.path))
            raise Refused(f"the daemon could not read the new configuration. {why}", Exit.CONFIG) from None

    def commit(self) -> Path:
        """Put the draft into force, and keep the former file beside it. Returns the name of the former file.

        @raise Refused: the file cannot be replaced. The store was moved nevertheless.
        """
        kept = self.path.with_name(self.path.name + KEPT)
        try:
            kept.unlink(missing_ok=True)
            os.link(self.path, kept)
            self.draft.replace(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise Refused(
                f"the store was moved, but {self.path} cannot be replaced: {error.strerror}. Mend that and run the "
                "command again, or set store.url to the new database there, and then run: emailsys restart",
                Exit.CONFIG,
            ) from None
        return kept

    def discard(self) -> None:
        """Remove the draft, if it is not in force."""
        with suppress(OSError):
            self.draft.unlink()


def _try_link(path: Path, other: Path) -> None:
    """Give a file a second name for a moment, as `commit` will: a file that is a mount of its own can have none."""
    other.unlink(missing_ok=True)
    os.link(path, other)
    other.unlink()


def _write(draft: Path, text: str, status: os.stat_result) -> None:
    """Write a file durably, with the owner and the mode of another."""
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY | NO_FOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode("utf-8"))
        if sys.platform != "win32":
            with suppress(PermissionError):
                os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
        file.flush()
        os.fsync(descriptor)
