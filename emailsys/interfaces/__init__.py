"""Interfaces between the packages: one module for each seam, with its values and exceptions."""

from __future__ import annotations

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
