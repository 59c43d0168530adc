"""Output of commands: tables and lines for users, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click


def print_json(document: Any) -> None:
    """Print one JSON document to stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_done(document: Any, as_json: bool, words: str) -> None:
    """Report what was done: a line on stderr, or with --json a document on stdout."""
    if as_json:
        print_json(document)
    else:
        click.echo(words, err=True)


def is_watched() -> bool:
    """Tell whether standard error is a terminal."""
    return sys.stderr.isatty()


class Progress:
    """A progress line on stderr. It is shown only on a terminal."""

    def __init__(self, as_json: bool) -> None:
        self._is_shown = is_watched() and not as_json

    def tell(self, words: str) -> None:
        """Replace the line; "" removes it."""
        if self._is_shown:
            click.echo(f"\r\x1b[K{words}", err=True, nl=False)


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, empty: str) -> None:
    """Print rows with the same keys. If there are none, print `empty` to stderr."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        click.echo(empty, err=True)
        return
    if sys.stdout.isatty():
        _print_table(rows)
        return
    # For pipes: one line for each row, with tabs between columns, for cut and awk.
    click.echo("\t".join(rows[0]))
    for row in rows:
        click.echo("\t".join(_shown(value) for value in row.values()))


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print each row on one line. If the screen is too narrow, print each value on its own line, so nothing is cut."""
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
