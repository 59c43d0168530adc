"""The command that logs in to the web face."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.commands.web import _link
from emailsys.config.exit_status import Exit
from tests.unit.cli.operations_case import OperationsCase


class LoginTests(OperationsCase):
    def test_without_a_daemon_it_says_what_to_do(self) -> None:
        for arguments in ((), ("ann@example.test",), ("--json",)):
            self.assertIn("web.listen", self.refused(Exit.DATA, "web", "login", *arguments))
        self.refused(Exit.USAGE, "web", "login", "no address")


class LinkTests(SynchronousTestCase):
    def test_the_link_is_the_best_address_of_the_daemon(self) -> None:
        answer = {"path": "/system/once/x", "hostname": "mail.example.test", "http": [], "https": []}
        for more, expected in (
            ({"http": ["127.0.0.1:8080"]}, "http://127.0.0.1:8080/system/once/x"),
            ({"http": ["0.0.0.0:8080"]}, "http://mail.example.test:8080/system/once/x"),
            ({"http": ["[::1]:80"]}, "http://[::1]:80/system/once/x"),
            ({"http": ["127.0.0.1:80"], "https": ["*:443"]}, "https://mail.example.test/system/once/x"),
            ({"https": ["192.0.2.1:8443"]}, "https://mail.example.test:8443/system/once/x"),
            ({}, "/system/once/x"),
        ):
            self.assertEqual(_link({**answer, **more}), expected)


del OperationsCase
