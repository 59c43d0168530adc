"""Invitations are read with their time in the reader's zone, and never stop a message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.archive.index_entry import index_fields
from emailsys.client.display.message import view
from emailsys.client.text.invitation import invitation_text

CASE: Final = Path(__file__).resolve().parents[3] / "data" / "cases" / "calendar-in-alternative.eml"
BEGIN: Final = datetime(2026, 5, 5, 8, 0, tzinfo=UTC)
LINES: Final = st.sampled_from(
    (
        *("BEGIN:VCALENDAR", "END:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "METHOD:CANCEL", "SUMMARY:x", "SUMMARY:y"),
        *("DTSTART:20260505T080000Z", "DTSTART;VALUE=DATE:20260505", "DTSTART;TZID=No/Where:20260505T080000"),
        *("DTSTART:99999999T999999Z", "DTSTART:00010101T000000Z", "DTEND:20260506", "DTEND;VALUE=DATE:00010101"),
        *("DURATION:PT1H", "DURATION:-P9999999D", "DUE:20260505T080000", "RRULE:FREQ=WEEKLY", "RRULE:x", " folded"),
        *("ATTENDEE;PARTSTAT=DECLINED:mailto:a@b.test", "ATTENDEE:x", "ORGANIZER;CN=A:mailto:a@b.test", "LOCATION:y"),
        *("DTSTART;TZID=../../etc/passwd:20260505T080000", "DTSTART:99991231T235959Z", "DESCRIPTION:z", "BEGIN:VTODO"),
    )
)


def calendar(*lines: str, method: str = "REQUEST") -> str:
    """A calendar object of one event."""
    head = ("BEGIN:VCALENDAR", f"METHOD:{method}", "BEGIN:VEVENT", "UID:1")
    return "\r\n".join((*head, *lines, "END:VEVENT", "END:VCALENDAR", ""))


def zone(offset: str, *lines: str, count: int = 1) -> str:
    """A calendar object with a zone of its own."""
    begin = ("BEGIN:STANDARD", "DTSTART:19700101T000000", f"TZOFFSETFROM:{offset}", f"TZOFFSETTO:{offset}")
    rules = (*begin, *lines, "END:STANDARD") * count
    head = ("BEGIN:VCALENDAR", "BEGIN:VTIMEZONE", "TZID:Foo Time")
    return "\r\n".join((*head, *rules, "END:VTIMEZONE", "END:VCALENDAR", ""))


def local(moment: datetime, form: str) -> str:
    """A moment as this computer's zone has it."""
    return moment.astimezone().strftime(form)


class Invitations(SynchronousTestCase):
    def expect(self, text: str, *lines: str) -> None:
        """Compare the text of a calendar, which has no defects."""
        self.assertEqual(invitation_text(text), ("\n".join(lines), []), text)

    def test_an_invitation_in_a_message_is_shown_found_and_saved(self) -> None:
        octets = CASE.read_bytes()
        shown = view(octets)
        when = local(BEGIN, "%A, %Y-%m-%d %H:%M %Z")
        self.assertEqual(shown.body, f"Invitation\n\nInvitation: Board\nWhen: {when}")
        self.assertEqual(([one.name for one in shown.attachments], shown.defects), (["part-1.2.ics"], ()))
        self.assertIn("Board", index_fields(octets, BEGIN).body_words)

    def test_the_fields_of_an_event(self) -> None:
        until = BEGIN + timedelta(minutes=90)
        span = local(BEGIN, "%A, %Y-%m-%d %H:%M to ") + local(until, "%H:%M %Z")
        self.expect(
            calendar(
                "DTSTART:20260505T080000Z", "DURATION:PT1H30M", r"SUMMARY:Board\, again", "LOCATION:Room 1",
                "RRULE:FREQ=WEEKLY;COUNT=3", "ORGANIZER;CN=Ann:mailto:ann@example.net",
                "ATTENDEE;PARTSTAT=ACCEPTED;CN=Bob:mailto:bob@example.org", "ATTENDEE:MAILTO:c@example.org",
                r"DESCRIPTION:one\ntwo",
            ),
            "Invitation: Board, again", f"When: {span}", "Repeats: FREQ=WEEKLY;COUNT=3", "Where: Room 1",
            "Organiser: Ann <ann@example.net>", "Attendee: Bob <bob@example.org>, accepted", "Attendee: c@example.org",
            "", "one", "two",
        )  # fmt: skip

    def test_days_zones_and_methods(self) -> None:
        for lines, when in (
            (("DTSTART;VALUE=DATE:20260505",), "Tuesday, 2026-05-05, all day"),
            (("DTSTART;VALUE=DATE:20260505", "DTEND;VALUE=DATE:20260506"), "Tuesday, 2026-05-05, all day"),
            (
                ("DTSTART;VALUE=DATE:20260505", "DTEND;VALUE=DATE:20260508"),
                "Tuesday, 2026-05-05 to Thursday, 2026-05-07, all day",
            ),
            (("DTSTART:20260505T100000",), "Tuesday, 2026-05-05 10:00"),
            (("DTSTART;TZID=No/Where:20260505T100000",), "Tuesday, 2026-05-05 10:00 (No/Where)"),
            (("DTSTART;TZID=Asia/Tokyo:20260505T170000",), local(BEGIN, "%A, %Y-%m-%d %H:%M %Z")),
            (
                ("DTSTART;VALUE=DATE:20260505", "DTEND:20260506T100000"),
                "Tuesday, 2026-05-05 to Wednesday, 2026-05-06, all day",
            ),
        ):
            self.expect(calendar("SUMMARY:x", *lines), "Invitation: x", f"When: {when}")
        self.expect(calendar("SUMMARY:x", method="CANCEL"), "Cancelled: x")
        self.expect(calendar("UID:2", method="none"), "Event: (no title)")
        self.expect(calendar("SUMMARY:x") + calendar("SUMMARY:y"), "Invitation: x", "", "Invitation: y")

    def test_a_zone_of_the_calendar_is_used_for_it_alone(self) -> None:
        used = ("DTSTART;TZID=Foo Time:20260505T100000",)
        for offset, begin in (("+0200", BEGIN), ("-0500", BEGIN + timedelta(hours=7))):
            shown = invitation_text(zone(offset) + calendar(*used))[0]
            self.assertEqual(shown, f"Invitation: (no title)\nWhen: {local(begin, '%A, %Y-%m-%d %H:%M %Z')}")
        unknown = "Invitation: (no title)\nWhen: Tuesday, 2026-05-05 10:00 (Foo Time)"
        self.assertEqual(invitation_text(calendar(*used))[0], unknown)
        self.assertEqual(invitation_text(calendar(f"DTSTART;TZID={'a' * 300}:20260505T100000"))[1], [])

    def test_a_rule_of_a_zone_cannot_stop_the_reader(self) -> None:
        used = calendar("DTSTART;TZID=Foo Time:20260505T100000")
        for rule, is_used in (
            ("FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU", True), ("FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=8,9,10;BYDAY=SU", True),
            ("FREQ=YEARLY", True), ("BYDAY=SU;BYMONTH=3;FREQ=YEARLY;UNTIL=20300101T000000Z", True),
            ("FREQ=SECONDLY", False), ("FREQ=DAILY", False), ("FREQ=YEARLY;BYSECOND=0,1,2", False),
            ("FREQ=YEARLY;BYDAY=SU", False), ("FREQ=YEARLY;INTERVAL=0", False), ("FREQ=YEARLY;BYMONTH=1,2", False),
        ):  # fmt: skip
            shown = invitation_text(zone("+0200", f"RRULE:{rule}", f"RRULE:{rule}") + used)[0]
            self.assertIn("(Foo Time)", shown, rule)
            shown = invitation_text(zone("+0200", f"RRULE:{rule}") + used)[0]
            self.assertEqual("(Foo Time)" not in shown, is_used, rule)
        self.assertIn("(Foo Time)", invitation_text(zone("+0200", count=21) + used)[0])

    def test_a_malformed_property_hides_no_other(self) -> None:
        title = "Invitation: x"
        for lines, shown, defect in (
            (
                ("DTSTART:99999999T999999Z",),
                "When: the time cannot be read",
                "DTSTART of the invitation cannot be read",
            ),
            (("DTSTART:20260505T100000", "DURATION:x"), "When: Tuesday, 2026-05-05 10:00", "DURATION of the inv"),
            (
                ("DTSTART:20260505T100000", "DTSTART:20260506T100000"),
                "When: Tuesday, 2026-05-05 10:00",
                "DTSTART is th",
            ),
            (("RRULE:FREQ=DAILY", "RRULE:FREQ=WEEKLY"), "Repeats: FREQ=DAILY", "RRULE is there more than once"),
            (("LOCATION:y", "no property"), "Where: y", "a line of the invitation cannot be read"),
            (("DESCRIPTION:a", "DESCRIPTION:b"), "\na", "DESCRIPTION is there more than once"),
        ):
            text, defects = invitation_text(calendar("SUMMARY:x", *lines))
            self.assertEqual((text, len(defects)), (f"{title}\n{shown}", 1), lines)
            self.assertIn(defect, defects[0])

    def test_a_message_that_is_a_calendar_is_read_once(self) -> None:
        shown = view(
            f"From: a@b.example\nDate: x\nContent-Type: text/calendar\n\n{calendar('RRULE:x', 'DURATION:x')}".encode()
        )
        self.assertEqual(shown.body.count("(no title)"), 1)
        self.assertEqual(len([one for one in shown.defects if "DURATION" in one]), 1)

    def test_an_unreadable_invitation_has_a_reason(self) -> None:
        for text, defect in (
            ("", "the calendar has no events"),
            ("x", "the invitation cannot be read"),
            ("A:b\n" * 100_000, "the invitation is too long"),
            (calendar("SUMMARY:x") * 25, "it has 25 events"),
        ):
            self.assertIn(defect, invitation_text(text)[1][0], text[:20])

    def test_an_unreadable_calendar_is_shown_if_nothing_else_is_there(self) -> None:
        head = b"From: a@b.example\nDate: x\nContent-Type: text/calendar\n\n"
        for text in ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Board", "See you at ten."):
            shown = view(head + text.encode())
            self.assertEqual(shown.body, text)
            self.assertIn("the calendar is shown as it was received", shown.defects)
        self.assertEqual(view(head + b"\n").body, "")

    @settings(deadline=None, max_examples=200)
    @given(st.lists(LINES | st.text(max_size=10), max_size=15))
    def test_any_calendar_is_read(self, lines: list[str]) -> None:
        invitation_text(calendar(*lines))
        invitation_text("\n".join(lines))
