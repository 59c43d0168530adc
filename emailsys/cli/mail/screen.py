"""Start of the full-screen program."""

from __future__ import annotations

import asyncio

from emailsys.cli.mail.asyncio_reactor import reactor_on
from emailsys.cli.mail.session import Session
from emailsys.config.exit_status import Exit


def open_screen(session: Session, theme: str | None, hold: float = 0.0) -> int:
    """Run the full screen, and return the exit status. @param hold: seconds before each message is sent."""
    # The asyncio reactor must be installed before any import of a reactor.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with reactor_on(loop) as reactor:
        from emailsys.client.accounts.secrets import unlock
        from emailsys.client.screen.app import MailApp
        from emailsys.client.screen.network import TwistedNetwork

        mailbox = session.mailbox
        mailbox.account()
        # Unlock the keyring now: its prompt could not be used while the full screen is drawn.
        unlock(mailbox.accounts())
        app = MailApp(mailbox, lambda app: TwistedNetwork(mailbox, reactor, app.ask_secret), theme, hold)
        with app.signals_handled(loop):
            loop.run_until_complete(app.run_async())
    return app.return_code or Exit.OK
