"""Watch over other nodes: decides by their signs of life which have ended, and which hang."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: Seconds for which the number of a node must be free before its leases are taken. Its connection may be lost although
#: it runs. It notices that, and sends nothing, before this time has passed.
SILENT_FOR: Final = 6.0
# Longest time between two looks that counts as observed, in seconds. If the database hangs, all nodes are silent.
_LONGEST_GAP: Final = 5.0


@dataclass(frozen=True, slots=True)
class Sign:
    """What the server knows of the connection that holds a node's number.

    @ivar pid: the server process, which started at `since`.
    @ivar seen: changes each time the node uses the connection. None if this user may not read it.
    """

    pid: int
    since: Any
    seen: Any


@dataclass(frozen=True, slots=True)
class Holder:
    """The connection that has locked a maildrop. Equal if the connection was not used in between.

    @ivar silent_for: seconds since it was used, by the server's clock. 0 if this user may not read it.
    """

    sign: Sign
    silent_for: float = field(compare=False)


@dataclass(slots=True)
class _Watched:
    """A node, what was seen of it last, and for how many seconds nothing else has been seen."""

    sign: Sign | None
    unchanged: float = 0.0


class NodeWatch:
    """Measures how long nodes give no sign of life. Compares no dates of different clocks."""

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}
        self._looked_at: float | None = None

    def look(
        self, nodes: Collection[int], signs: Mapping[int, Sign], now: float, patience: float
    ) -> tuple[list[int], list[Sign]]:
        """Note what the server knows now. Returns the nodes that have ended, and the signs of those that hang.

        @param nodes: the nodes to watch.
        @param signs: the latest signs of life. A node without one has no connection.
        @param now: seconds by a monotonic clock.
        @param patience: seconds without a new sign after which a node with a connection hangs.
        """
        gap = 0.0 if self._looked_at is None else min(now - self._looked_at, _LONGEST_GAP)
        self._looked_at = now
        before, self._watched = self._watched, {}
        ended: list[int] = []
        hanging: list[Sign] = []
        for node in nodes:
            sign, known = signs.get(node), before.get(node)
            if known is None or known.sign != sign:
                self._watched[node] = _Watched(sign)
                continue
            known.unchanged += gap
            self._watched[node] = known
            if sign is None:
                if known.unchanged >= SILENT_FOR:
                    ended.append(node)
            elif sign.seen is not None and known.unchanged >= patience:
                hanging.append(sign)
        return ended, hanging
