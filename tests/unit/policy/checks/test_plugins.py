"""Loading of checks: what is no check stops the start, and says why."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from emailsys.extension import CheckContext, IPolicyCheck, PolicyCheck
from emailsys.policy.checks.plugins import PluginError, load_checks


class Incomplete:
    """A check that has only some of the methods."""

    async def connection(self, client: Any) -> None:
        """Have no opinion."""

    hello = sender = None


class Loading(SynchronousTestCase):
    def load(self, check: object) -> list[tuple[str, Any]]:
        def make(context: CheckContext) -> object:
            return check

        return load_checks(["own:x"], "mx.test", None, {"own": make})

    def test_a_check_has_all_methods(self) -> None:
        check, incomplete = PolicyCheck(), Incomplete()
        alsoProvides(incomplete, IPolicyCheck)
        self.assertEqual(self.load(check), [("own", check)])
        for wrong, why in (
            (incomplete, "TypeError: Incomplete has no method hello, sender, recipient, message, stop"),
            (object(), "TypeError: it made a object, which is no IPolicyCheck"),
        ):
            with self.assertRaises(PluginError) as caught:
                self.load(wrong)
            self.assertEqual(str(caught.exception), f"the check 'own:x' cannot be loaded: {why}")
