"""For developers who test mail: a mail system for tests, the pytest plugin, the trial mixin, scripted failures.

The names below are imported when they are used: pytest imports this package for each run, even if no test needs mail.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from emailsys.testing.failures import Failure, FailureSyntaxError, Stage
    from emailsys.testing.mailbox import Mailbox, NoSuchMail
    from emailsys.testing.memory_mail import MemorySMTP
    from emailsys.testing.memory_peer import MemoryPeer
    from emailsys.testing.message import Message, MessagePart
    from emailsys.testing.system import MailSystem
    from emailsys.testing.trial import MailSystemMixin

__all__ = [
    "Failure",
    "FailureSyntaxError",
    "MailSystem",
    "MailSystemMixin",
    "Mailbox",
    "MemoryPeer",
    "MemorySMTP",
    "Message",
    "MessagePart",
    "NoSuchMail",
    "Stage",
]

_MODULES: Final = {
    "Failure": "failures",
    "FailureSyntaxError": "failures",
    "Stage": "failures",
    "Mailbox": "mailbox",
    "NoSuchMail": "mailbox",
    "MemoryPeer": "memory_peer",
    "MemorySMTP": "memory_mail",
    "Message": "message",
    "MessagePart": "message",
    "MailSystem": "system",
    "MailSystemMixin": "trial",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
