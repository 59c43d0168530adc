"""Interfaces for operators: accounts, tokens, queue, trace of messages, aliases, routes, quotas and verification."""

from __future__ import annotations

from emailsys.interfaces.operators.accounts import WARN_AT, AdminError, DomainRow, IAccounts, IQuotas, Usage, UserRow
from emailsys.interfaces.operators.actor import Actor
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
from emailsys.interfaces.operators.tokens import MAX_TOKENS, ITokens, Scope, TokenRequest, TokenRow, scope_problem

__all__ = [
    "MAX_TOKENS",
    "WARN_AT",
    "Actor",
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
    "ITokens",
    "ITrace",
    "IVerification",
    "Life",
    "QueueChange",
    "QueueEntry",
    "QueueFilter",
    "RowState",
    "Scope",
    "TokenRequest",
    "TokenRow",
    "Traced",
    "Usage",
    "UserRow",
    "scope_problem",
]
