"""Default locations of accounts, mail, and state, by the conventions of the operating system."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import platformdirs

_NAME: Final = "emailsys"


def accounts_file() -> Path:
    """Return the path of mail.toml: in $XDG_CONFIG_HOME/emailsys, or the system's equivalent."""
    return platformdirs.user_config_path(_NAME, appauthor=False) / "mail.toml"


def archive_folder() -> Path:
    """Return the folder of the local store: in $XDG_DATA_HOME/emailsys, or the system's equivalent."""
    return platformdirs.user_data_path(_NAME, appauthor=False) / "mail"


def state_folder() -> Path:
    """Return the folder of fetch journals and locks: in $XDG_STATE_HOME/emailsys, or the system's equivalent."""
    return platformdirs.user_state_path(_NAME, appauthor=False) / "mail"
