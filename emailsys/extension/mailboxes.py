"""How a package that serves mailboxes by POP3 is called."""

from __future__ import annotations

from zope.interface import Interface


class INonBlocking(Interface):
    """Provided by a realm or a mailbox whose methods never block.

    Its methods are called in the reactor's thread, and may return Deferreds. Those of all others are called in a
    thread, one at a time for each mailbox.
    """
