"""Stable interfaces and values for code of other people: checks of mail, logins and mailboxes."""

from __future__ import annotations

from emailsys.extension.checks import CheckContext, CheckFailed, CheckPlugin, ICheckPlugin, IPolicyCheck, PolicyCheck
from emailsys.extension.mailboxes import INonBlocking
from emailsys.extension.session import Client, Field, Message, Transaction
from emailsys.extension.verdicts import Accept, AddField, Defer, Quarantine, Redirect, Refuse, Verdict

__all__ = [
    "Accept",
    "AddField",
    "CheckContext",
    "CheckFailed",
    "CheckPlugin",
    "Client",
    "Defer",
    "Field",
    "ICheckPlugin",
    "INonBlocking",
    "IPolicyCheck",
    "Message",
    "PolicyCheck",
    "Quarantine",
    "Redirect",
    "Refuse",
    "Transaction",
    "Verdict",
]
