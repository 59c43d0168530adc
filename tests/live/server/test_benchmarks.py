"""The comparison of mail servers: a short run, its file and its plots, and what makes it fail."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.__main__ import report
from benchmarks.suite.measuring import Accounts, Subject
from benchmarks.suite.plots import draw
from benchmarks.suite.results import OURS, Results, Run, table
from tests.live.programs.installed import needs, run

CHECKOUT = Path(__file__).resolve().parents[3]
# Seconds that a short run may take on a machine that is busy with other tests.
PATIENCE = 300.0


def of(server: str, workload: str, value: float, cpu: float = 1.0, **more: Any) -> Run:
    figures = {"value": value, "cpu_ms_each": cpu, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, **more}
    return Run(server, workload, 1, figures)


class ComparisonTests(SynchronousTestCase):
    @needs("cc", "openssl")
    def test_a_short_run_finds_each_message_and_writes_its_results(self) -> None:
        """Without the peer, and with a few messages."""
        out = Path(self.mktemp()).absolute()
        command = [sys.executable, "-m", "benchmarks", "--only", OURS, "--scale", "0.01", "--rounds", "1"]
        command += ["--workloads", "S1c10,S4,E1", "--out", str(out)]
        printed = run(command, environ={"PYTHONPATH": str(CHECKOUT)}, timeout=PATIENCE).stdout.decode()
        results = Results.read(out)
        self.assertEqual([one.workload for one in results.runs], ["S1c10", "S4", "E1"])
        self.assertEqual([one.figures["units"] for one in results.runs], [80, 15, 2])
        self.assertEqual(results.flaws, [])
        self.assertIn("| S1c10: ", printed)

    def test_medians_and_ratios(self) -> None:
        """More messages are better, less time and less CPU are."""
        rates = [of(OURS, "S2", value, 2.0) for value in (300.0, 100.0, 400.0)]
        times = [of(OURS, "E1", 2.0), of("peer", "E1", 6.0)]
        results = Results({}, [*rates, of("peer", "S2", 100.0, 10.0), *times])
        self.assertEqual(results.median(OURS, "S2"), 300.0)
        self.assertEqual((results.ratio("peer", "S2"), results.ratio("peer", "S2", "cpu_ms_each")), (3.0, 5.0))
        self.assertEqual(results.ratio("peer", "E1"), 3.0)
        self.assertIsNone(results.ratio("peer", "P2"))
        row = next(line for line in table(results) if line.startswith("| S2: "))
        self.assertIn("300 messages/s (100 to 400)", row)
        self.assertTrue(row.endswith("| 3 | 5 |"), row)

    def test_the_plots_are_pictures(self) -> None:
        """Each is well-formed, and has a row or a point for each workload."""
        names = ("S1c1", "S1c10", "S1c100", "B1_100", "B1_1k")
        results = Results({}, [of(server, name, 5.0) for server in (OURS, "peer & co") for name in names])
        folder = Path(self.mktemp())
        folder.mkdir()
        drawn = draw(results, folder)
        self.assertEqual(
            [path.name for path in drawn],
            ["ratios.svg", "latencies.svg", "growth-connections.svg", "growth-messages.svg"],
        )
        for path in drawn:
            words = [one.text for one in ElementTree.parse(path).iter() if one.tag.endswith("text")]
            self.assertTrue(set(names) <= set(words) or "100" in words, (path, words))

    def test_a_changed_or_lost_message_fails_the_comparison(self) -> None:
        subject = Subject(cast(Any, None), cast(Any, None), Path(), Path())
        outcome = {"errors": [], "crc_bad": 1, "crc_missing": 0, "retr": 9}
        self.patch(subject, "load", lambda *_, **__: outcome)
        subject.take_all(Accounts(0, 3), 10)
        self.assertEqual(subject.flaws, ["1 of 9 messages were changed", "10 messages were accepted, 9 have arrived"])
        results = Results({}, [Run(OURS, "S2", 1, {}, subject.flaws)])
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self.assertEqual(report(results, None), 1)
        self.assertIn("FLAW emailsys, S2, round 1: 1 of 9 messages were changed", printed.getvalue())

    def test_results_of_another_format_are_refused(self) -> None:
        path = Path(self.mktemp())
        path.write_text(json.dumps({"format": 0, "machine": {}, "runs": []}))
        self.assertRaises(ValueError, Results.read, path)
