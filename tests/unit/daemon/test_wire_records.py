"""Recorded connections of the daemon: off at first, on while somebody watches."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.config.monitoring_settings import WiretapSettings
from emailsys.daemon.wire_records import WireRecords
from emailsys.interfaces.operators.wire import IWireRecords
from emailsys.interfaces.wiretap import IWiretap


class WireRecordsTests(SynchronousTestCase):
    """The recorder behind the settings."""

    def test_it_records_while_somebody_watches(self) -> None:
        records = WireRecords(WiretapSettings())
        verifyObject(IWiretap, records)
        verifyObject(IWireRecords, records)
        self.assertFalse(records.is_on)
        self.assertEqual((records.conversations(5), records.conversation("1")), ([], None))
        heard: list[bytes] = []
        end, other = records.watch(heard.append, 0), records.watch(heard.append, 0)
        self.assertTrue(records.is_on)
        records.begin("smtp", False, "1").opened("192.0.2.7:1", "192.0.2.1:25")
        self.assertEqual(len(heard), 4)
        end()
        self.assertTrue(records.is_on)
        other()
        self.assertFalse(records.is_on)
        self.assertEqual([one["id"] for one in records.conversations(5)], ["1"])

    def test_the_settings_are_those_of_the_recorder(self) -> None:
        records = WireRecords(WiretapSettings(enabled=True, conversations=2))
        self.assertTrue(records.is_on)
        for session in "123":
            records.begin("smtp", False, session)
        self.assertEqual([one["id"] for one in records.conversations(5)], ["2", "3"])
        records.watch(lambda line: None, 0)()
        self.assertTrue(records.is_on)

    def test_a_daemon_that_records_nothing_does_not_import_the_recorder(self) -> None:
        """It would take time at each start."""
        code = (
            "import sys, emailsys.daemon.service\n"
            "print([name for name in sys.modules if name.startswith('emailsys.wiretap.') or name.endswith('.tapped')])"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        self.assertEqual(found.strip(), "['emailsys.net.tls.tapped']")
