"""Application of rules to messages that are in the archive already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emailsys.client.accounts.rule_values import Rule
from emailsys.client.archive.values import Flag, Folder, NoSuchMessage, Summary
from emailsys.client.rules.filing import advice
from emailsys.client.rules.matching import Verdict, verdict

if TYPE_CHECKING:
    from emailsys.client.archive.archive import Archive


@dataclass(frozen=True, slots=True)
class Judged:
    """A message, and what the rules do with it. `problem` says why the rules could not be tried, or is ""."""

    summary: Summary
    verdict: Verdict
    problem: str = ""


def judged(archive: Archive, rules: Sequence[Rule], summary: Summary) -> Judged | None:
    """Try the rules on a message. Nothing is changed. Return None if the message was deleted meanwhile."""
    try:
        return Judged(summary, verdict(rules, archive.octets(summary.key)))
    except NoSuchMessage:
        return None
    except Exception as error:  # One message never keeps the rules from the others.
        return Judged(summary, Verdict(), f"{type(error).__name__}: {error}")


def apply(archive: Archive, found: Sequence[Judged], note: Callable[[str], None]) -> int:
    """Move and mark messages as the rules say. Return the number of messages that a rule matches.

    Marks come before the move. To apply the rules again changes nothing, so that a crash in between loses nothing.
    Messages that have left the folder where the rules saw them are neither marked nor moved.

    @param note: called with a sentence for each folder that does not exist, whose messages stay where they are, and
        with one for the messages that another program has moved or deleted.
    """
    by_flags: dict[Flag, list[str]] = {}
    by_tags: dict[tuple[str, ...], list[str]] = {}
    by_folder: dict[Folder, list[Summary]] = {}
    matched = [one for one in found if one.verdict.rules]
    unmoved = {one.key for one in archive.unmoved([one.summary for one in matched])}
    matching = [one for one in matched if one.summary.key in unmoved]
    for one in matching:
        key, done = one.summary.key, one.verdict
        if done.flags & ~one.summary.flags:
            by_flags.setdefault(done.flags, []).append(key)
        if set(done.tags) - set(one.summary.tags):
            by_tags.setdefault(done.tags, []).append(key)
        if done.folder is not None and done.folder != one.summary.folder.name:
            by_folder.setdefault(Folder(one.summary.folder.account, done.folder), []).append(one.summary)
    for flags, keys in by_flags.items():
        archive.set_flags(keys, add=flags)
    for tags, keys in by_tags.items():
        archive.set_tags(keys, add=tags)
    for folder, seen in by_folder.items():
        if archive.has_folder(folder):
            archive.move_seen(seen, folder)
        else:
            note(
                f"The account {folder.account} has no folder {folder.name}, so that {len(seen):,} of its messages stay "
                f"where they are. {advice(folder)}"
            )
    if left := len(matched) - len(matching):
        note(f"Another program has moved or deleted {left:,} of the messages. The rules were not applied to these.")
    return len(matching)
