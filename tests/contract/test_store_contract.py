"""The contract, held against each engine, and the proof that none was spared."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.contract.accounts_contract import AccountsContract
from tests.contract.count import contract_counts, contract_line
from tests.contract.engines import MemoryCase, PostgreSQLCase, SQLiteCase
from tests.contract.intake_contract import IntakeContract
from tests.contract.ledger_contract import LedgerContract
from tests.contract.maildrop_contract import MaildropContract
from tests.contract.operations_contract import AliasContract, QueueOperationsContract, RouteContract
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


class SQLiteAliasesTests(SQLiteCase, AliasContract):
    """Aliases, on SQLite."""


class SQLiteRoutesTests(SQLiteCase, RouteContract):
    """Routes and quotas, on SQLite."""


class SQLiteQueueOperationsTests(SQLiteCase, QueueOperationsContract):
    """The queue in an operator's hands, on SQLite."""


class SQLiteLedgerTests(SQLiteCase, LedgerContract):
    """The ledger, on SQLite."""


class PostgreSQLAliasesTests(PostgreSQLCase, AliasContract):
    """Aliases, on PostgreSQL."""


class PostgreSQLRoutesTests(PostgreSQLCase, RouteContract):
    """Routes and quotas, on PostgreSQL."""


class PostgreSQLQueueOperationsTests(PostgreSQLCase, QueueOperationsContract):
    """The queue in an operator's hands, on PostgreSQL."""


class PostgreSQLLedgerTests(PostgreSQLCase, LedgerContract):
    """The ledger, on PostgreSQL."""


class MemoryAliasesTests(MemoryCase, AliasContract):
    """Aliases, in memory."""


class MemoryRoutesTests(MemoryCase, RouteContract):
    """Routes and quotas, in memory."""


class MemoryQueueOperationsTests(MemoryCase, QueueOperationsContract):
    """The queue in an operator's hands, in memory."""


class MemoryLedgerTests(MemoryCase, LedgerContract):
    """The ledger, in memory."""


class ContractCountTests(SynchronousTestCase):
    """All engines, all promises."""

    def test_every_engine_keeps_every_promise(self) -> None:
        counts = contract_counts()
        self.assertEqual(sorted(counts), ["memory", "postgresql", "sqlite"])
        self.assertEqual(len(set(counts.values())), 1)
        self.assertGreater(counts["sqlite"], 105)
        self.assertRegex(contract_line(), r"\Acontract: sqlite \d+, postgresql \d+, memory \d+\Z")


# The promises themselves have no engine; trial shall not look for one.
del AccountsContract, AliasContract, IntakeContract, LedgerContract, MaildropContract, QueueContract
del QueueOperationsContract, RouteContract, SQLiteCase, PostgreSQLCase, MemoryCase
