"""The results of a comparison: the file of raw results, and the table of medians and ratios."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.suite.workloads import WORKLOADS

#: The format of the file. A change of what a name means gets another number.
FORMAT: Final = 1
OURS: Final = "emailsys"


@dataclass
class Run:
    """One run of a workload on one server.

    @ivar figures: "value" in the unit of the workload; cpu_s and cpu_ms_each of all processes of the server; latencies.
    @ivar flaws: messages that were lost or changed, and clients that failed.
    """

    server: str
    workload: str
    round: int
    figures: dict[str, Any] = field(default_factory=dict)
    flaws: list[str] = field(default_factory=list)


@dataclass
class Results:
    """All runs of a comparison."""

    machine: dict[str, Any]
    runs: list[Run] = field(default_factory=list)
    format: int = FORMAT

    @classmethod
    def new(cls) -> Results:
        """Begin, and describe the machine."""
        load = getattr(os, "getloadavg", lambda: (None,))()[0]
        return cls(
            {
                "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "cores": os.cpu_count(),
                "kernel": platform.release(),
                "python": platform.python_version(),
                # Other programs that want to run: such results tell little.
                "load_before": load,
            }
        )

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a file.

        @raise ValueError: it has another format.
        """
        content = json.loads(path.read_text())
        if content.get("format") != FORMAT:
            raise ValueError(f"{path}: found format {content.get('format')}; allowed: {FORMAT}")
        return cls(content["machine"], [Run(**one) for one in content["runs"]])

    def write(self, path: Path) -> None:
        """Write a file."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @property
    def flaws(self) -> list[str]:
        """All that makes the comparison fail."""
        return [f"{run.server}, {run.workload}, round {run.round}: {flaw}" for run in self.runs for flaw in run.flaws]

    def values(self, server: str, workload: str, figure: str = "value") -> list[float]:
        """Return a figure of each round, in order of size."""
        found = (run.figures.get(figure) for run in self.runs if (run.server, run.workload) == (server, workload))
        return sorted(value for value in found if value is not None)

    def median(self, server: str, workload: str, figure: str = "value") -> float | None:
        """Return the median of a figure."""
        values = self.values(server, workload, figure)
        return statistics.median(values) if values else None

    def ratio(self, peer: str, workload: str, figure: str = "value") -> float | None:
        """Return how many times better than the peer we are: more per second, or less time, memory or CPU."""
        ours, theirs = self.median(OURS, workload, figure), self.median(peer, workload, figure)
        if not ours or not theirs:
            return None
        is_cost = figure != "value" or WORKLOADS[workload].is_cost
        return theirs / ours if is_cost else ours / theirs

    @property
    def servers(self) -> list[str]:
        """The servers, in the order of their first run."""
        return list(dict.fromkeys(run.server for run in self.runs))

    @property
    def workloads(self) -> list[str]:
        """The workloads, in the order of their first run."""
        return list(dict.fromkeys(run.workload for run in self.runs))


def table(results: Results) -> list[str]:
    """Return a Markdown table: medians, least and most, CPU of each message or session, ratios to the peer."""
    peers = [name for name in results.servers if name != OURS]
    heads = ["workload", *(f"{name}, {what}" for name in results.servers for what in ("rate or time", "CPU, p99"))]
    heads += [f"ratio to {peer}, {what}" for peer in peers for what in ("rate", "CPU")]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for name in results.workloads:
        workload = WORKLOADS[name]
        cells = [f"{name}: {workload.text}"]
        for server in results.servers:
            values = results.values(server, name)
            spread = f" ({_short(values[0])} to {_short(values[-1])})" if len(values) > 1 else ""
            cells.append(f"{_short(results.median(server, name))} {workload.unit}{spread}")
            cpu, p99 = (results.median(server, name, one) for one in ("cpu_ms_each", "p99_ms"))
            cells.append(f"{_short(cpu)} ms, {_short(p99)} ms")
        for peer in peers:
            cells += [_short(results.ratio(peer, name)), _short(results.ratio(peer, name, "cpu_ms_each"))]
        lines.append(_row(cells))
    return lines


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _short(value: float | None) -> str:
    """Three figures are more than two runs of a workload have in common."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def merged(files: Sequence[Path]) -> Results:
    """Read several files as the rounds of one comparison."""
    parts = [Results.read(path) for path in files]
    return Results(parts[0].machine, [run for part in parts for run in part.runs])
