"""Interfaces for operators: accounts, queue, trace of messages, aliases, routes, quotas and verification."""

from __future__ import annotations

from emailsys.interfaces.operators.accounts import WARN_AT, AdminError, DomainRow, IAccounts, IQuotas, Usage, UserRow
from emailsys.interfaces.operators.history import (
    Checked,
    EventKind,
    Flaw,
    Happening,
    ITrace,
    IVerification,
    Life,
    Traced,
)
from emailsys.interfaces.operators.queue import (
    DomainQueue,
    IQueueOperations,
    QueueChange,
    QueueEntry,
    QueueFilter,
    RowState,
)
from emailsys.interfaces.operators.routing import (
    AliasRow,
    IAliasAdministration,
    IDelegatedSenders,
    IRouteAdministration,
)

__all__ = [
    "WARN_AT",
    "AdminError",
    "AliasRow",
    "Checked",
    "DomainQueue",
    "DomainRow",
    "EventKind",
    "Flaw",
    "Happening",
    "IAccounts",
    "IAliasAdministration",
    "IDelegatedSenders",
    "IQueueOperations",
    "IQuotas",
    "IRouteAdministration",
    "ITrace",
    "IVerification",
    "Life",
    "QueueChange",
    "QueueEntry",
    "QueueFilter",
    "RowState",
    "Traced",
    "Usage",
    "UserRow",
]
