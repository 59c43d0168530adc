"""Interface of a check, and how a package offers one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import Attribute, Interface, implementer

from emailsys.extension.session import Client, Message, Transaction
from emailsys.extension.verdicts import Verdict

#: A verdict, several of them, or None for no opinion.
Opinion = Verdict | Sequence[Verdict] | None


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The context that a check is made with.

    @ivar name: its name in the configuration.
    @ivar argument: the text behind the name: "x" of "plugin:NAME:x", "" without one.
    @ivar hostname: the name of this system.
    @ivar reactor: for connections and times.
    """

    name: str
    argument: str
    hostname: str
    reactor: Any


class CheckFailed(Exception):
    """Raised by a check that cannot answer now. The client gets 451, and the log has the message on one line."""


class IPolicyCheck(Interface):
    """A check. The points of a session come in this order; each is asked once, `recipient` for each recipient.

    After an exception the client gets 451, and the log has its traceback, but not that of `CheckFailed`. A check that
    has no answer in time is cancelled, and the client gets 451, too.
    """

    async def connection(client: Client) -> Opinion:
        """Called before the greeting. A refusal ends the connection."""

    async def hello(client: Client) -> Opinion:
        """Called at EHLO and HELO."""

    async def sender(transaction: Transaction) -> Opinion:
        """Called at MAIL, if the sender is allowed."""

    async def recipient(transaction: Transaction, recipient: str) -> Opinion:
        """Called at RCPT, if the recipient exists and is allowed."""

    async def message(transaction: Transaction, message: Message) -> Opinion:
        """Called at the end of the message, before it is stored."""

    async def stop() -> None:
        """Called when the system stops: close what is open."""


@implementer(IPolicyCheck)
class PolicyCheck:
    """A check without an opinion. Override what the check is for: the other points then cost nothing."""

    async def connection(self, client: Client) -> Opinion:
        """Have no opinion."""
        return None

    async def hello(self, client: Client) -> Opinion:
        """Have no opinion."""
        return None

    async def sender(self, transaction: Transaction) -> Opinion:
        """Have no opinion."""
        return None

    async def recipient(self, transaction: Transaction, recipient: str) -> Opinion:
        """Have no opinion."""
        return None

    async def message(self, transaction: Transaction, message: Message) -> Opinion:
        """Have no opinion."""
        return None

    async def stop(self) -> None:
        """Do nothing."""


#: Makes a check. It must not connect or wait; the first call may.
MakeCheck = Callable[[CheckContext], PolicyCheck]

POINTS: Final = ("connection", "hello", "sender", "recipient", "message")


class ICheckPlugin(Interface):
    """A check that is offered by `twisted.plugin`."""

    name: str = Attribute("The name of the check in the configuration.")

    def make(context: CheckContext) -> PolicyCheck:
        """Make the check."""


@implementer(IPlugin, ICheckPlugin)
@dataclass(frozen=True)
class CheckPlugin:
    """A check for a module of `twisted/plugins`: its name, and where its class is, such as "package.module.Class"."""

    name: str
    target: str

    def make(self, context: CheckContext) -> PolicyCheck:
        """Import the class, and make the check."""
        make: MakeCheck = namedAny(self.target)
        return make(context)
