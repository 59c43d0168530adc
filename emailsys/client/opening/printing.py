"""Text of a message for a printer."""

from __future__ import annotations

from emailsys.client.display.message import MessageView


def printed(view: MessageView) -> bytes:
    """Return a message as it is shown, in UTF-8: header fields, warnings, text and the names of its files."""
    lines = [f"{name}: {value}" for name, value in view.headers]
    lines += view.warnings
    lines += ["", view.body.rstrip("\n"), ""]
    lines += [f"Attached: {one.name}  {one.kind}" for one in view.attachments]
    return ("\n".join(lines).rstrip("\n") + "\n").encode("utf-8", "replace")
