"""Stop of the checks: none keeps the others, and what the daemon still has to close, from it."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from emailsys.config.checks_settings import ChecksSettings
from emailsys.daemon.checks import DaemonChecks
from emailsys.extension import PolicyCheck
from tests.fakes.net.smtp_house import Events, SMTPHouse
from tests.unit.policy.checks.test_session_checks import Directory


class Ends(PolicyCheck):
    """A check with a way to stop."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.is_stopped = False
        self._error = error

    @override
    async def stop(self) -> None:
        self.is_stopped = True
        if self._error is not None:
            raise self._error


class Hangs(PolicyCheck):
    """A check whose stop never ends."""

    @override
    async def stop(self) -> None:
        await Deferred[None]()


class Stops(SynchronousTestCase):
    def test_each_check_is_stopped(self) -> None:
        checks = [Ends(), Ends(RuntimeError("boom")), Ends(SystemExit(1)), Hangs(), Ends()]
        clock, events = Clock(), Events()
        plugins = {"smtp": [(f"check{number}", check) for number, check in enumerate(checks)]}
        daemon = DaemonChecks(ChecksSettings(deadline=280.0), plugins, clock)
        daemon.serve(Directory(SMTPHouse()), events)
        stopped = Deferred.fromCoroutine(daemon.stop())
        self.assertNoResult(stopped)
        clock.advance(5.0)
        self.successResultOf(stopped)
        self.assertEqual([check.is_stopped for check in checks if isinstance(check, Ends)], [True] * 4)
        self.assertEqual([type(error) for error in events.exceptions], [RuntimeError, SystemExit])
        self.assertEqual([event["check"] for event in events.of("check-late")], ["check3"])
        self.assertEqual(clock.getDelayedCalls(), [])
