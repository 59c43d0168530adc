"""Before the daemon serves, its settings are made to fit what the system allows."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import Settings
from emailsys.daemon.startup import fit_connection_limits

SETTINGS = Settings("mx.example.test", Path("nowhere"))


class FittingTests(SynchronousTestCase):
    """No more connections than descriptors: at that limit nobody could be told anything."""

    def fit(self, settings: Settings, descriptors: int) -> tuple[int, int, str]:
        with contextlib.redirect_stderr(io.StringIO()) as told:
            fitted = fit_connection_limits(settings, descriptors)
        return fitted.smtp.max_connections, fitted.pop3.max_connections, told.getvalue()

    def test_where_there_are_enough_nothing_changes(self) -> None:
        self.assertEqual(self.fit(SETTINGS, 65536), (5000, 5000, ""))

    def test_where_there_are_few_all_services_get_less_and_the_operator_is_told(self) -> None:
        smtp, pop3, told = self.fit(SETTINGS, 2048)
        self.assertEqual((smtp, pop3), (364, 364))
        self.assertEqual(
            told,
            "emailsys: the limit of open files is 2048: at most 364 SMTP, 364 submission and 364 POP3 connections\n",
        )

    def test_few_descriptors_are_shared_in_the_configured_ratio(self) -> None:
        given = replace(SETTINGS, pop3=replace(SETTINGS.pop3, max_connections=20_000))
        smtp, pop3, _ = self.fit(given, 4096)
        self.assertEqual(pop3 // smtp, 4)
        self.assertLess(smtp + pop3, 4096 - 956 + 1)

    def test_with_hardly_any_half_of_them_are_for_connections(self) -> None:
        self.assertEqual(self.fit(SETTINGS, 256)[:2], (42, 42))
