"""Page of a trial: the way of the test message, both connections with their handshakes, and the message itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from emailsys.cli.tryout.dialogue import Transcript
from emailsys.cli.tryout.round_trip import ALICE, BOB, RoundTrip
from emailsys.mail.message.mime import parse
from emailsys.mail.message.structure import structure
from emailsys.wiretap.conversation import Direction, Kind
from emailsys.wiretap.export import Block, Dialogue, Prose, Step, Structure, Way, page_of

_TITLE: Final = "How one message travels"
_LEAD: Final = (
    "Alice wrote it, a mail system on this machine took it, and bob fetched it. "
    "Each line that went over the wire is below, with its meaning."
)


def poster(trip: RoundTrip, lives: Sequence[Mapping[str, Any]]) -> str:
    """Return the page.

    @param lives: what `trace` knows of the message.
    """
    sending, fetching = trip.transcripts
    root = parse(trip.fetched)
    rows = structure(root)
    blocks: list[Block] = [
        Way("The way of the message", tuple(_steps(trip, lives, len(rows))), "Times are those of this run, in UTC."),
        Dialogue(sending.conversation(), "Alice submits the message", _without_place(sending)),
        Dialogue(fetching.conversation(), "Bob fetches the message", _without_place(fetching)),
        Structure(
            "The message, as bob gets it",
            rows,
            [(field.name, field.decoded) for field in root.fields],
            "It is a tree of parts. What is no text is sent as base64, which needs 35 % more octets.",
        ),
        Prose(
            "What was checked",
            (
                f"All {len(trip.message):,} octets that alice submitted arrived unchanged.",
                f"The system added {len(trip.fetched) - len(trip.message):,} octets of header fields in front of them: "
                f"{', '.join(trip.in_front)}.",
            ),
        ),
    ]
    return page_of(_TITLE, blocks, lead=_LEAD)


def _without_place(transcript: Transcript) -> str:
    """Return what the title of a transcript says of the connection."""
    _, _, place = transcript.title.partition(": ")
    return f"{place}." if place else ""


def _steps(trip: RoundTrip, lives: Sequence[Mapping[str, Any]], parts: int) -> Iterator[Step]:
    sending, fetching = trip.transcripts
    submitted, fetched = _end_of_message(sending, Direction.OUT), _end_of_message(fetching, Direction.IN)
    yield Step("Composed", ALICE, f"Text, HTML, a picture and a file became one message of {parts} parts.")
    yield Step(
        "Submitted",
        sending.peer,
        "Over SMTP, encrypted by TLS, after a login.",
        sending.protocol,
        submitted,
    )
    yield Step(
        "On disk",
        f"message {trip.queue_id}",
        "It is written to disk before the server answers 250, so that no crash can lose it.",
    )
    relayed = [event for life in lives for event in life["events"] if event["remote"]]
    if relayed:
        yield Step("Relayed", str(relayed[0]["remote"]), str(relayed[0]["reply"] or ""))
    else:
        yield Step("Relayed", "nowhere", "The mailbox is on this host, so no other host is needed.")
    stored = [event["recipient"] for life in lives for event in life["events"] if event["kind"] == "stored"]
    yield Step(
        "Delivered",
        f"the maildrop of {', '.join(stored) or BOB}",
        f"In front of it now: {', '.join(trip.in_front)}.",
    )
    yield Step("Fetched", fetching.peer, "Over POP3, encrypted by TLS, after a login.", fetching.protocol, fetched)
    yield Step("Read", BOB, f"All {len(trip.message):,} octets arrived unchanged.")


def _end_of_message(transcript: Transcript, direction: Direction) -> float | None:
    """Return when the last octet of a message had gone over the wire, in seconds since 1970."""
    ends = [event.at for event in transcript.events if event.kind is Kind.BODY and event.direction is direction]
    return transcript.opened + ends[-1] if ends else None
