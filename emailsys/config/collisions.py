"""Listening addresses that cannot be bound together."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from emailsys.config.consistency import Contradiction
from emailsys.config.values import EVERY_ADDRESS, LOOPBACK, described, shown_address

_EVERY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104
_MEANS: Final = {EVERY_ADDRESS: ("0.0.0.0", "::"), LOOPBACK: ("127.0.0.1", "::1")}  # noqa: S104


def collisions(addresses: Mapping[str, Sequence[tuple[str, int]]]) -> Iterator[Contradiction]:
    """Yield the addresses that an address before them covers; binding would say that another program listens there.

    @param addresses: those of each service, by its key path.
    """
    before: list[tuple[str, tuple[str, int]]] = []
    for key, pairs in addresses.items():
        for pair in pairs:
            owner = next((one for one in before if _overlap(one[1], pair)), None)
            before.append((key, pair))
            if owner is None:
                continue
            shown, other = described(shown_address(*pair)), described(shown_address(*owner[1]))
            if owner[0] == key:
                yield Contradiction(key, shown, f"{other} alone, which covers it")
            else:
                by = "" if pair == owner[1] else f" on {other}"
                yield Contradiction(key, f"{shown}, where {owner[0]} listens{by}", "an address of its own")


def _overlap(first: tuple[str, int], second: tuple[str, int]) -> bool:
    # Port 0 stands for a free port, another one each time.
    if first[1] != second[1] or first[1] == 0:
        return False
    return any(
        one == other or (_version(one) == _version(other) and bool({one, other} & _EVERY))
        for one in _MEANS.get(first[0], (first[0],))
        for other in _MEANS.get(second[0], (second[0],))
    )


def _version(host: str) -> int:
    return ipaddress.ip_address(host).version
