"""Layouts of exported pages: sequence diagrams, handshakes, MIME trees."""

from __future__ import annotations

import itertools

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.message.mime import parse
from emailsys.mail.message.structure import Row, structure
from emailsys.wiretap.conversation import Conversation, Direction, Event, Kind, Role
from emailsys.wiretap.export.handshake import handshake
from emailsys.wiretap.export.mime_tree import NARROW_TREE, WIDE_TREE, tree
from emailsys.wiretap.export.sequence import NARROW, WIDE, Diagram, Size, diagram
from emailsys.wiretap.export.wording import columns, said, wrapped
from tests.unit.wiretap.export.samples import newsletter, submission


def talk(*events: Event, protocol: str = "smtp", dropped: int = 0) -> Conversation:
    """A conversation of this host's client."""
    return Conversation("c", protocol, Role.CLIENT, 0, "192.0.2.1:25", events=events, dropped=dropped)


def replies(*lines: str) -> list[Event]:
    """Lines that this host received."""
    return [Event(0.1, Kind.REPLY, line, Direction.IN, len(line) + 2) for line in lines]


class SequenceTests(SynchronousTestCase):
    """A conversation drawn."""

    def assertFits(self, drawn: Diagram) -> None:
        """No row overlaps the next one, and all are within the picture."""
        size: Size = drawn.size
        ends = [(arrow.y - 6 - len(arrow.text) * size.line, arrow.y) for arrow in drawn.arrows]
        ends += [(note.y, note.y + note.height) for note in drawn.notes]
        ends.sort()
        for (_, before), (top, _) in itertools.pairwise(ends):
            self.assertLessEqual(before, top + size.line // 2)
        self.assertLessEqual(ends[-1][1], drawn.height)
        texts = [text for arrow in drawn.arrows for text in arrow.text]
        for text in [*texts, *(text for note in drawn.notes for text in note.text)]:
            self.assertLessEqual(columns(text) * size.letter, size.right - size.left + 1)

    def test_both_widths(self) -> None:
        """Nothing overlaps or leaves the picture, on paper and on a phone."""
        for size in (WIDE, NARROW):
            self.assertFits(diagram(submission(), size))
            self.assertFits(diagram(talk(*replies("250 " + "漢字 é" * 300, "2" * 900)), size))

    def test_client_on_the_left_whichever_side_this_host_is(self) -> None:
        """Commands lead to the right."""
        for role in Role:
            drawn = diagram(submission(role), WIDE)
            self.assertEqual([name for name, _ in drawn.names], ["client", "server"])
            self.assertTrue(all(arrow.to_right for arrow in drawn.arrows if arrow.kind == "command"))

    def test_a_reply_of_many_lines_is_one_arrow(self) -> None:
        """In SMTP by its hyphens, in POP3 up to the next status."""
        smtp = diagram(talk(*replies("250-a", "250-b", "250 c", "220 d")), WIDE)
        self.assertEqual([arrow.text for arrow in smtp.arrows], [("250-a  (+2 lines)",), ("220 d",)])
        pop3 = diagram(talk(*replies("+OK", "TOP", "UIDL", ".", "-ERR x"), protocol="pop3s"), WIDE)
        self.assertEqual([arrow.text for arrow in pop3.arrows], [("+OK  (+3 lines)",), ("-ERR x",)])

    def test_a_message_is_one_arrow_and_what_an_attacker_did_has_its_own(self) -> None:
        """A line that was changed does not disappear among the others."""
        body = [Event(0.2, Kind.BODY, text, Direction.OUT, 10) for text in ("a", "b", "c", ".")]
        body[2] = Event(0.2, Kind.BODY, "c\\n.\\nMAIL", Direction.OUT, 10, {"tampered": "has a bare LF"})
        forged = Event(0.1, Kind.REPLY, "250 XXXXXXXX", Direction.IN, 14, {"tampered": "changed"})
        drawn = diagram(talk(*replies("250-a", "250-b"), forged, *body), WIDE)
        self.assertEqual(
            [arrow.text for arrow in drawn.arrows],
            [
                ("250-a  (+1 line)",),
                ("250 XXXXXXXX  (changed)",),
                ("the message, 20 octets",),
                ("c\\n.\\nMAIL  (has a bare LF)",),
                ("the message, 10 octets",),
            ],
        )

    def test_handshake_and_what_it_protects(self) -> None:
        """A band behind each; encrypted messages are dashed."""
        drawn = diagram(submission(), WIDE)
        self.assertEqual([band.kind for band in drawn.bands], ["handshake", "encrypted"])
        self.assertEqual(sum(arrow.secret for arrow in drawn.arrows), 5)
        tls, after = drawn.bands
        self.assertEqual(tls.y + tls.height, after.y)

    def test_long_conversations_say_what_they_leave_out(self) -> None:
        """Rows in the middle, and events that the recorder dropped."""
        drawn = diagram(talk(*replies(*["220 x"] * 10_000), dropped=7), WIDE)
        self.assertLess(len(drawn.arrows), 200)
        self.assertEqual(len([note for note in drawn.notes if note.kind == "gap"]), 2)
        self.assertFits(drawn)
        self.assertEqual(diagram(talk(), WIDE).arrows, [])


class HandshakeTests(SynchronousTestCase):
    """Messages within their records."""

    def test_messages_of_one_record(self) -> None:
        """A message with a share of a header begins a record; the sums are those of the wire."""
        found = handshake(submission())
        assert found is not None
        self.assertEqual([len(record.messages) for record in found.records], [1, 1, 4, 1])
        self.assertEqual([record.around for record in found.records], [5, 5, 22, 22])
        self.assertEqual([record.encrypted for record in found.records], [False, False, True, True])
        self.assertEqual(sum(record.octets for record in found.records), 1512 + 1215 + 28 + 966 + 79 + 52 + 74)
        self.assertIn(("safe from quantum computers", "yes"), found.agreed)
        self.assertEqual(len(found.certificates), 1)

    def test_without_details(self) -> None:
        """A handshake of which only sizes are known, and a conversation without one."""
        bare = talk(Event(0, Kind.TLS, "encrypted record", Direction.IN, 90), Event(1, Kind.SECURED, "TLS 1.3"))
        found = handshake(bare)
        assert found is not None
        self.assertEqual((found.records[0].octets, found.records[0].around, found.summary), (90, 0, "TLS 1.3"))
        self.assertIsNone(handshake(talk(*replies("220 x"))))


class TreeTests(SynchronousTestCase):
    """A message drawn."""

    def test_parts_bars_and_links(self) -> None:
        """Each part below its parent, bars in proportion, an arc for each picture."""
        rows = structure(parse(newsletter()))
        for size in (WIDE_TREE, NARROW_TREE):
            drawn = tree(rows, size)
            self.assertEqual(len(drawn.parts), len(rows))
            self.assertEqual(len(drawn.arcs), 2)
            largest = max(drawn.parts, key=lambda part: part.payload + part.overhead)
            self.assertIn("1.2", largest.title)
            for part in drawn.parts:
                self.assertLessEqual(part.bar_x + part.payload + part.overhead, size.width)
                self.assertLessEqual(part.x + 14 + len(part.title) * size.letter, size.width)
                self.assertLess(part.y, drawn.height - 30)

    def test_deep_and_wide_messages_stay_within_the_picture(self) -> None:
        """Thousands of parts are counted, not drawn."""
        rows = [Row(f"1{'.1' * at}", at, "x/y" * 50, "", "7bit", 9, None, None, "", "", (), ()) for at in range(3000)]
        drawn = tree(rows, NARROW_TREE)
        self.assertEqual(len(drawn.parts) + drawn.left, 3000)
        self.assertLess(max(part.x for part in drawn.parts), NARROW_TREE.width // 2)


class WordingTests(SynchronousTestCase):
    """Texts cut and broken."""

    def test_lines_have_at_most_so_many_columns(self) -> None:
        """At blanks if there are any; wide letters count twice."""
        self.assertEqual(wrapped("one two three", 8, 2), ["one two", "three"])
        self.assertEqual(wrapped("a" * 30, 10, 2), ["a" * 10, "a" * 9 + "…"])
        for line in wrapped("漢字" * 20, 9, 2):
            self.assertLessEqual(columns(line), 10)
        self.assertEqual(wrapped("", 9, 2), [""])

    def test_a_cut_text_says_how_much_is_missing(self) -> None:
        """With a word, not only with an ellipsis."""
        self.assertEqual(said("abcdef", 4), "abcd … (2 characters more)")
