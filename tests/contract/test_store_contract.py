"""The contract, held against each engine, and the proof that none was spared."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.contract.accounts_contract import AccountsContract
from tests.contract.count import contract_counts, contract_line
from tests.contract.engines import MemoryCase, PostgreSQLCase, SQLiteCase
from tests.contract.intake_contract import IntakeContract
from tests.contract.maildrop_contract import MaildropContract
from tests.contract.queue_contract import QueueContract


class SQLiteIntakeTests(SQLiteCase, IntakeContract):
    """Messages in, on SQLite."""


class SQLiteMaildropTests(SQLiteCase, MaildropContract):
    """Maildrops on SQLite."""


class SQLiteQueueTests(SQLiteCase, QueueContract):
    """The queue on SQLite."""


class SQLiteAccountsTests(SQLiteCase, AccountsContract):
    """Accounts on SQLite."""


class PostgreSQLIntakeTests(PostgreSQLCase, IntakeContract):
    """Messages in, on PostgreSQL."""


class PostgreSQLMaildropTests(PostgreSQLCase, MaildropContract):
    """Maildrops on PostgreSQL."""


class PostgreSQLQueueTests(PostgreSQLCase, QueueContract):
    """The queue on PostgreSQL."""


class PostgreSQLAccountsTests(PostgreSQLCase, AccountsContract):
    """Accounts on PostgreSQL."""


class MemoryIntakeTests(MemoryCase, IntakeContract):
    """Messages into memory."""


class MemoryMaildropTests(MemoryCase, MaildropContract):
    """Maildrops in memory."""


class MemoryQueueTests(MemoryCase, QueueContract):
    """The queue in memory."""


class MemoryAccountsTests(MemoryCase, AccountsContract):
    """Accounts in memory."""


class ContractCountTests(SynchronousTestCase):
    """All engines, all promises."""

    def test_every_engine_keeps_every_promise(self) -> None:
        counts = contract_counts()
        self.assertEqual(sorted(counts), ["memory", "postgresql", "sqlite"])
        self.assertEqual(len(set(counts.values())), 1)
        self.assertGreater(counts["sqlite"], 60)
        self.assertRegex(contract_line(), r"\Acontract: sqlite \d+, postgresql \d+, memory \d+\Z")


# The promises themselves have no engine; trial shall not look for one.
del AccountsContract, IntakeContract, MaildropContract, QueueContract, SQLiteCase, PostgreSQLCase, MemoryCase
