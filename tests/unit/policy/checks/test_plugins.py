"""Loading of checks: what is no check stops the start, and says why."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from emailsys.extension import CheckContext, IPolicyCheck, PolicyCheck
from emailsys.policy.checks import plugins
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

    def test_the_argument_of_a_plugin_is_not_shown(self) -> None:
        """It may be a secret, and exceptions quote what they were given."""

        class Plugin:
            name = "example"

            def make(self, context: CheckContext) -> object:
                raise ValueError(f"no such key: {context.argument!r}")

        self.patch(plugins, "getPlugins", lambda interface: [Plugin()])
        for name, why in (
            ("example", "ValueError: no such key: '***'"),
            ("missing", "LookupError: no package has an entry point 'missing'"),
        ):
            with self.assertRaises(PluginError) as caught:
                load_checks([f"plugin:{name}:geheim"], "mx.test", None, {})
            self.assertIn(f"the check 'plugin:{name}:***' cannot be loaded: {why}", str(caught.exception))
            self.assertTrue(caught.exception.__suppress_context__)
