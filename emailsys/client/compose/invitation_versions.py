"""Other versions of an event in the archive: updates and cancellations of an invitation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emailsys.client.archive.values import ArchiveError, Summary
from emailsys.client.compose.invitation_reply import Request, Version, versions

if TYPE_CHECKING:
    from emailsys.client.archive.archive import Archive

# Messages that are read for each of the two searches.
_MAX_READ: Final = 50


def notes_about(archive: Archive, request: Request, summary: Summary) -> list[str]:
    """Return sentences about later versions of an invitation, the latest first.

    They are looked for in messages of the organiser, and in those that have the title of the event.
    """
    own = request.version
    found: dict[str, tuple[Summary, Version]] = {}
    words = " ".join(one for one in own.title.replace('"', " ").split() if one.isalnum())
    for query in (f'from:"{request.organizer}"', f'"{words}"' if words else ""):
        if not query:
            continue
        try:
            candidates = archive.search(query, summary.folder.account, _MAX_READ)
        except ArchiveError:
            continue
        for one in candidates:
            if one.key in found or one.key == summary.key:
                continue
            try:
                read = versions(archive.octets(one.key))
            except ArchiveError:
                continue
            same = [version for version in read if version.uid == own.uid and version.method in ("REQUEST", "CANCEL")]
            if same:
                found[one.key] = (one, max(same, key=lambda version: version.order))
    later = [
        (one, version)
        for one, version in found.values()
        if version.order > own.order or (version.method == "CANCEL" and version.sequence >= own.sequence)
    ]
    later.sort(key=lambda pair: pair[1].order, reverse=True)
    return [_note(one, version) for one, version in later]


def _note(one: Summary, version: Version) -> str:
    what = "The event was cancelled" if version.method == "CANCEL" else "The invitation was updated"
    return f"{what} by a later message: {one.key[:8]}, sequence {version.sequence}."
