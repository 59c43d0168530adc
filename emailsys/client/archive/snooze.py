"""Snoozing: messages that are out of sight, in the folder Snoozed, until a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import INBOX, OUTBOX, ArchiveError, ArchiveFull, Flag, Folder, Summary

SNOOZED: Final = "Snoozed"
# The key of the note: the moment in seconds since 1970, and the folder to go back to.
_NOTE: Final = "snoozed"
_PAGE: Final = 500


def snooze(archive: Archive, summaries: Sequence[Summary], until: datetime) -> None:
    """Move messages to Snoozed until a moment. Messages that are there already get the new moment.

    @raise ArchiveError: a message is in the outbox.
    """
    if any(one.folder.name == OUTBOX for one in summaries):
        raise ArchiveError("Messages in the outbox cannot be snoozed. Stop them first, which makes them drafts.")
    for one in summaries:
        folder = Folder(one.folder.account, SNOOZED)
        note = archive.note(one.key) or {}
        before = _snoozed(note)[1] if one.folder.name == SNOOZED else one.folder.name
        archive.add_folder(folder)
        # The note first: a message in Snoozed without one would stay there.
        archive.set_note(one.key, {**note, _NOTE: [until.timestamp(), before]})
        archive.move([one.key], folder)


def wake(archive: Archive, now: datetime) -> list[str]:
    """Move the messages whose moment has come back to their folders, as unread. Return their keys."""
    woken: list[str] = []
    for account in archive.accounts():
        for one in _listed(archive, account):
            try:
                note = archive.note(one.key) or {}
                due, before = _snoozed(note)
                if due is None or due > now.timestamp():
                    continue
                target = Folder(account, before)
                archive.set_flags([one.key], remove=Flag.SEEN)
                archive.move([one.key], target if archive.has_folder(target) else Folder(account, INBOX))
                archive.set_note(one.key, {name: value for name, value in note.items() if name != _NOTE} or None)
            except ArchiveFull:
                # The next call tries again.
                return woken
            except ArchiveError:
                # Another program has deleted it since, or its file cannot be changed. The others come back.
                continue
            woken.append(one.key)
    return woken


def snoozed_until(archive: Archive, summary: Summary) -> datetime | None:
    """Return the moment until which a message is snoozed; None if it is not."""
    due = _snoozed(archive.note(summary.key) or {})[0] if summary.folder.name == SNOOZED else None
    return None if due is None else datetime.fromtimestamp(due, UTC)


def _listed(archive: Archive, account: str) -> list[Summary]:
    found: list[Summary] = []
    folder = Folder(account, SNOOZED)
    if not archive.has_folder(folder):
        return found
    while page := archive.list(folder, _PAGE, found[-1].order if found else None):
        found += page
    return found


def _snoozed(note: Mapping[str, Any]) -> tuple[float | None, str]:
    match note.get(_NOTE):
        case [int() | float() as due, str() as folder]:
            return float(due), folder
    return None, INBOX
