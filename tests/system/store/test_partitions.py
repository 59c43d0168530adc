"""The table of maildrops, divided by PostgreSQL into partitions by account, as docs/scaling.md says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine

from emailsys.mail.address import Address
from tests.contract.engines import PostgreSQLCase
from tests.contract.mail import MailCase, envelope, local

SCALING = Path(__file__).resolve().parents[3] / "docs" / "scaling.md"


class PartitionTests(PostgreSQLCase, MailCase):
    """A store with mail is divided, and goes on."""

    async def read(self, statement: str) -> Any:
        """The rows that the database returns."""

        def ask(connection: Connection) -> Any:
            return connection.exec_driver_sql(statement).all()

        return await self.store.database.read("ask", ask)

    async def texts(self, account: Any) -> list[bytes]:
        """The last line of each message of an account."""
        maildrop = await self.open(account)
        found = [await self.fetch(maildrop, index) for index in range(len(maildrop.listMessages()))]
        maildrop.release()
        return [message.splitlines()[-1] for message in found]

    async def test_mail_is_received_read_and_deleted_in_partitions_by_account(self) -> None:
        accounts = list(await self.users())
        for number in range(14):
            address = Address(f"user{number}", "example.test")
            await self.store.accounts.add_user(address, [("argon2id", "secret")])
            accounts.append(await self.account(address))
        everybody = envelope(*map(local, accounts))
        await self.send(b"before\r\n", everybody)
        names = (
            "SELECT conname FROM pg_constraint WHERE conrelid = 'maildrop'::regclass AND contype IN ('p', 'f') "
            "UNION SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "WHERE indrelid = 'maildrop'::regclass ORDER BY 1"
        )
        before = await self.read(names)
        await self.store.close()
        [statements] = re.findall(r"```sql\n(.*?)```", SCALING.read_text("utf-8"), re.DOTALL)
        with create_engine(self.url, isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(statements)
        self.store = self.open_again(self.url.render_as_string(hide_password=False))
        self.assertEqual(await self.read(names), before, "a later migration finds all by its name")

        await self.send(b"after\r\n", everybody)
        used = await self.read("SELECT DISTINCT tableoid::regclass::text FROM maildrop")
        self.assertGreater(len(used), 1)
        for account in accounts:
            self.assertEqual(await self.texts(account), [b"before", b"after"])
        plan = str(await self.read(f"EXPLAIN SELECT * FROM maildrop WHERE account_id = {accounts[0].account_id}"))
        self.assertEqual(len(set(re.findall(r"maildrop_[0-9]", plan))), 1, plan)

        maildrop = await self.open(accounts[0])
        maildrop.deleteMessage(0)
        await maildrop.sync()
        maildrop.release()
        self.assertEqual(await self.texts(accounts[0]), [b"after"])
        await self.store.accounts.remove_user(Address("user0", "example.test"), purge=True)
        while await self.store.sweeper.step():
            pass
        self.assertEqual((await self.store.verification.check(None, 60)).flaws, ())
        self.assertEqual(await self.texts(accounts[1]), [b"before", b"after"])
