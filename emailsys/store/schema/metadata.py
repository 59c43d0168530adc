"""The collection of all tables of the store, how their keys and indexes are named, and indexes of some rows only."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Index, MetaData, TextClause, event

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def partial_index(name: str, column: Column[Any], where: ColumnElement[bool] | TextClause) -> Index:
    """Return an index that contains only the rows that meet a condition.

    SQLAlchemy imports the dialect of PostgreSQL as soon as an index has an option for it, in 20 ms. Most processes do
    without, so the option is set when the index is created.
    """
    index = Index(name, column, sqlite_where=where)

    @event.listens_for(index, "before_create")
    def set_condition(target: Index, connection: Connection, **options: object) -> None:
        if connection.dialect.name == "postgresql":
            target.dialect_kwargs["postgresql_where"] = where

    return index
