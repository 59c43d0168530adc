"""States of an outbound connection, and the table of its transitions."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


class State(enum.Enum):
    """Where an outbound connection stands."""

    # Members are single objects. The hash of enum.Enum is a Python function, and each message costs several.
    __hash__ = object.__hash__

    #: TCP, greeting, EHLO, STARTTLS and login.
    OPENING = "opening"
    #: The TLS handshake.
    HANDSHAKE = "handshake"
    #: Transmissions are under way, or the next one is being looked for.
    BUSY = "busy"
    #: Nothing is under way, and the owner knows it.
    IDLE = "idle"
    #: The first transmission after idleness is being loaded. The host may have hung up unnoticed.
    WOKEN = "woken"
    #: No more transmissions; hangs up as soon as no whole message awaits its reply.
    SHUTTING_DOWN = "shutting down"
    #: No more transmissions; the socket is being closed, or is closed.
    OVER = "over"


# What a connection asks for with each message. Python 3.11 takes 0.3 s to look a member up in its class.
HANDSHAKE: Final = State.HANDSHAKE
IDLE: Final = State.IDLE
WOKEN: Final = State.WOKEN
SHUTTING_DOWN: Final = State.SHUTTING_DOWN
OVER: Final = State.OVER


class Event(enum.Enum):
    """The events that change the state of a connection."""

    __hash__ = object.__hash__

    TLS_STARTED = "TLS started"
    TLS_BEGAN = "TLS began"
    #: Greeting, TLS and login are done.
    USABLE = "usable"
    #: Neither the connection nor its owner has anything left to send.
    RAN_DRY = "ran dry"
    #: The owner has a transmission again.
    WOKEN = "woken"
    #: A transmission began.
    BEGAN = "began"
    #: The owner asks for a QUIT after what is under way.
    RETIRED = "retired"
    #: The system stops.
    SHUT_DOWN = "shut down"
    #: The session came to its end, or was given up.
    ENDED = "ended"


BEGAN: Final = Event.BEGAN

#: The next state for every event that may come in a state. Any other event is a mistake of the caller.
TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = MappingProxyType(
    {
        State.OPENING: {
            Event.TLS_STARTED: State.HANDSHAKE,
            Event.USABLE: State.BUSY,
            Event.RETIRED: State.OPENING,
            Event.SHUT_DOWN: State.OPENING,
            Event.ENDED: State.OVER,
        },
        State.HANDSHAKE: {
            Event.TLS_BEGAN: State.OPENING,
            Event.RETIRED: State.HANDSHAKE,
            Event.SHUT_DOWN: State.HANDSHAKE,
            Event.ENDED: State.OVER,
        },
        State.BUSY: {
            Event.BEGAN: State.BUSY,
            Event.RAN_DRY: State.IDLE,
            Event.RETIRED: State.BUSY,
            Event.SHUT_DOWN: State.SHUTTING_DOWN,
            Event.ENDED: State.OVER,
        },
        State.IDLE: {
            Event.WOKEN: State.WOKEN,
            Event.BEGAN: State.BUSY,
            Event.RETIRED: State.BUSY,
            Event.SHUT_DOWN: State.SHUTTING_DOWN,
            Event.ENDED: State.OVER,
        },
        State.WOKEN: {
            Event.BEGAN: State.BUSY,
            Event.RAN_DRY: State.IDLE,
            Event.RETIRED: State.BUSY,
            Event.SHUT_DOWN: State.SHUTTING_DOWN,
            Event.ENDED: State.OVER,
        },
        State.SHUTTING_DOWN: {
            Event.RETIRED: State.SHUTTING_DOWN,
            Event.SHUT_DOWN: State.SHUTTING_DOWN,
            Event.ENDED: State.OVER,
        },
        State.OVER: {
            Event.RETIRED: State.OVER,
            Event.SHUT_DOWN: State.OVER,
            Event.ENDED: State.OVER,
        },
    }
)

#: The connection never came so far that it could take a transmission.
UNPROVEN: Final = frozenset({State.OPENING, State.HANDSHAKE})
#: The connection takes transmissions, unless it is at the end of its messages.
TAKES_MAIL: Final = frozenset({State.BUSY, State.IDLE, State.WOKEN})
#: States with a time limit of their own; in the others each step of the session has one.
TIMED: Final = frozenset({State.HANDSHAKE, State.IDLE, State.OVER})


def after(state: State, event: Event) -> State:
    """Returns the state that follows.

    @raise RuntimeError: the event cannot come in that state.
    """
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise RuntimeError(f"an outbound connection that is {state.value} cannot be told: {event.value}")
    return following
