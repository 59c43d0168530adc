"""Search order for the state folder and the configuration file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONFIG_NAME: Final = "emailsys.toml"
SYSTEM_CONFIG: Final = Path("/etc/emailsys") / CONFIG_NAME
SYSTEM_STATE: Final = Path("/var/lib/emailsys")
#: The reason of a folder that the command line names.
BY_OPTION: Final = "--state"
_PASSWORD: Final = re.compile(r"([?&](?:ssl)?password=)[^&]*")


class NoHome(Exception):
    """A path depends on a home folder, and there is none. The message says what to do."""


@dataclass(frozen=True, slots=True)
class StateChoice:
    """A state folder, the reason for this choice, and whether it is the default of this user."""

    folder: Path
    reason: str
    is_default: bool


def default_state(environ: Mapping[str, str], is_root: bool) -> Path | None:
    """Return /var/lib/emailsys for root, else the folder emailsys in $XDG_STATE_HOME (default ~/.local/state).

    None if this user has neither $HOME nor an entry in the user database, as in a container with a numeric user.
    """
    if is_root:
        return SYSTEM_STATE
    base = environ.get("XDG_STATE_HOME", "")
    # XDG base directory specification: a relative path there is invalid and to be ignored.
    if not base.startswith("/"):
        try:
            home = environ.get("HOME") or Path.home()
        except RuntimeError:
            return None
        base = str(Path(home) / ".local" / "state")
    return Path(base) / "emailsys"


def choose_state(given: str | None, environ: Mapping[str, str], is_root: bool) -> StateChoice:
    """Choose the state folder: --state, else $EMAILSYS_STATE, else the default. The path is absolute.

    @raise NoHome: none is named, and this user has no home folder.
    """
    default = default_state(environ, is_root)
    for value, reason in ((given, BY_OPTION), (environ.get("EMAILSYS_STATE"), "$EMAILSYS_STATE")):
        if value:
            folder = _expanded(value)
            return StateChoice(folder, reason, folder == default)
    if default is None:
        raise NoHome("this user has no home folder for the state: name a folder with --state or $EMAILSYS_STATE")
    return StateChoice(default, "default", True)


def store_text(state: StateChoice, url: str | None) -> str | None:
    """Describe which store is used; None for the default store.

    @param url: the URL of its database, None for the file in the state folder.
    """
    if url is not None:
        return f"store {without_password(url)}, state folder {state.folder} ({state.reason})"
    return None if state.is_default else f"store in {state.folder} ({state.reason})"


def without_password(url: str) -> str:
    """Return the URL of a database without its passwords, which are before the host or in the query.

    The scheme may be missing. Text that is no URL is returned unchanged.
    """
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    secret, at, host = rest.rpartition("@")
    host = _PASSWORD.sub(r"\1...", host)
    return f"{scheme}{separator}{secret.partition(':')[0]}{at}{host}"


def find_config(given: str | None, environ: Mapping[str, str], state: Path) -> Path | None:
    """Find the configuration file: --config, $EMAILSYS_CONFIG, /etc/emailsys/emailsys.toml, then the state folder.

    The first two are returned even if they do not exist, so that a mistyped name is an error. None means the embedded
    default.
    """
    for value in (given, environ.get("EMAILSYS_CONFIG")):
        if value:
            return _expanded(value)
    return next((path for path in (SYSTEM_CONFIG, state / CONFIG_NAME) if _is_there(path)), None)


def _expanded(value: str) -> Path:
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise NoHome(f"{value}: ~ names no home folder that is known here: write the whole path") from None


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # This user may not search the folder. Report that when the file is opened, and do not use another file.
        return True
