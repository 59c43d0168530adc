"""Rows of the full screen: conversations, events and explanations as styled text without markup."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from emailsys.cli.watching.conversations import Watched
from emailsys.cli.watching.event_lines import sign_of, time_of, value_words, words_of
from emailsys.client.text.terminal import safe_line
from emailsys.wiretap.conversation import Direction, Event, Kind
from emailsys.wiretap.explain import Explanation

# Names of protocols in the list, to fit a narrow column.
_SHORT: Final = {"submission": "subm"}
_STYLES: Final = {
    Kind.VERDICT: "bold yellow",
    Kind.COMMIT: "bold green",
    Kind.LOGIN: "bold magenta",
    Kind.SECURED: "bold green",
    Kind.TLS: "magenta",
    Kind.STATE: "dim",
    Kind.MESSAGE: "dim",
    Kind.OPENED: "dim",
    Kind.CLOSED: "dim",
}
_MOST_DETAILS: Final = 12


def is_refusal(event: Event) -> bool:
    """Whether an event is a reply that refuses something."""
    return event.kind is Kind.REPLY and (event.text[:1] in ("4", "5") or event.text[:4].upper() == "-ERR")


def is_notable(event: Event) -> bool:
    """Whether a reader looks for such an event: a decision, a login, TLS, a commit, a refusal, or the end."""
    return event.kind in (Kind.VERDICT, Kind.COMMIT, Kind.LOGIN, Kind.SECURED, Kind.CLOSED) or is_refusal(event)


def conversation_row(watched: Watched) -> Text:
    """Return a conversation as one row: its state, time, protocol and peer."""
    about = watched.about
    row = Text(no_wrap=True, overflow="ellipsis")
    if any(event.kind is Kind.VERDICT or is_refusal(event) for event in watched.events):
        row.append("!", "bold red" if not watched.is_over else "yellow")
    else:
        row.append(" " if watched.is_over else "*", "bold green")
    protocol = _SHORT.get(about.protocol, about.protocol)
    arrow = ">" if about.role.value == "client" else "<"
    first = watched.events[0].at if watched.events else 0.0
    row.append(f" {time_of(about, Event(min(first, 0.0), Kind.OPENED))[:8]} ", "dim")
    row.append(f"{protocol[:4]:<4} {arrow} ", "bold")
    row.append(safe_line(about.peer_name or about.peer or "a local program"))
    return row


def style_of(event: Event) -> str:
    """Return the style of the words of an event."""
    style = "bold red" if is_refusal(event) else _STYLES.get(event.kind, "")
    if not style and event.direction is not None:
        style = "cyan" if event.direction is Direction.IN else ""
    return style


def event_row(watched: Watched, event: Event, meaning: Explanation | None) -> Text:
    """Return an event as a row, with its explanation below it if one is given."""
    row = Text(overflow="fold")
    row.append(f"{time_of(watched.about, event)[3:]} ", "dim")
    row.append(f"{sign_of(event)} ", "bold" if event.direction else "dim")
    row.append(words_of(event), style_of(event))
    if meaning is not None:
        row.append("\n")
        row.append(meaning_row(meaning))
    return row


def meaning_row(meaning: Explanation) -> Text:
    """Return an explanation as the row below an event."""
    row = Text(f"    {safe_line(meaning.meaning)}", "italic dim", overflow="fold")
    if meaning.rfc:
        row.append(f" {meaning.rfc}", "dim")
    return row


def explanation_text(event: Event, meaning: Explanation) -> Text:
    """Return all that is known of an event: what it means, its standard, what may follow, its size and details."""
    text = Text()
    text.append(safe_line(meaning.title), "bold")
    if meaning.rfc:
        text.append(f"  {meaning.standard}", "dim")
    if event.octets:
        text.append(f"  {event.octets} octets", "dim")
    text.append(f"\n{safe_line(meaning.meaning)}")
    if meaning.follows:
        text.append(f"\nThen: {safe_line(meaning.follows)}", "dim")
    for part in meaning.parts:
        text.append(f"\n{safe_line(part.word)}", "bold")
        text.append(f" {safe_line(part.meaning)} {part.rfc}")
    for key, value in list(event.details.items())[:_MOST_DETAILS]:
        text.append(f"\n{safe_line(key)}: ", "bold")
        text.append(value_words(value))
    return text
