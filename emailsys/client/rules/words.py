"""Text about what rules do with a message, for people to read."""

from __future__ import annotations

from emailsys.client.archive.values import Flag
from emailsys.client.display.list_text import correspondent
from emailsys.client.rules.application import Judged
from emailsys.client.text.terminal import safe_line


def verdict_text(one: Judged) -> str:
    """Return a line about a message and a line about what its rules do with it, safe for a terminal."""
    done = one.verdict
    what = [f"to {done.folder}"] if done.folder is not None else []
    what += ["read"] if done.flags & Flag.SEEN else []
    what += ["flagged"] if done.flags & Flag.FLAGGED else []
    what += [f"#{tag}" for tag in done.tags]
    names = ", ".join(rule.name for rule in done.rules)
    effect = f"the rules failed: {one.problem}" if one.problem else f"{names}: {', '.join(what) or 'nothing'}"
    return f"{safe_line(correspondent(one.summary))}  {safe_line(one.summary.subject)}\n    {safe_line(effect)}"
