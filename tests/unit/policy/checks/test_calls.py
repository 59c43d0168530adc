"""Calls of plugins: an exception by which Python ends coroutines is a fault of the plugin like any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail

from emailsys.extension import PolicyCheck
from emailsys.extension.checks import POINTS
from tests.unit.policy.checks.test_session_checks import COMMANDS, CheckCase


class EndsOfCoroutines(CheckCase):
    """A check that raises GeneratorExit or StopIteration: 451, one traceback, and neither a hang nor unchecked mail."""

    def assert_fault(self, method: Callable[..., Any], at: str, kind: type[BaseException]) -> None:
        check = PolicyCheck()
        check.__class__ = type("Raises", (PolicyCheck,), {at: staticmethod(method)})
        house = self.house(check)
        self.assertIn("451", self.play(house, COMMANDS), (at, kind))
        (error,) = house.telemetry.exceptions
        self.assertEqual((type(error), house.messages), (RuntimeError, []), (at, kind))
        self.assertIn(kind.__name__, str(error))

    def test_at_each_point(self) -> None:
        for at in POINTS:

            async def ends(*arguments: Any) -> None:
                raise GeneratorExit

            self.assert_fault(ends, at, GeneratorExit)

    def test_from_a_plain_function(self) -> None:
        """`next` of an iterator that has ended: the message must not pass as if there were no opinion."""
        self.assert_fault(lambda *arguments: next(iter(())), "recipient", StopIteration)

    def test_after_a_wait(self) -> None:
        waiting = Deferred[None]()

        async def ends(*arguments: Any) -> None:
            await waiting
            raise GeneratorExit

        check = PolicyCheck()
        check.__class__ = type("Raises", (PolicyCheck,), {"message": staticmethod(ends)})
        house = self.house(check)
        peer = house.connect()
        peer.say(b"".join(COMMANDS))
        peer.heard()
        waiting.callback(None)
        self.assertEqual(self.last(peer), "451")
        self.assertIn("GeneratorExit", str(house.telemetry.exceptions[0]))

    def test_from_a_deferred(self) -> None:
        for kind in (GeneratorExit, StopIteration):
            self.assert_fault(lambda *arguments, kind=kind: fail(kind()), "recipient", kind)
