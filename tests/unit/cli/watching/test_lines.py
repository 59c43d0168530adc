"""What a watcher remembers, filters and prints."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.watching.conversations import MAX_CONVERSATIONS, MAX_EVENTS, Filter, Heard
from emailsys.cli.watching.event_lines import line_of, words_of
from emailsys.wiretap.conversation import Conversation, Direction, Event, Kind, Role


def begun(session: str, **about: Any) -> dict[str, Any]:
    """The line that announces a conversation."""
    values: dict[str, Any] = {"protocol": "smtp", "role": Role.SERVER, "opened": 1_800_000_000.0, "peer": "192.0.2.7:1"}
    return {"conversation": Conversation(session, **{**values, **about}).to_json()}


def happened(session: str, text: str, kind: Kind = Kind.STATE) -> dict[str, Any]:
    """The line of an event."""
    return {"session": session, "event": Event(1.0, kind, text).to_json()}


class HeardTests(SynchronousTestCase):
    """Lines of the stream."""

    def test_events_are_added_to_their_conversations(self) -> None:
        heard = Heard()
        self.assertEqual(heard.take({"result": {"recording": True}}), [])
        past = begun("1", events=(Event(0.0, Kind.OPENED, "connected"),))
        self.assertEqual([event.text for _, event in heard.take(past)], ["connected"])
        self.assertFalse(heard.is_live)
        heard.take({"watching": True})
        self.assertTrue(heard.is_live)
        self.assertEqual([event.text for _, event in heard.take(happened("1", "ready"))], ["ready"])
        self.assertEqual(heard.take(happened("unknown", "ready")), [])
        heard.take({"lost": 3})
        heard.take({"lost": 4})
        self.assertEqual((heard.lost, heard.conversations["1"].heard), (7, 2))
        self.assertFalse(heard.conversations["1"].is_over)
        heard.take(happened("1", "gone", Kind.CLOSED))
        self.assertTrue(heard.conversations["1"].is_over)

    def test_a_watcher_remembers_a_bounded_number(self) -> None:
        heard = Heard()
        for number in range(MAX_CONVERSATIONS + 5):
            heard.take(begun(str(number)))
        self.assertEqual(len(heard.conversations), MAX_CONVERSATIONS)
        self.assertNotIn("4", heard.conversations)
        for number in range(MAX_EVENTS + 5):
            heard.take(happened("100", str(number)))
        watched = heard.conversations["100"]
        self.assertEqual((len(watched.events), watched.events[0].text), (MAX_EVENTS, "5"))

    def test_a_malformed_line_is_told(self) -> None:
        lines: list[dict[str, Any]] = [{"conversation": {"role": "server"}}, {"conversation": {}}]
        for line in lines:
            with self.assertRaises(ValueError):
                Heard().take(line)


class FilterTests(SynchronousTestCase):
    """The words of a filter."""

    def test_conversations_are_chosen_by_protocol_peer_role_and_text(self) -> None:
        heard = Heard()
        heard.take(begun("s-1"))
        heard.take(happened("s-1", "RCPT TO:<Bob@example.org>"))
        heard.take(
            begun("p-2", protocol="pop3", peer="[2001:db8::1]:110", role=Role.CLIENT, peer_name="mx.example.net")
        )
        for words, found in {
            (): ["s-1", "p-2"],
            ("protocol:smtp",): ["s-1"],
            ("protocol:pop3", "role:client"): ["p-2"],
            ("PEER:192.0.2.7",): ["s-1"],
            ("peer:mx.example.net",): ["p-2"],
            ("peer:2001:db8::1",): ["p-2"],
            ("bob@EXAMPLE.org",): ["s-1"],
            ("bob", "protocol:pop3"): [],
            ("p-2",): ["p-2"],
            ("other:word",): [],
        }.items():
            wanted = Filter.parse(words)
            chosen = [one.about.id for one in heard.conversations.values() if wanted.takes(one)]
            self.assertEqual(chosen, found, words)

    def test_events_are_chosen_by_their_own_text(self) -> None:
        heard = Heard()
        heard.take(begun("s-1"))
        ((watched, event),) = heard.take(happened("s-1", "RCPT"))
        self.assertTrue(Filter.parse(["rcpt", "s-1"]).takes_event(watched, event))
        self.assertFalse(Filter.parse(["mail"]).takes_event(watched, event))
        self.assertFalse(Filter.parse(["rcpt", "protocol:pop3"]).takes_event(watched, event))


class LineTests(SynchronousTestCase):
    """Events as text."""

    def test_directions_details_and_sizes_are_shown(self) -> None:
        about = Conversation("s-1", "smtp", Role.SERVER, 1_800_000_000.25, "192.0.2.7:1")
        for event, words in (
            (Event(0.5, Kind.COMMAND, "EHLO x", Direction.IN, 8), "< EHLO x"),
            (Event(0.5, Kind.REPLY, "250 x", Direction.OUT, 7), "> 250 x"),
            (Event(0.5, Kind.BODY, "", Direction.IN, 2048), "< message, 2.0 KiB"),
            (Event(0.5, Kind.CLOSED, "closed by the peer"), "* CLOSED: closed by the peer"),
            (
                Event(0.5, Kind.VERDICT, "refused", details={"reply": "550 5.1.1", "octets": 3, "none": ""}),
                "* VERDICT: refused reply='550 5.1.1' octets=3",
            ),
            (
                Event(0.5, Kind.SECURED, "TLSv1.3", details={"version": "TLSv1.3", "post_quantum": True}),
                "* SECURED: TLSv1.3 post_quantum=yes",
            ),
        ):
            line = line_of(about, event)
            self.assertRegex(line, r"^\d\d:\d\d:\d\d\.750 s-1 smtp ")
            self.assertTrue(line.endswith(f"smtp {words}"), line)

    def test_octets_of_strangers_do_not_reach_the_terminal(self) -> None:
        """The daemon has escaped them; what a hostile one sends is made safe once more."""
        event = Event(0, Kind.VERDICT, "a\x1b[2Jb\u202ec\n", details={"reply": "x\x07y"})
        self.assertTrue(words_of(event).isprintable())
