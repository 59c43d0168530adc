"""Run the full-screen program."""

from __future__ import annotations

import asyncio

from emailsys.cli.mail.asyncio_reactor import reactor_on
from emailsys.cli.mail.session import Session
from emailsys.config.exit_status import Exit


def open_screen(session: Session, theme: str | None, hold: float = 0.0) -> int:
    """`emailsys mail` alone."""
    # Nothing that imports a reactor may come before the reactor is installed.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with reactor_on(loop) as reactor:
        from emailsys.client.accounts.secrets import unlock
        from emailsys.client.screen.app import MailApp
        from emailsys.client.screen.network import TwistedNetwork

        mailbox = session.mailbox
        mailbox.account()
        # On a screen that is drawn over, a keyring's question could be neither read nor answered.
        unlock(mailbox.accounts())
        app = MailApp(mailbox, lambda app: TwistedNetwork(mailbox, reactor, app.ask_secret), theme, hold)
        loop.run_until_complete(app.run_async())
    return app.return_code or Exit.OK
