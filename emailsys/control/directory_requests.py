"""Requests for the directory as a whole: read it, and change it in one transaction."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from emailsys.control.request_values import Form
from emailsys.control.requests import (
    AliasRemove,
    AliasSet,
    DomainAdd,
    DomainQuota,
    DomainRemove,
    Request,
    RouteRemove,
    RouteSet,
    UserAdd,
    UserEnabled,
    UserForward,
    UserMaySendAs,
    UserPassword,
    UserQuota,
    UserRemove,
)

#: The kinds of requests that one transaction can contain.
CHANGES: Final = (
    *(DomainAdd, DomainRemove, DomainQuota, AliasSet, AliasRemove, RouteSet, RouteRemove),
    *(UserAdd, UserRemove, UserPassword, UserEnabled, UserForward, UserQuota, UserMaySendAs),
)

#: The JSON objects of requests. They may contain hashes and passwords.
Objects: TypeAlias = Annotated[
    tuple[dict[str, Any], ...],
    Form(
        "requests that change the directory, at least one",
        lambda value: isinstance(value, tuple) and bool(value) and all(isinstance(each, dict) for each in value),
        lambda value: tuple(value) if isinstance(value, list) else None,
        list,
        is_secret=True,
    ),
]


def password_digest(salt: str, password: str) -> str:
    """Return the digest by which an answer shows whether a password at a smart host is the same as another one."""
    return hmac.new(salt.encode(), password.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class DirectoryRead(Request):
    """Return all domains, accounts with their hashes, aliases and routes without their passwords."""

    command = "directory.read"


@dataclass(frozen=True, slots=True)
class DirectoryChange(Request):
    """Carry out several requests in one transaction: all of them, or none if one is refused."""

    command = "directory.change"
    changes: Objects
