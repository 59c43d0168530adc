"""The POP3 scripts, in memory and over real sockets."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet import ssl
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from emailsys import pki
from emailsys.config.settings import POP3Settings
from emailsys.testing.memory_peer import LOOPBACK, STRANGER, MemoryPeer
from tests.dialogue.peers import SocketPeer
from tests.dialogue.script import Actions, Script, add_tests, play, scripts_in
from tests.fakes.net.pop3_house import POP3House

HERE = Path(__file__).parent
OPEN = POP3Settings(plaintext_auth_on_loopback=True)
GUARDED = POP3Settings()


def actions(house: POP3House) -> Actions:
    """The actions of POP3 scripts other than sending and reading."""
    others: list[MemoryPeer] = []

    def another(_: str) -> None:
        other = house.connect(LOOPBACK, tls=True)
        other.say(b"USER alice@example.test\r\nPASS secret\r\n")
        others.append(other)

    def the_other(_: str) -> None:
        others[0].say(b"QUIT\r\n")

    def holds(count: str) -> None:
        wanted = int(count.partition(" ")[0])
        assert len(house.bodies()) == wanted, f"alice has {len(house.bodies())} messages, not {wanted}"

    return {"another": another, "the": the_other, "holds": holds}


class MemoryTests(TestCase):
    """Over transports in memory, with a test clock. TLS is only pretended."""

    async def play_open(self, script: Script) -> None:
        await self.play(script, POP3House(OPEN, object()), LOOPBACK)

    async def play_guarded(self, script: Script) -> None:
        await self.play(script, POP3House(GUARDED, object()), STRANGER)

    async def play(self, script: Script, house: POP3House, peer: Any) -> None:
        acts = actions(house)
        connected = house.connect(peer)
        await play(script, connected, acts)
        self.assertEqual(house.telemetry.counters["exception"], 0)


class SocketTests(TestCase):
    """Over TCP and, from STLS on, over TLS."""

    def setUp(self) -> None:
        made = pki.ensure_development_ca(Path(self.mktemp()), ["localhost"], now=datetime.now(UTC))
        files = next(files for files in made.certificates if files.kind == "ecdsa")
        self.context = ssl.PrivateCertificate.loadPEM(files.key.read_bytes() + files.chain.read_bytes()).options()

    async def play_open(self, script: Script) -> None:
        await self.play(script, OPEN)

    async def play_guarded(self, script: Script) -> None:
        await self.play(script, GUARDED)

    async def play(self, script: Script, settings: POP3Settings) -> None:
        from twisted.internet import reactor

        house = POP3House(settings, self.context, reactor)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(house.factory)
        peer = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), SocketPeer())
        try:
            await play(script, peer, actions(house))
        finally:
            assert peer.transport is not None
            peer.transport.abortConnection()
            for session in tuple(house.factory.sessions):
                session.connection.abort()
            await port.stopListening()
            while house.factory.sessions:
                await deferLater(reactor, 0)


_OPEN_SCRIPTS = list(scripts_in(HERE / "pop3"))
_GUARDED_SCRIPTS = list(scripts_in(HERE / "pop3_guarded"))
add_tests(MemoryTests, _OPEN_SCRIPTS, MemoryTests.play_open)
add_tests(MemoryTests, _GUARDED_SCRIPTS, MemoryTests.play_guarded)
add_tests(SocketTests, [script for script in _OPEN_SCRIPTS if not script.needs_clock], SocketTests.play_open)
add_tests(SocketTests, _GUARDED_SCRIPTS, SocketTests.play_guarded)
