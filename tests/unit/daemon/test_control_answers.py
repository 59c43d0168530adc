"""Answers to operators, with a store and without one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import Settings, StoreSettings
from emailsys.control.answers import Answer
from emailsys.control.commands import Commands
from emailsys.control.requests import DomainAdd, Init, Request, Status, UserList
from emailsys.daemon.control_answers import ControlAnswers, ProcessRequest
from emailsys.daemon.store_location import StoreLocation
from emailsys.interfaces.operators import Actor
from emailsys.mail.address import Address
from emailsys.store.schema.identity import IDENTITY_NAME
from emailsys.telemetry import Telemetry

WHY = "there is no store"


class FakeCommands:
    """The commands of a store, which tell what they were asked."""

    async def answer(self, request: Request, actor: object) -> Answer:
        return {"result": request.command}


class FakeDaemon:
    """A daemon whose store is made as soon as that is asked."""

    def __init__(self) -> None:
        self.commands: Commands | None = None
        self.looks = 0

    def find_store(self, create: bool, adopt: bool) -> str:
        if create or adopt:
            self.commands = cast(Commands, FakeCommands())
        return "" if self.commands else WHY

    async def carry_out(self, request: ProcessRequest) -> Any:
        raise AssertionError("not asked here")

    async def check_store(self) -> None:
        self.looks += 1

    def status(self) -> Mapping[str, Any]:
        return {"store": {"problem": WHY}}


class ControlAnswersTests(SynchronousTestCase):
    """An operator always hears why there is no store, and makes one only on purpose."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp())
        self.state.mkdir()
        self.daemon = FakeDaemon()
        self.changes: list[Mapping[str, object]] = []
        telemetry = Telemetry()
        telemetry.also = lambda name, fields: self.changes.append(fields) if name == "operator-change" else None
        settings = Settings(
            "mail.example.org", state=self.state, store=StoreSettings(url="postgresql://mail:secret@db/mail")
        )
        self.answers = ControlAnswers(self.daemon, self.state, StoreLocation(settings), telemetry)

    def ask(self, request: object) -> Answer:
        answer: Answer = self.successResultOf(Deferred.fromCoroutine(self.answers.answer(request, Actor("user-0"))))
        return answer

    def test_what_is_no_request_is_refused(self) -> None:
        """The answer names the database, without its password."""
        answer = self.ask({"command": "make-coffee"})
        self.assertEqual(answer["error"]["kind"], "malformed")
        self.assertEqual(answer["store"], "postgresql://mail@db/mail")
        self.assertIsNone(self.daemon.commands)

    def test_without_a_store_only_the_status_is_told(self) -> None:
        self.assertEqual(self.ask(Status())["result"], {"store": {"problem": WHY}})
        self.assertEqual(self.daemon.looks, 1)
        refused = self.ask(UserList())["error"]
        self.assertEqual((refused["kind"], refused["message"]), ("missing", WHY))

    def test_init_makes_the_store_once(self) -> None:
        """The second one changes nothing, and is no change in the log."""
        self.assertEqual((self.ask(Init())["result"]["made"], self.ask(Init())["result"]["made"]), (True, False))
        self.assertEqual(len(self.changes), 1)
        self.assertEqual(self.ask(UserList()), {"result": "user.list"})

    def test_a_domain_makes_the_first_store_alone(self) -> None:
        """Where there was a store before, its folder may be one that was not mounted."""
        add = DomainAdd("example.org", Address("alice", "example.org"))
        (self.state / IDENTITY_NAME).write_text("0")
        self.assertEqual(self.ask(add)["error"]["kind"], "missing")
        (self.state / IDENTITY_NAME).unlink()
        self.assertEqual(self.ask(add), {"result": "domain.add"})

    def test_a_store_that_is_adopted_was_not_made(self) -> None:
        made = self.ask(Init(adopt=True))["result"]
        self.assertEqual((made["made"], made["adopted"]), (False, True))
