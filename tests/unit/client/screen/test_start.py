"""The full screen starts with what its first picture needs, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

# What takes long to import and is needed later: network, composer, crypto, calendars, HTML, Markdown.
LATER: Final = (
    "twisted.internet",
    "twisted.internet.reactor",
    "cryptography",
    "OpenSSL",
    "markdown_it",
    "icalendar",
    "nh3",
    "turbohtml",
    "emailsys.client.screen.composer",
    "emailsys.client.screen.network",
    "emailsys.client.display.message",
    "emailsys.client.send.sender",
    "emailsys.net",
)
IMPORTS: Final = """
import sys
import emailsys.cli.mail.screen
import emailsys.client.screen.app
from emailsys.client.archive.archive import Archive
print(*sys.modules)
"""
ASKED_LATE: Final = """
import asyncio, sys
from emailsys.cli.mail.asyncio_reactor import late_reactor_on

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
with late_reactor_on(loop) as late:
    async def run():
        assert "twisted.internet.reactor" not in sys.modules
        done = asyncio.Event()
        late().callLater(0, done.set)
        await done.wait()
        in_thread = asyncio.Event()
        late().callInThread(late().callFromThread, in_thread.set)
        await in_thread.wait()
        assert late() is late()
    loop.run_until_complete(run())
print(loop.is_closed())
"""
# All that keys import comes first, and then the network.
NETWORK: Final = """
import asyncio, importlib, pkgutil, sys
from types import SimpleNamespace
from emailsys.cli.mail.asyncio_reactor import late_reactor_on
from emailsys.cli.mail.screen import network_of
import emailsys.client.screen

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
with late_reactor_on(loop) as late:
    async def run():
        for module in pkgutil.iter_modules(emailsys.client.screen.__path__, "emailsys.client.screen."):
            if not module.name.endswith(".network"):
                importlib.import_module(module.name)
        assert "twisted.internet.reactor" not in sys.modules
        network = network_of(SimpleNamespace(), late, SimpleNamespace(ask_secret=None))
        assert sys.modules["twisted.internet.reactor"] is late()
        await network.close()
    loop.run_until_complete(run())
print("ended")
"""
NEVER_ASKED: Final = """
import asyncio, sys
from emailsys.cli.mail.asyncio_reactor import late_reactor_on

loop = asyncio.new_event_loop()
with late_reactor_on(loop):
    loop.run_until_complete(asyncio.sleep(0))
print(loop.is_closed(), "twisted.internet.reactor" in sys.modules)
"""


def printed(source: str) -> list[str]:
    """The words that a program prints."""
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    return ran.stdout.split() if not ran.returncode else [ran.stderr]


class StartTests(SynchronousTestCase):
    def test_the_first_picture_imports_no_network_no_composer_and_no_parsers_of_bodies(self) -> None:
        modules = printed(IMPORTS)
        self.assertIn("textual.app", modules)
        self.assertEqual([name for name in LATER if name in modules], [])

    def test_the_reactor_starts_when_it_is_first_asked_for(self) -> None:
        self.assertEqual(printed(ASKED_LATE), ["True"])
        self.assertEqual(printed(NEVER_ASKED), ["True", "False"])

    def test_the_network_comes_after_the_reactor_and_no_key_imports_one_before(self) -> None:
        """twisted.mail imports the reactor, which would install another one than that of the event loop."""
        self.assertEqual(printed(NETWORK), ["ended"])
