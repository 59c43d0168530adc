"""The rows of the index have the columns that their names say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.archive.index import Index
from emailsys.client.archive.message_rows import INSERT, MessageRow
from emailsys.client.archive.values import Flag, Folder, Summary


class MessageRowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.index = Index(Path(self.mktemp()))
        self.addCleanup(self.index.close)
        with self.index.transaction() as connection:
            self.index.clear(connection)

    def test_the_fields_are_the_columns_of_the_table(self) -> None:
        columns = self.index.connection.execute("SELECT name FROM pragma_table_info('messages') ORDER BY cid")
        self.assertEqual([name for (name,) in columns], [*MessageRow._fields])

    def test_a_row_with_different_values_is_read_as_it_was_written(self) -> None:
        """If two columns changed places, two values of the summary would be exchanged."""
        with self.index.transaction() as connection:
            row = MessageRow(
                id=101,
                key="key",
                folder=self.index.folder(connection, Folder("account", "folder")),
                name="name",
                octets=102,
                arrived=103,
                subject="subject",
                sender="sender",
                recipients="recipients",
                preview="preview",
                attachments=104,
                flags=int(Flag.ANSWERED),
                message_id="message id",
                thread=105,
                checksum=106,
                unverified=True,
                date=107,
                ancestors="ancestors",
            )
            connection.execute(INSERT, row)
            connection.executemany("INSERT INTO tags VALUES (?, ?)", [("work", "key"), ("home", "key")])
        expected = Summary(
            key="key",
            order=101,
            folder=Folder("account", "folder"),
            date=datetime.fromtimestamp(107, UTC),
            subject="subject",
            sender="sender",
            recipients="recipients",
            preview="preview",
            octets=102,
            attachments=104,
            flags=Flag.ANSWERED,
            tags=("home", "work"),
            message_id="message id",
            thread=105,
            unverified=True,
        )
        self.assertEqual(self.index.summaries("1", (), 2), [expected])
