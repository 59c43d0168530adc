"""Start of the full-screen program."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING

from emailsys.cli.mail.asyncio_reactor import late_reactor_on
from emailsys.cli.mail.session import Session
from emailsys.cli.stream_encoding import adapt_keys
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.cli.mail.asyncio_reactor import LateReactor
    from emailsys.client.mailbox import UserMailbox
    from emailsys.client.screen.network import MailNetwork
    from emailsys.client.screen.program import MailProgram


def network_of(mailbox: UserMailbox, reactor: LateReactor, app: MailProgram) -> MailNetwork:
    """Return the network access of the program. The reactor is installed first: twisted.mail imports one itself."""
    running = reactor()
    from emailsys.client.screen.network import TwistedNetwork

    return TwistedNetwork(mailbox, running, app.ask_secret)


def open_screen(session: Session, theme: str | None, hold: float = 0.0) -> int:
    """Run the full screen, and return the exit status. @param hold: seconds before each message is sent."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with late_reactor_on(loop) as reactor:
        from emailsys.client.accounts.secrets import unlock
        from emailsys.client.screen.app import MailApp
        from emailsys.client.screen.terminal_pictures import ask_terminal

        mailbox = session.mailbox
        mailbox.account()
        # Unlock the keyring now: its prompt could not be used while the full screen is drawn.
        unlock(mailbox.accounts())

        app = MailApp(mailbox, partial(network_of, mailbox, reactor), theme, hold)
        ask_terminal(app, os.environ)
        adapt_keys()
        with app.signals_handled(loop):
            loop.run_until_complete(app.run_async())
    return app.return_code or Exit.OK
