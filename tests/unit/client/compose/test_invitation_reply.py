"""Answers to invitations (RFC 5546, RFC 6047)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from icalendar import Calendar
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.accounts.values import Account
from emailsys.client.archive.values import Flag
from emailsys.client.compose.draft import ComposeError
from emailsys.client.compose.invitation_reply import Answer, draft_of, question, request_of, versions
from emailsys.client.compose.invitation_versions import notes_about
from emailsys.client.compose.message_builder import build
from emailsys.client.display.message import view
from emailsys.client.text.invitation import invitation_text
from emailsys.mail.address import parse
from emailsys.mail.message.mime import parse as parse_message
from tests.unit.client.archive.test_archive import ME, ArchiveCase

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
ALICE = Account("alice", parse("alice@example.org"), "Alice", aliases=(parse("info@example.org"),))


def invitation(
    *lines: str, method: str = "REQUEST", uid: str = "u-1", title: str = "Board; meeting", me: str = "alice@example.org"
) -> bytes:
    """A message with a calendar object of one event."""
    event = [
        *("BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20260301T080000Z", "DTSTART:20260505T080000Z"),
        *(f"SUMMARY:{title.replace(';', chr(92) + ';')}", "ORGANIZER;CN=Olga:mailto:olga@example.net"),
        *(f"ATTENDEE;CN=Alice A;RSVP=TRUE;PARTSTAT=NEEDS-ACTION:MAILTO:{me}", "ATTENDEE:mailto:other@example.com"),
        *lines,
        "END:VEVENT",
    ]
    text = "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", f"METHOD:{method}", *event, "END:VCALENDAR", ""])
    head = (
        f"From: Olga <olga@example.net>\r\nMessage-ID: <{uid}.{method}@x>\r\nSubject: {title}\r\n"
        f"Content-Type: text/calendar; method={method}\r\n\r\n"
    )
    return (head + text).encode()


def answered(octets: bytes, answer: Answer = Answer.ACCEPT) -> tuple[Any, Any]:
    """Return the message of an answer, and its calendar object."""
    message = build(draft_of(request_of(octets, ALICE.owns), answer, "Alice", NOW), NOW)
    root = parse_message(message.octets)
    part = next(one for one in root.walk() if one.content_type == "text/calendar")
    return message, (root, part, Calendar.from_ical(part.text()[0]))


class ReplyTests(SynchronousTestCase):
    """The answer on the wire."""

    def test_a_reply_says_who_answers_what(self) -> None:
        for answer, status in (
            (Answer.ACCEPT, "ACCEPTED"),
            (Answer.TENTATIVE, "TENTATIVE"),
            (Answer.DECLINE, "DECLINED"),
        ):
            message, (root, part, calendar) = answered(invitation("SEQUENCE:3"), answer)
            self.assertEqual([str(one) for one in message.recipients], ["olga@example.net"])
            self.assertEqual(str(message.reverse_path), "alice@example.org")
            self.assertEqual((root.content_type, part.parameters["method"]), ("multipart/alternative", "REPLY"))
            self.assertEqual(root.text_of("in-reply-to"), "<u-1.REQUEST@x>")
            (event,) = calendar.walk("VEVENT")
            self.assertEqual((str(calendar["METHOD"]), str(event["UID"]), int(event["SEQUENCE"])), ("REPLY", "u-1", 3))
            self.assertEqual(event["ATTENDEE"].params["PARTSTAT"], status)
            self.assertEqual(str(event["ATTENDEE"]).lower(), "mailto:alice@example.org")
            self.assertEqual(str(event["ORGANIZER"]), "mailto:olga@example.net")
            self.assertEqual(event["DTSTAMP"].dt, NOW)
            self.assertIn("Board; meeting", view(message.octets).body)

    def test_an_occurrence_is_answered_with_its_date_and_zone(self) -> None:
        rule = "BEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0100\r\nEND:STANDARD"
        zone = f"BEGIN:VTIMEZONE\r\nTZID:Here\r\n{rule}\r\nEND:VTIMEZONE\r\n"
        octets = invitation("RECURRENCE-ID;TZID=Here:20260505T100000").replace(
            b"BEGIN:VEVENT", zone.encode() + b"BEGIN:VEVENT"
        )
        _, (_, part, calendar) = answered(octets)
        self.assertIn("RECURRENCE-ID;TZID=Here:20260505T100000", part.text()[0])
        self.assertEqual(len(calendar.walk("VTIMEZONE")), 1)

    def test_the_invited_address_answers(self) -> None:
        """An alias, and an address with a tag."""
        for me in ("info@example.org", "alice+work@example.org"):
            self.assertEqual(str(answered(invitation(me=me))[0].reverse_path), me)

    def test_only_who_is_invited_answers_and_only_a_request(self) -> None:
        for octets in (
            *(
                invitation(me="bob@example.org"),
                invitation(method="CANCEL"),
                invitation(method="REPLY"),
                b"Subject: x\r\n\r\n",
            ),
            *(invitation(uid=""), invitation().replace(b"mailto:olga", b"http:olga"), invitation()[:200]),
            invitation().replace(b"BEGIN:VCALENDAR", b"BEGIN:VCALENDAR\r\n" * 50),
        ):
            self.assertRaises(ComposeError, request_of, octets, ALICE.owns)

    def test_the_question_says_what_goes_to_whom(self) -> None:
        request = request_of(
            invitation().replace(b"From: Olga <olga@example.net>", b"From: <evil@example.com>"), ALICE.owns
        )
        asked = question(request, Answer.DECLINE, ["It was updated."])
        for word in (
            "olga@example.net",
            "declined",
            "Board; meeting",
            "evil@example.com, not by the organiser",
            "It was updated.",
        ):
            self.assertIn(word, asked)

    def test_only_the_event_of_the_question_is_answered(self) -> None:
        """RFC 5546 §3.2.2: a REQUEST has one UID. Events of another UID or organiser are named and not answered."""
        first = invitation(title="Lunch")
        begin, end = first.index(b"BEGIN:VEVENT"), first.index(b"END:VCALENDAR")
        event = first[begin:end]
        moved = event.replace(b"DTSTAMP", b"RECURRENCE-ID:20260512T080000Z\r\nDTSTAMP")
        other = event.replace(b"UID:u-1", b"UID:u-2").replace(b"Lunch", b"Pay 10000")
        foreign = event.replace(b"olga@", b"mallory@").replace(b"Lunch", b"Pay 20000")
        octets = first[:end] + other + moved + foreign + first[end:]
        _, (_, part, calendar) = answered(octets)
        self.assertEqual([str(one["UID"]) for one in calendar.walk("VEVENT")], ["u-1", "u-1"])
        self.assertNotIn("Pay", part.text()[0])
        asked = question(request_of(octets, ALICE.owns), Answer.ACCEPT, [])
        self.assertIn("not answered: “Pay 10000”, “Pay 20000”.", asked)
        self.assertNotIn("not answered", question(request_of(first, ALICE.owns), Answer.ACCEPT, []))

    def test_no_header_and_no_line_comes_from_a_title(self) -> None:
        octets = invitation(title="x\\nBcc: a@b.c\\n\x1b[2J")
        message, (root, _, _) = answered(octets)
        self.assertEqual(len(message.recipients), 1)
        self.assertEqual(root.text_of("bcc"), "")

    def test_an_update_is_named(self) -> None:
        text = parse_message(invitation("SEQUENCE:2")).text()[0]
        self.assertTrue(invitation_text(text)[0].startswith("Update of an invitation: Board"))


class VersionTests(ArchiveCase):
    """Later versions of an event in the archive."""

    def test_updates_and_cancellations_of_the_event_are_named(self) -> None:
        """Those of other events, earlier ones, and answers are not."""
        first = self.archive.get(self.keep(invitation(me=ME)))
        self.keep(invitation(me=ME, uid="another"))
        self.keep(invitation(me=ME, method="REPLY"))
        request = request_of(self.archive.octets(first.key), lambda address: str(address) == ME)
        self.assertEqual(notes_about(self.archive, request, first), [])
        second = self.keep(invitation("SEQUENCE:1", me=ME, title="Moved"))
        third = self.keep(invitation("SEQUENCE:2", me=ME, method="CANCEL"))
        notes = notes_about(self.archive, request, first)
        self.assertEqual(len(notes), 2)
        self.assertIn(f"cancelled by a later message: {third[:8]}, sequence 2", notes[0])
        self.assertIn(f"updated by a later message: {second[:8]}, sequence 1", notes[1])
        self.assertEqual([one.sequence for one in versions(self.archive.octets(third))], [2])
        self.assertFalse(self.archive.get(first.key).flags & Flag.ANSWERED)
