"""Conversations and events as values, and as JSON."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.wiretap.conversation import Conversation, Direction, Event, Json, Kind, Role

_EVENTS = st.builds(
    Event,
    at=st.integers(0, 10**9).map(lambda micros: micros / 1e6),
    kind=st.sampled_from(Kind),
    text=st.text(max_size=20),
    direction=st.none() | st.sampled_from(Direction),
    octets=st.integers(0, 10**9),
    details=st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=5)),
)


class ConversationTests(SynchronousTestCase):
    """What is written as JSON is read back as it was."""

    @settings(deadline=None, suppress_health_check=(HealthCheck.too_slow,))
    @given(st.lists(_EVENTS, max_size=5), st.booleans())
    def test_json_and_back(self, events: list[Event], closed: bool) -> None:
        """Every conversation survives the control socket and a file."""
        before = Conversation(
            "S1", "smtp", Role.SERVER, 1764460800.25, "192.0.2.1:4711", "127.0.0.1:25", "host", closed, 3, tuple(events)
        )
        self.assertEqual(Conversation.from_json(json.loads(json.dumps(before.to_json()))), before)

    def test_octets_by_direction(self) -> None:
        """Events without a direction carry no octets of the wire."""
        said = Conversation(
            "S1",
            "smtp",
            Role.SERVER,
            0.0,
            "192.0.2.1:4711",
            events=(
                Event(0.0, Kind.OPENED),
                Event(0.1, Kind.REPLY, "220 mx", Direction.OUT, 8),
                Event(0.2, Kind.COMMAND, "NOOP", Direction.IN, 6),
                Event(0.3, Kind.COMMAND, "QUIT", Direction.IN, 6),
            ),
        )
        self.assertEqual((said.octets(Direction.IN), said.octets(Direction.OUT), said.seconds), (12, 8, 0.3))

    def test_what_is_no_conversation(self) -> None:
        """Files and peers may hold anything."""
        good = Conversation("S1", "smtp", Role.SERVER, 0.0, "peer", events=(Event(0.0, Kind.OPENED),)).to_json()
        changes: list[dict[str, Json]] = [
            {"role": "spy"},
            {"opened": "today"},
            {"opened": True},
            {"dropped": -1},
            {"events": "opened"},
            {"events": ["opened"]},
            {"events": [{"kind": "opened"}]},
            {"events": [{"at": 0.0, "kind": "dreamt"}]},
            {"events": [{"at": 0.0, "kind": "opened", "direction": "up"}]},
            {"events": [{"at": 0.0, "kind": "opened", "details": "none"}]},
        ]
        for change in changes:
            with self.assertRaises(ValueError, msg=repr(change)):
                Conversation.from_json({**good, **change})
