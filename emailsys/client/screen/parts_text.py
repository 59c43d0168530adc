"""Text of a message's MIME structure for the full screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from emailsys.client.display.list_text import size_text
from emailsys.client.display.message import MessageView
from emailsys.mail.message.structure import Row


def view_text(view: MessageView) -> Text:
    """Return a message or part as text: its header fields, and what it says."""
    text = Text()
    for name, value in view.headers:
        text.append(f"{name}: ", "bold")
        text.append(f"{value}\n")
    text.append(f"\n{view.body}\n")
    for one in view.attachments:
        text.append("Attached: ", "bold")
        text.append(f"{one.name}  {one.kind}\n")
    for defect in view.defects:
        text.append(f"defect: {defect}\n", "italic red")
    return text


def parts_text(rows: Sequence[Row], defects: Sequence[str] = ()) -> Text:
    """Return one line for each part: number, type, charset, encoding, sizes, overhead and links; then its defects.

    @param defects: those of the message. The ones that a part has, too, are not repeated.
    """
    text = Text()
    for row in rows:
        text.append(f"{'  ' * min(row.level, 20)}{row.number} ", "bold")
        text.append(row.content_type, "bold")
        for one in (row.charset, row.encoding, row.name and f"“{row.name}”"):
            if one:
                text.append(f"  {one}")
        sizes = f"  {size_text(row.raw_octets)}"
        if row.decoded_octets is not None and row.decoded_octets != row.raw_octets:
            sizes += f" → {size_text(row.decoded_octets)}"
        if row.overhead is not None:
            sizes += f" ({row.overhead:+.1f}%)"
        text.append(f"{sizes}\n")
        indent = "  " * (min(row.level, 20) + 2)
        if row.content_id:
            text.append(f"{indent}Content-ID {row.content_id}\n", "dim")
        if row.links:
            text.append(f"{indent}shows {', '.join(row.links)}\n", "dim")
        for defect in row.defects:
            text.append(f"{indent}defect: {defect}\n", "italic red")
        for note in row.notes:
            text.append(f"{indent}{note}\n", "dim")
    listed = {f"part {row.number}: {defect}" for row in rows for defect in row.defects}
    for defect in defects:
        if defect not in listed:
            text.append(f"defect: {defect}\n", "italic red")
    return text
