"""Print how many contract tests each engine has: python -m tests.contract.count."""

from __future__ import annotations

from collections import Counter
from unittest import TestSuite

from twisted.trial.runner import TestLoader


def contract_counts() -> Counter[str]:
    """Count the tests by engine, as trial loads them."""
    from tests.contract import test_store_contract

    counts: Counter[str] = Counter()
    suites = [TestLoader().loadModule(test_store_contract)]
    while suites:
        for test in suites.pop():
            if isinstance(test, TestSuite):
                suites.append(test)
            elif hasattr(test, "engine"):
                counts[test.engine] += 1
    return counts


def contract_line() -> str:
    """Print one line for CI."""
    counts = contract_counts()
    return "contract: " + ", ".join(f"{engine} {counts[engine]}" for engine in ("sqlite", "postgresql", "memory"))


if __name__ == "__main__":
    print(contract_line())
