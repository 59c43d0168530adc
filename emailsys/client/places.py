"""Where the client keeps its things: accounts, mail and state, by the rules of the operating system."""

from __future__ import annotations

from pathlib import Path


def accounts_file() -> Path:
    """mail.toml: below $XDG_CONFIG_HOME/emailsys, or what the system has in its place."""
    ...


def archive_folder() -> Path:
    """The local store: below $XDG_DATA_HOME/emailsys."""
    ...


def state_folder() -> Path:
    """What was fetched and which account is being fetched: below $XDG_STATE_HOME/emailsys."""
    ...
