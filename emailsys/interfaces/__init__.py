"""Interfaces between the packages: one module for each seam, with its values and exceptions.

The names below are imported when they are used: a command that only asks the daemon needs neither Twisted nor a parser
of messages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from emailsys.interfaces.accounts import (
        ANY_SENDER,
        Account,
        ClientPassword,
        IAliases,
        IDirectory,
        IProvenName,
        ISecrets,
        Login,
        PasswordId,
        ProvenName,
    )
    from emailsys.interfaces.checks import IChecks, IHeldMessage, ISessionChecks, Ruling
    from emailsys.interfaces.errors import (
        LeaseUncertain,
        LoginBusy,
        LoginUnchecked,
        MaildropInUse,
        MaildropLost,
        NoDomains,
        StoreDamaged,
        StoreError,
        StoreFull,
        StoreMissing,
        TooManyGuesses,
        TooMuchHeld,
    )
    from emailsys.interfaces.intake import IIncoming, IIntake, Notice
    from emailsys.interfaces.known_networks import IKnownNetworks, KnownNetwork
    from emailsys.interfaces.maildrop import IMaildrop, IMaildrops
    from emailsys.interfaces.maildrop_reading import BEFORE_ALL, IMaildropReading, Listed
    from emailsys.interfaces.outbound import IConnectionPool, IRelay, IResolver
    from emailsys.interfaces.queue import NO_DELAYS, DelayRule, DomainPair, Fate, IQueue, QueueRow, Settlement
    from emailsys.interfaces.routing import IDelivery, IRouter
    from emailsys.interfaces.sending import ISentCounts, SentCount
    from emailsys.interfaces.sent_keys import ISentKeys, SentKey

__all__ = [
    "ANY_SENDER",
    "BEFORE_ALL",
    "NO_DELAYS",
    "Account",
    "ClientPassword",
    "DelayRule",
    "DomainPair",
    "Fate",
    "IAliases",
    "IChecks",
    "IConnectionPool",
    "IDelivery",
    "IDirectory",
    "IHeldMessage",
    "IIncoming",
    "IIntake",
    "IKnownNetworks",
    "IMaildrop",
    "IMaildropReading",
    "IMaildrops",
    "IProvenName",
    "IQueue",
    "IRelay",
    "IResolver",
    "IRouter",
    "ISecrets",
    "ISentCounts",
    "ISentKeys",
    "ISessionChecks",
    "KnownNetwork",
    "LeaseUncertain",
    "Listed",
    "Login",
    "LoginBusy",
    "LoginUnchecked",
    "MaildropInUse",
    "MaildropLost",
    "NoDomains",
    "Notice",
    "PasswordId",
    "ProvenName",
    "QueueRow",
    "Ruling",
    "SentCount",
    "SentKey",
    "Settlement",
    "StoreDamaged",
    "StoreError",
    "StoreFull",
    "StoreMissing",
    "TooManyGuesses",
    "TooMuchHeld",
]

_MODULES: Final = {
    "ANY_SENDER": "accounts",
    "Account": "accounts",
    "ClientPassword": "accounts",
    "IAliases": "accounts",
    "IDirectory": "accounts",
    "IProvenName": "accounts",
    "ISecrets": "accounts",
    "Login": "accounts",
    "PasswordId": "accounts",
    "ProvenName": "accounts",
    "IChecks": "checks",
    "IHeldMessage": "checks",
    "ISessionChecks": "checks",
    "Ruling": "checks",
    "LoginBusy": "errors",
    "LoginUnchecked": "errors",
    "MaildropInUse": "errors",
    "MaildropLost": "errors",
    "NoDomains": "errors",
    "LeaseUncertain": "errors",
    "StoreDamaged": "errors",
    "StoreError": "errors",
    "StoreFull": "errors",
    "StoreMissing": "errors",
    "TooManyGuesses": "errors",
    "TooMuchHeld": "errors",
    "IIncoming": "intake",
    "IIntake": "intake",
    "Notice": "intake",
    "IKnownNetworks": "known_networks",
    "KnownNetwork": "known_networks",
    "IMaildrop": "maildrop",
    "IMaildrops": "maildrop",
    "BEFORE_ALL": "maildrop_reading",
    "IMaildropReading": "maildrop_reading",
    "Listed": "maildrop_reading",
    "IConnectionPool": "outbound",
    "IRelay": "outbound",
    "IResolver": "outbound",
    "NO_DELAYS": "queue",
    "DelayRule": "queue",
    "DomainPair": "queue",
    "Fate": "queue",
    "IQueue": "queue",
    "QueueRow": "queue",
    "Settlement": "queue",
    "IDelivery": "routing",
    "IRouter": "routing",
    "ISentCounts": "sending",
    "SentCount": "sending",
    "ISentKeys": "sent_keys",
    "SentKey": "sent_keys",
}

if not TYPE_CHECKING:
    # A type checker that saw this function would accept every name.
    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
