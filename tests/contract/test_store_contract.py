"""The contract tests on each engine, and a check that every engine runs all of them."""

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
from tests.contract.reading_contract import ReadingContract
from tests.contract.tokens_contract import TokensContract


class SQLiteIntakeTests(SQLiteCase, IntakeContract):
    """The intake on SQLite."""


class SQLiteMaildropTests(SQLiteCase, MaildropContract):
    """Maildrops on SQLite."""


class SQLiteReadingTests(SQLiteCase, ReadingContract):
    """Reading without a lock on SQLite."""


class SQLiteQueueTests(SQLiteCase, QueueContract):
    """The queue on SQLite."""


class SQLiteAccountsTests(SQLiteCase, AccountsContract):
    """Accounts on SQLite."""


class PostgreSQLIntakeTests(PostgreSQLCase, IntakeContract):
    """The intake on PostgreSQL."""


class PostgreSQLMaildropTests(PostgreSQLCase, MaildropContract):
    """Maildrops on PostgreSQL."""


class PostgreSQLReadingTests(PostgreSQLCase, ReadingContract):
    """Reading without a lock on PostgreSQL."""


class PostgreSQLQueueTests(PostgreSQLCase, QueueContract):
    """The queue on PostgreSQL."""


class PostgreSQLAccountsTests(PostgreSQLCase, AccountsContract):
    """Accounts on PostgreSQL."""


class MemoryIntakeTests(MemoryCase, IntakeContract):
    """The intake in memory."""


class MemoryMaildropTests(MemoryCase, MaildropContract):
    """Maildrops in memory."""


class MemoryReadingTests(MemoryCase, ReadingContract):
    """Reading without a lock in memory."""


class MemoryQueueTests(MemoryCase, QueueContract):
    """The queue in memory."""


class MemoryAccountsTests(MemoryCase, AccountsContract):
    """Accounts in memory."""


class SQLiteAliasesTests(SQLiteCase, AliasContract):
    """Aliases, on SQLite."""


class SQLiteRoutesTests(SQLiteCase, RouteContract):
    """Routes and quotas, on SQLite."""


class SQLiteQueueOperationsTests(SQLiteCase, QueueOperationsContract):
    """Queue operations, on SQLite."""


class SQLiteLedgerTests(SQLiteCase, LedgerContract):
    """The ledger, on SQLite."""


class PostgreSQLAliasesTests(PostgreSQLCase, AliasContract):
    """Aliases, on PostgreSQL."""


class PostgreSQLRoutesTests(PostgreSQLCase, RouteContract):
    """Routes and quotas, on PostgreSQL."""


class PostgreSQLQueueOperationsTests(PostgreSQLCase, QueueOperationsContract):
    """Queue operations, on PostgreSQL."""


class PostgreSQLLedgerTests(PostgreSQLCase, LedgerContract):
    """The ledger, on PostgreSQL."""


class MemoryAliasesTests(MemoryCase, AliasContract):
    """Aliases, in memory."""


class MemoryRoutesTests(MemoryCase, RouteContract):
    """Routes and quotas, in memory."""


class MemoryQueueOperationsTests(MemoryCase, QueueOperationsContract):
    """Queue operations, in memory."""


class MemoryLedgerTests(MemoryCase, LedgerContract):
    """The ledger, in memory."""


class SQLiteTokensTests(SQLiteCase, TokensContract):
    """Access tokens, on SQLite."""


class PostgreSQLTokensTests(PostgreSQLCase, TokensContract):
    """Access tokens, on PostgreSQL."""


class MemoryTokensTests(MemoryCase, TokensContract):
    """Access tokens, in memory."""


class ContractCountTests(SynchronousTestCase):
    """Every engine runs every contract."""

    def test_every_engine_keeps_every_promise(self) -> None:
        counts = contract_counts()
        self.assertEqual(sorted(counts), ["memory", "postgresql", "sqlite"])
        self.assertEqual(len(set(counts.values())), 1)
        self.assertGreater(counts["sqlite"], 105)
        self.assertRegex(contract_line(), r"\Acontract: sqlite \d+, postgresql \d+, memory \d+\Z")


# The contract classes have no engine, so trial must not find them here.
del AccountsContract, AliasContract, IntakeContract, LedgerContract, MaildropContract, QueueContract, TokensContract
del ReadingContract, QueueOperationsContract, RouteContract, SQLiteCase, PostgreSQLCase, MemoryCase
