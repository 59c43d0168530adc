"""Default locations of accounts, mail, and state, by the conventions of the operating system."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import platformdirs

_NAME: Final = "emailsys"


def accounts_file() -> Path:
    """Return the path of mail.toml: in $XDG_CONFIG_HOME/emailsys, or the system's equivalent."""
    return _found(lambda: platformdirs.user_config_path(_NAME, appauthor=False)) / "mail.toml"


def contacts_file() -> Path:
    """Return the path of contacts.toml, beside mail.toml."""
    return accounts_file().with_name("contacts.toml")


def archive_folder() -> Path:
    """Return the folder of the local store: in $XDG_DATA_HOME/emailsys, or the system's equivalent."""
    return _found(lambda: platformdirs.user_data_path(_NAME, appauthor=False)) / "mail"


def state_folder() -> Path:
    """Return the folder of fetch journals and locks: in $XDG_STATE_HOME/emailsys, or the system's equivalent."""
    return _found(lambda: platformdirs.user_state_path(_NAME, appauthor=False)) / "mail"


def _found(find: Callable[[], Path]) -> Path:
    """Return the result of platformdirs.

    @raise FileNotFoundError: this user has no home folder, as in a container with a numeric user.
    """
    try:
        return find()
    except RuntimeError:
        raise FileNotFoundError("this user has no home folder: set HOME to the folder where mail is kept") from None
