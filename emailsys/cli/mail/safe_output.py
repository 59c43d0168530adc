"""Output of the mail verbs: JSON, tables and messages in which untrusted text is safe for a terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from emailsys.cli.output import print_rows
from emailsys.cli.stream_encoding import can_show_everything

if TYPE_CHECKING:
    from emailsys.client.archive.values import Flag, Summary

# JSON itself escapes C0 controls only. Terminals also act on C1 controls, and the others reorder or hide text.
_IN_JSON: Final = re.compile(
    "[\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def _escaped(found: re.Match[str]) -> str:
    # RFC 8259 §7: characters above U+FFFF are escaped as a surrogate pair.
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def print_json(value: Any) -> None:
    """Print one JSON document. Characters that a terminal may act on, or cannot show, are escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=not can_show_everything(sys.stdout), default=str)
    click.echo(_IN_JSON.sub(_escaped, text))


def print_safe_rows(
    rows: Sequence[Mapping[str, Any]], empty: str, cut: Collection[str] = (), spare: Sequence[str] = ()
) -> None:
    """Print rows: as a table on a terminal, or else with tabs between columns.

    @param empty: the message if there are no rows.
    @param cut: columns that a narrow terminal shows in part.
    @param spare: columns that it leaves out, the first one first.
    """
    from emailsys.client.text.terminal import safe_line

    safe = [{name: safe_line(v) if isinstance(v, str) else v for name, v in row.items()} for row in rows]
    print_rows(safe, False, empty, cut, spare)


def tell(text: str) -> None:
    """Print a message for the user to standard error."""
    from emailsys.client.text.terminal import safe_text

    click.echo(safe_text(text), err=True)


def flag_names(flags: Flag) -> list[str]:
    """Return the names of flags."""
    from emailsys.client.archive.values import Flag

    return [flag.name.lower() for flag in Flag if flag.name and flag & flags]


def summary_fields(summary: Summary) -> dict[str, Any]:
    """Return the JSON fields of a message."""
    return {
        "key": summary.key,
        "account": summary.folder.account,
        "folder": summary.folder.name,
        "date": summary.date.isoformat(),
        "from": summary.sender,
        "to": summary.recipients,
        "subject": summary.subject,
        "preview": summary.preview,
        "octets": summary.octets,
        "attachments": summary.attachments,
        "flags": flag_names(summary.flags),
        "tags": list(summary.tags),
        "message_id": summary.message_id,
        "thread": summary.thread,
        "unverified": summary.unverified,
    }


def defect_row(summary: Summary, defect: str, with_folder: bool = False) -> dict[str, Any]:
    """Return the table row of a message whose own row cannot be made."""
    columns = ("key", "flags", "date", *(("folder",) if with_folder else ()), "from", "subject", "size", "tags")
    return dict.fromkeys(columns, "") | dict(
        zip(("key", "flags", "subject"), (summary.key[:8], "?", defect), strict=True)
    )


def summary_row(summary: Summary, now: datetime, with_folder: bool = False) -> dict[str, Any]:
    """Return the table row of a message."""
    from emailsys.client.display.list_text import SHORT_KEY, correspondent, flag_letters, short_date, size

    row: dict[str, Any] = {
        "key": summary.key[:SHORT_KEY],
        "flags": flag_letters(summary.flags),
        "date": short_date(summary.date, now),
    }
    if with_folder:
        row["folder"] = f"{summary.folder.account}/{summary.folder.name}"
    row["from"] = correspondent(summary)
    row["subject"] = summary.subject or "(no subject)"
    row["size"] = size(summary.octets) + ("+" if summary.attachments else "")
    row["tags"] = " ".join(summary.tags)
    return row
