"""Run the full screen against a real daemon, with Twisted on asyncio's loop; print what it did as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from emailsys.cli.mail.asyncio_reactor import reactor_on
from emailsys.cli.mail.session import Session

PATIENCE = 60.0


async def until(pilot: Any, condition: Any) -> None:
    """Wait until something is so."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise SystemExit(f"it does not come to that: {pilot.app.screen_stack[1].query_one('#status-text').visual}")
        await pilot.pause()
        await asyncio.sleep(0.01)


async def write_send_fetch(app: Any, to: str) -> dict[str, Any]:
    """m, a message to oneself, Ctrl-T; then G until it is there; Enter."""
    async with app.run_test(size=(110, 34)) as pilot:
        main = app.screen_stack[1]
        await until(pilot, lambda: "Inbox" in str(main.query_one("#bar").visual))
        await pilot.press("m")
        await until(pilot, lambda: type(app.screen).__name__ == "Composer")
        app.screen.query_one("#to").value = to
        app.screen.query_one("#subject").value = "By the full screen"
        app.screen.query_one("#body").text = "From key to wire."
        await pilot.press("ctrl+t")
        await until(pilot, lambda: "no longer be stopped" in str(main.query_one("#status-text").visual))
        await pilot.press("G")
        await until(pilot, lambda: main.messages.summaries)
        await pilot.press("enter")
        await until(pilot, lambda: "From key to wire." in str(main.query_one("#text").visual))
        text, key = str(main.query_one("#text").visual), main.reader.key
        await pilot.press("q", "q")
        await until(pilot, lambda: app.return_code is not None)
        return {"text": text, "key": key}


def main(to: str) -> None:
    """Drive it, and print a JSON document."""
    session = Session()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with reactor_on(loop) as reactor:
        from emailsys.client.screen.app import MailApp
        from emailsys.client.screen.network import TwistedNetwork

        app = MailApp(session.mailbox, lambda app: TwistedNetwork(session.mailbox, reactor, app.ask_secret))
        print(json.dumps(loop.run_until_complete(write_send_fetch(app, to))))
    session.close()


if __name__ == "__main__":
    main(sys.argv[1])
