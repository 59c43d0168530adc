"""Output of commands: tables and lines for users, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import click

from emailsys.cli.stream_encoding import can_show_everything

# Characters to which a column may be cut.
_CUT_TO: Final = 10


def print_json(document: Any) -> None:
    """Print one JSON document to stdout. Characters that it cannot encode are escaped."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=not can_show_everything(sys.stdout)))


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


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    as_json: bool,
    empty: str,
    cut: Collection[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print rows with the same keys. If there are none, print `empty` to stderr.

    @param cut: columns that a terminal shows in part if it is too narrow. Without any, each value gets its own line.
    @param spare: columns that a narrow terminal leaves out, the first one first.
    """
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        click.echo(empty, err=True)
        return
    if sys.stdout.isatty():
        _print_table(rows, cut, spare)
        return
    # For pipes: one line for each row, with tabs between columns, for cut and awk.
    click.echo("\t".join(rows[0]))
    for row in rows:
        click.echo("\t".join(_shown(value) for value in row.values()))


def _print_table(rows: Sequence[Mapping[str, Any]], cut: Collection[str], spare: Sequence[str]) -> None:
    """Print each row on one line. If the screen is too narrow, cut values, or print each on its own line."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    console = Console()
    shown = _columns(rows, console.width, cut, spare)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in shown:
        value = rows[0][name]
        is_number = isinstance(value, int) and not isinstance(value, bool)
        table.add_column(name, justify="right" if is_number else "left", no_wrap=bool(cut) and name not in cut)
    for row in rows:
        # A column that may wrap becomes narrower before the others do; its text does not wrap.
        table.add_row(*(Text(_shown(row[name]), no_wrap=bool(cut), overflow="ellipsis") for name in shown))
    if cut:
        console.print(table)
        return
    boundless = console.options.update(max_width=sys.maxsize)
    if Measurement.get(console, boundless, table).maximum <= console.width:
        console.print(table)
        return
    widest = max(map(len, rows[0]))
    records = ("\n".join(f"{name:<{widest}}  {_shown(value)}" for name, value in row.items()) for row in rows)
    click.echo("\n\n".join(records))


def _columns(
    rows: Sequence[Mapping[str, Any]], width: int, cut: Collection[str], spare: Sequence[str]
) -> Sequence[str]:
    """Return the columns that fit into a width, where those that can be cut take a few characters each."""
    from rich.cells import cell_len

    def least(name: str) -> int:
        widest = max(cell_len(_shown(row[name])) for row in (*rows, {name: name}))
        return (min(widest, _CUT_TO) if name in cut else widest) + 1

    columns = [name for name in rows[0] if name not in spare or any(row[name] for row in rows)]
    for name in spare:
        if sum(map(least, columns)) > width and name in columns:
            columns.remove(name)
    return columns


def _shown(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)
