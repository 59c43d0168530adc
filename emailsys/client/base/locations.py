"""Where the client keeps its things: accounts, mail and state, by the rules of the operating system."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import platformdirs

_NAME: Final = "emailsys"


def accounts_file() -> Path:
    """mail.toml: below $XDG_CONFIG_HOME/emailsys, or what the system has in its place."""
    return platformdirs.user_config_path(_NAME, appauthor=False) / "mail.toml"


def archive_folder() -> Path:
    """The local store: below $XDG_DATA_HOME/emailsys."""
    return platformdirs.user_data_path(_NAME, appauthor=False) / "mail"


def state_folder() -> Path:
    """What was fetched and what is under way: below $XDG_STATE_HOME/emailsys."""
    return platformdirs.user_state_path(_NAME, appauthor=False) / "mail"
