"""Deletion on the server: decides which messages that were fetched may be deleted there."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from emailsys.client.accounts.values import Keep, KeepKind
from emailsys.client.fetch.journal import FetchedIds

_DAY: Final = 86400


def may_delete(uid: str, keep: Keep, ids: FetchedIds, now: datetime) -> bool:
    """Return whether a message may be deleted on the server.

    It may only if it is stored here and its id is on disk, and as the setting `keep` of the account says: at once,
    after some days, or never.

    @param ids: the unique ids of the stored messages, with the times at which they were fetched.
    """
    if keep.kind is KeepKind.LEAVE or uid not in ids:
        return False
    if keep.kind is KeepKind.DELETE:
        return True
    return ids.fetched_at(uid) + keep.days * _DAY <= now.timestamp()
