"""A coroutine that does not wait costs no Deferred. One that waits is resumed."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.base.coroutines import begin


class CoroutineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.said: list[object] = []

    async def work(self, *waits: Deferred[object]) -> None:
        self.said.append("begun")
        for wait in waits:
            try:
                self.said.append(await wait)
            except ZeroDivisionError:
                self.said.append("failed")
        self.said.append("done")

    def test_a_coroutine_that_does_not_wait_ends_at_once(self) -> None:
        self.assertIsNone(begin(self.work()))
        self.assertIsNone(begin(self.work(succeed("at once"))))
        self.assertEqual(self.said, ["begun", "done", "begun", "at once", "done"])

    def test_with_waits_the_rest_goes_on_as_they_fire(self) -> None:
        first: Deferred[object] = Deferred()
        second: Deferred[object] = Deferred()
        third: Deferred[object] = Deferred()
        over = begin(self.work(first, second, third))
        assert over is not None
        self.assertEqual(self.said, ["begun"])
        first.callback("one")
        second.errback(ZeroDivisionError())
        self.assertNoResult(over)
        third.callback("three")
        self.successResultOf(over)
        self.assertEqual(self.said, ["begun", "one", "failed", "three", "done"])

    def test_the_exception_of_a_coroutine_is_raised(self) -> None:
        async def fail(wait: Deferred[object] | None) -> None:
            if wait is not None:
                await wait
            raise KeyError("no")

        self.assertRaises(KeyError, begin, fail(None))
        wait: Deferred[object] = Deferred()
        over = begin(fail(wait))
        assert over is not None
        wait.callback(None)
        self.failureResultOf(over, KeyError)
