"""The SMTP scripts, in memory and over real sockets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet import ssl
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IAddress
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from emailsys import pki
from emailsys.config.settings import SMTPSettings
from emailsys.interfaces import StoreError, StoreFull
from emailsys.net.smtp.service import Kind
from emailsys.testing.memory_peer import LOOPBACK, STRANGER
from tests.dialogue.peers import SocketPeer
from tests.dialogue.script import Actions, Script, add_tests, matches, play, scripts_in
from tests.fakes.net.smtp_house import SMTPHouse

HERE = Path(__file__).parent


def settings_of(script: Script) -> SMTPSettings:
    """Returns the settings that a script requests with `-- with name=value`."""
    limits: dict[str, Any] = {}
    for step in script.steps:
        if step.kind == "--" and step.text.startswith("with "):
            name, _, value = step.text.removeprefix("with ").partition("=")
            limits[name] = int(value)
    return SMTPSettings(plaintext_auth_on_loopback=True, **limits)


def actions(house: SMTPHouse) -> Actions:
    """The actions of SMTP scripts other than sending and reading."""
    store = house.store

    def accepted(text: str) -> None:
        wanted = text.encode("latin-1").decode("unicode_escape").encode("latin-1")
        assert house.body() == wanted, house.body()

    def received(pattern: str) -> None:
        body = house.messages[-1].body
        field = b" ".join(body[: len(body) - len(house.body())].split())
        assert matches(f"Received: {pattern}", field), field

    def envelope(text: str) -> None:
        given = house.messages[-1].envelope
        sender = f"<{given.reverse_path or ''}>"
        described = " ".join((sender, *(str(recipient.forward_path) for recipient in given.recipients)))
        assert described == text, described

    def count(text: str) -> None:
        assert len(house.messages) == int(text), house.messages

    def abandoned(text: str) -> None:
        assert store.abandoned == int(text), store.abandoned

    def dsn(text: str) -> None:
        envelope = house.messages[-1].envelope
        asked = [
            envelope.parameters.dsn.parameters(),
            *(recipient.dsn.parameters() for recipient in envelope.recipients),
        ]
        assert [" ".join(words) for words in asked] == text.split(" | "), asked

    def message_id(text: str) -> None:
        assert house.messages[-1].envelope.message_id == text

    def utf8(text: str) -> None:
        assert house.messages[-1].envelope.parameters.smtputf8 is (text == "yes")

    def room(text: str) -> None:
        store.room = text == "yes"

    def commit(text: str) -> None:
        store.fail_next_commit = StoreFull("full") if text == "full" else StoreError("locked")

    def write(text: str) -> None:
        store.fail_next_write = StoreFull("full") if text == "full" else StoreError("locked")

    told = (accepted, received, envelope, count, abandoned, dsn, message_id, utf8, room, commit, write)
    return {"with": lambda text: None, **{action.__name__: action for action in told}}


class MemoryTests(TestCase):
    """Over transports in memory, with a test clock."""

    async def play(self, script: Script, kind: Kind, peer: IAddress) -> None:
        house = SMTPHouse(kind, settings_of(script))
        await play(script, house.connect(peer), actions(house))
        self.assertEqual(house.telemetry.exceptions, [])

    async def play_receive(self, script: Script) -> None:
        await self.play(script, Kind.RECEIVE, STRANGER)

    async def play_guarded(self, script: Script) -> None:
        await self.play(script, Kind.SUBMISSION, STRANGER)

    async def play_submission(self, script: Script) -> None:
        await self.play(script, Kind.SUBMISSION, LOOPBACK)


class SocketTests(TestCase):
    """Over TCP and, from STARTTLS on, over TLS."""

    def setUp(self) -> None:
        made = pki.ensure_development_ca(Path(self.mktemp()), ["localhost"], now=datetime.now(UTC))
        files = next(files for files in made.certificates if files.kind == "ecdsa")
        self.context = ssl.PrivateCertificate.loadPEM(files.key.read_bytes() + files.chain.read_bytes()).options()

    async def play(self, script: Script, kind: Kind, loopback_may: bool) -> None:
        from twisted.internet import reactor

        settings = settings_of(script)
        if not loopback_may:
            settings = SMTPSettings(max_message_size=settings.max_message_size)
        house = SMTPHouse(kind, settings, context_factory=self.context, clock=reactor)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(house.factory)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        peer = await connectProtocol(endpoint, SocketPeer())
        try:
            await play(script, peer, actions(house))
        finally:
            await port.stopListening()
            if not peer.gone.called:
                await peer.hang_up()
            while house.factory.sessions:
                await deferLater(reactor, 0)
        self.assertEqual(house.telemetry.exceptions, [])

    async def play_receive(self, script: Script) -> None:
        await self.play(script, Kind.RECEIVE, True)

    async def play_guarded(self, script: Script) -> None:
        await self.play(script, Kind.SUBMISSION, False)

    async def play_submission(self, script: Script) -> None:
        await self.play(script, Kind.SUBMISSION, True)


def scripts(folder: str) -> Sequence[Script]:
    """The scripts of one kind of service."""
    return list(scripts_in(HERE / folder))


for case in (MemoryTests, SocketTests):
    add_tests(case, scripts("smtp_receive"), case.play_receive)
    add_tests(case, scripts("smtp_guarded"), case.play_guarded)
    add_tests(case, scripts("smtp_submission"), case.play_submission)
# Scripts that advance time, or send what a TLS engine would reject.
add_tests(MemoryTests, scripts("smtp_memory"), MemoryTests.play_receive)
