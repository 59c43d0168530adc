"""Print what a command has found or done: tables and lines for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click


def print_json(document: Any) -> None:
    """Print one document on stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_done(document: Any, as_json: bool, words: str) -> None:
    """Tell what was done: a line on stderr for people, for programs on stdout what came of it."""
    if as_json:
        print_json(document)
    else:
        click.echo(words, err=True)


def is_watched() -> bool:
    """Whether standard error is a terminal."""
    return sys.stderr.isatty()


class Progress:
    """One line on stderr that changes while a command works, on a terminal alone."""

    def __init__(self, as_json: bool) -> None:
        self._is_shown = is_watched() and not as_json

    def tell(self, words: str) -> None:
        """Show how far it is; "" at the end."""
        if self._is_shown:
            click.echo(f"\r\x1b[K{words}", err=True, nl=False)


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, empty: str) -> None:
    """Print rows that have the same keys; `empty` is told on stderr where there are none."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        click.echo(empty, err=True)
        return
    if sys.stdout.isatty():
        _print_table(rows)
        return
    # For pipes: a line a row, columns separated by tabs, as cut and awk want them.
    click.echo("\t".join(rows[0]))
    for row in rows:
        click.echo("\t".join(_shown(value) for value in row.values()))


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """A row a line; where the screen is too narrow for that a column a line, so that nothing is cut off."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, value in rows[0].items():
        table.add_column(name, justify="right" if isinstance(value, int) and not isinstance(value, bool) else "left")
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row.values()))
    console = Console()
    boundless = console.options.update(max_width=sys.maxsize)
    if Measurement.get(console, boundless, table).maximum <= console.width:
        console.print(table)
        return
    widest = max(map(len, rows[0]))
    records = ("\n".join(f"{name:<{widest}}  {_shown(value)}" for name, value in row.items()) for row in rows)
    click.echo("\n\n".join(records))


def _shown(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)
