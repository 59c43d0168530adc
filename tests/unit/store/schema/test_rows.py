"""Rows to insert agree with the columns of their tables."""

from __future__ import annotations

from typing import get_args, get_type_hints

from twisted.trial.unittest import SynchronousTestCase

from emailsys.store.schema.rows import ROWS
from emailsys.store.schema.tables import metadata


class RowTests(SynchronousTestCase):
    """`Inserts` flattens rows, so the order of their fields decides which column gets which value."""

    def test_the_fields_of_a_row_are_the_columns_of_its_table_in_their_order(self) -> None:
        for table, row in ROWS.items():
            with self.subTest(table.name):
                fields = getattr(row, "_fields", ())
                self.assertEqual(list(fields), [column.name for column in table.columns])

    def test_a_field_may_be_none_only_where_its_column_may_be_null(self) -> None:
        for table, row in ROWS.items():
            for name, kind in get_type_hints(row).items():
                with self.subTest(f"{table.name}.{name}"):
                    if type(None) in get_args(kind):
                        self.assertTrue(table.columns[name].nullable)

    def test_every_row_class_belongs_to_one_table(self) -> None:
        self.assertEqual(len(set(ROWS.values())), len(ROWS))
        self.assertTrue(set(ROWS) <= set(metadata.tables.values()))
