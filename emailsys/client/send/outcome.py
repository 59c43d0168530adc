"""Outcome of a delivery attempt for a message in the outbox: accepted, retried, and refused recipients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emailsys.client.send.note import OutboxNote, Refusal
from emailsys.mail.address import Address
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind


@dataclass(frozen=True, slots=True)
class Settlement:
    """The note after an attempt, and its report. `accepted` are the recipients accepted in this attempt."""

    note: OutboxNote
    accepted: tuple[Address, ...]
    in_doubt: bool
    last_reply: str


def shown(reply: Reply) -> str:
    """Return a reply on one line."""
    words = " ".join(part for part in (str(reply.code), reply.enhanced, reply.text.replace("\n", " ")) if part)
    return words.strip()


def settle(note: OutboxNote, outcomes: Sequence[Outcome], was_in_doubt: bool = False) -> Settlement:
    """Apply the outcomes of an attempt to a note.

    @param outcomes: one for each of `note.to_try`, in order.
    @param was_in_doubt: whether an earlier attempt ended in doubt. Recipients that are refused now may have it.
    """
    accepted: list[Address] = []
    refusals = [refusal for refusal in note.refusals if refusal.permanent]
    replies: list[str] = []
    for address, outcome in zip(note.to_try, outcomes, strict=True):
        # Replies that this program made in place of the server are shown without a code.
        words = shown(outcome.reply) if outcome.from_remote else outcome.reply.text
        replies.append(words)
        if outcome.kind is OutcomeKind.DELIVERED:
            accepted.append(address)
        else:
            refusals.append(Refusal(str(address), words, outcome.kind is OutcomeKind.FAILED))
    in_doubt = any(outcome.in_doubt for outcome in outcomes)
    remaining = tuple(address for address in note.waiting if address not in accepted)
    after = note.changed(
        waiting=remaining,
        accepted=note.accepted + tuple(accepted),
        refusals=tuple(refusals),
        begun=bool(remaining) and (in_doubt or was_in_doubt),
        # What the user said stands until an attempt ends in doubt again.
        again=bool(remaining) and was_in_doubt and not in_doubt,
        stuck=bool(refusals) and all(refusal.permanent for refusal in refusals),
        sent=not remaining,
        problem=_problem(refusals, len(remaining) + len(note.accepted) + len(accepted)),
    )
    return Settlement(after, tuple(accepted), in_doubt, replies[-1] if replies else "")


def _problem(refusals: Sequence[Refusal], all_recipients: int) -> str:
    if not refusals:
        return ""
    reasons = list(dict.fromkeys(refusal.reply for refusal in refusals))
    if len(refusals) == all_recipients and len(reasons) == 1:
        return reasons[0]
    if len(refusals) == 1:
        return f"{refusals[0].address}: {refusals[0].reply}"
    return f"{len(refusals)} of {all_recipients} recipients, such as {refusals[0].address}: {refusals[0].reply}"
