"""Process resources of the daemon: lock of the state folder, bound sockets, limits, user and group."""

from emailsys.supervisor.errors import StartupError
from emailsys.supervisor.folder import LOCK_NAME, FolderLock, check_state_folder, holder_of, make_state_folder
from emailsys.supervisor.inherited import (
    BEGIN,
    SUCCESSION,
    TAKE_OVER,
    TOO_LATE,
    Inheritance,
    Predecessor,
    activated_listeners,
)
from emailsys.supervisor.privileges import (
    as_owner,
    check_configuration,
    check_folder_owner,
    check_owner,
    check_user,
    drop_privileges,
    find_identity,
    give_state_folder,
    is_foreign,
)
from emailsys.supervisor.sockets import BACKLOG, Bound, bind_all, close_all, expand, has_ipv6, listens_of, with_ports

__all__ = [
    "BACKLOG",
    "BEGIN",
    "LOCK_NAME",
    "SUCCESSION",
    "TAKE_OVER",
    "TOO_LATE",
    "Bound",
    "FolderLock",
    "Inheritance",
    "Predecessor",
    "StartupError",
    "activated_listeners",
    "as_owner",
    "bind_all",
    "check_configuration",
    "check_folder_owner",
    "check_owner",
    "check_state_folder",
    "check_user",
    "close_all",
    "drop_privileges",
    "expand",
    "find_identity",
    "give_state_folder",
    "has_ipv6",
    "holder_of",
    "is_foreign",
    "listens_of",
    "make_state_folder",
    "with_ports",
]
