"""Bounces on a fake clock: senders get notices of delays, failures and successes over five days."""

from __future__ import annotations

from datetime import timedelta

from twisted.trial.unittest import SynchronousTestCase

from emailsys.interfaces import Fate, StoreFull
from emailsys.mail.dsn_request import MessageRequest, Notify, RecipientRequest, Return
from tests.fakes.store.queue_house import DAY, GREYLISTED, HOUR, MESSAGE, NO_SUCH_USER, System, status_of


class Bouncing(SynchronousTestCase):
    def test_five_days_pass_and_a_dsn_arrives(self) -> None:
        system = System()
        system.relay.down.add("away.test")
        system.accept("bob@away.test")
        system.pass_time(4 * HOUR - 60)
        self.assertEqual(system.notices(), [])
        system.pass_time(60)
        (warning,) = system.notices()
        self.assertEqual(warning["Subject"], "Your message is delayed")
        self.assertEqual(status_of(warning)[1]["Action"], "delayed")
        self.assertEqual(status_of(warning)[1]["Will-Retry-Until"], "Tue, 6 Jan 2026 00:00:00 +0000")
        system.pass_time(5 * DAY - 4 * HOUR - 60)
        self.assertEqual(len(system.notices()), 1, "one warning is enough")
        system.pass_time(60)
        _, bounce = system.notices()
        self.assertEqual(bounce["Subject"], "Your message could not be delivered")
        self.assertEqual(bounce["Auto-Submitted"], "auto-replied")
        self.assertEqual(bounce["Return-Path"], "<>")
        self.assertEqual(bounce.get_content_type(), "multipart/report")
        self.assertEqual(bounce["References"], "<one@home.test>")
        fields = status_of(bounce)[1]
        self.assertEqual((fields["Action"], fields["Status"]), ("failed", "4.4.7"))
        text = next(bounce.iter_parts()).get_content()
        self.assertIn("for 5 days", text)
        self.assertIn("bob@away.test", text)
        self.assertIn("hello", text)
        returned = list(bounce.iter_parts())[2]
        self.assertEqual(returned.get_content_type(), "text/rfc822-headers")
        self.assertEqual(system.store.waiting, [])
        self.assertEqual(system.store.settlements[-1].fate, Fate.FAILED)

    def test_intervals_grow_from_minutes_to_hours(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [GREYLISTED]
        system.accept("bob@away.test")
        system.pass_time(DAY)
        start = system.store.now() - timedelta(days=1)
        minutes = [(s.due_at - start).total_seconds() / 60 for s in system.store.settlements if s.due_at is not None]
        self.assertEqual(minutes[:7], [5, 15, 35, 75, 155, 240, 480])

    def test_a_refusal_is_told_at_once_in_the_remotes_words(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.accept("bob@away.test", message=MessageRequest(envid="order 7"))
        (bounce,) = system.notices()
        message, fields = status_of(bounce)
        self.assertEqual(message["Original-Envelope-Id"], "order 7")
        self.assertEqual(message["Reporting-MTA"], "dns; mail.home.test")
        self.assertEqual(fields["Remote-MTA"], "dns; mx.away.test")
        self.assertEqual(fields["Diagnostic-Code"], "smtp; 550 5.1.1 no such user here")

    def test_null_reverse_path_gets_no_dsn(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.accept("bob@away.test", sender=None)
        self.assertEqual(len(system.store.messages), 1)
        self.assertEqual(system.store.settlements[-1].fate, Fate.FAILED_UNTOLD)

    def test_a_dsn_that_cannot_be_delivered_makes_no_other(self) -> None:
        """The sender is on another host, and its mailbox does not exist any more."""
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.relay.replies["eve@elsewhere.test"] = [NO_SUCH_USER]
        system.accept("bob@away.test", sender="eve@elsewhere.test")
        self.assertEqual([a[0] for a in system.relay.attempts], ["away.test", "elsewhere.test"])
        self.assertEqual([s.fate for s in system.store.settlements], [Fate.FAILED, Fate.FAILED_UNTOLD])
        self.assertEqual(len(system.store.messages), 2)

    def test_a_sender_of_ours_that_does_not_exist_gets_no_dsn(self) -> None:
        system = System()
        system.router.local["gone@home.test"] = ()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.accept("bob@away.test", sender="gone@home.test")
        self.assertEqual([s.fate for s in system.store.settlements], [Fate.FAILED_UNTOLD])

    def test_notify_never_is_kept(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.relay.down.add("far.test")
        never = RecipientRequest(Notify.NEVER)
        system.accept("bob@away.test", "carol@far.test", dsn=never)
        system.pass_time(5 * DAY)
        self.assertEqual(system.notices(), [])
        self.assertEqual(system.store.waiting, [])
        self.assertEqual([s.fate for s in system.store.settlements if s.due_at is None], [Fate.FAILED_UNTOLD] * 2)

    def test_notify_failure_gets_no_delay_warning(self) -> None:
        system = System()
        system.relay.down.add("far.test")
        system.accept("carol@far.test", dsn=RecipientRequest(Notify.FAILURE))
        system.pass_time(5 * DAY)
        self.assertEqual([n["Subject"] for n in system.notices()], ["Your message could not be delivered"])

    def test_success_is_told_where_the_next_hop_has_no_dsn(self) -> None:
        system = System()
        system.relay.speaks_dsn = False
        system.accept("bob@away.test", dsn=RecipientRequest(Notify.SUCCESS))
        system.accept("carol@away.test")
        (notice,) = system.notices()
        fields = status_of(notice)[1]
        self.assertEqual((fields["Action"], fields["Status"]), ("relayed", "2.0.0"))
        self.assertEqual(fields["Final-Recipient"], "rfc822; bob@away.test")

    def test_ret_full_returns_the_whole_message_and_only_with_a_failure(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.relay.speaks_dsn = False
        asked = RecipientRequest(Notify.SUCCESS | Notify.FAILURE)
        system.accept("bob@away.test", "carol@away.test", dsn=asked, message=MessageRequest(Return.FULL))
        kinds = {n["Subject"]: [part.get_content_type() for part in n.iter_parts()][2] for n in system.notices()}
        self.assertEqual(
            kinds,
            {
                "Your message could not be delivered": "message/rfc822",
                "Your message was passed on": "text/rfc822-headers",
            },
        )

    def test_of_a_large_message_only_the_header_is_returned(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        body = MESSAGE + b"0123456789\r\n" * 100_000
        system.accept("bob@away.test", body=body, message=MessageRequest(Return.FULL))
        (bounce,) = system.notices()
        self.assertEqual(list(bounce.iter_parts())[2].get_content_type(), "text/rfc822-headers")
        self.assertLess(len(bounce.as_bytes()), 10_000)

    def test_a_bounce_for_another_host_leaves_at_once(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.accept("bob@away.test", sender="eve@elsewhere.test")
        sent = next(d for d in system.relay.delivered if d.host == "elsewhere.test")
        self.assertIsNone(sent.transmission.reverse_path)
        self.assertEqual(sent.transmission.recipients[0].dsn.notify, Notify.NEVER)

    def test_a_bounce_that_the_store_cannot_take_at_once_counts_once_toward_the_cap(self) -> None:
        """Otherwise a full disk would use up the cap, and the sender would never learn of the failure."""
        system = System(max_notices=1)
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.store.fail_next_commit = StoreFull("disk full")
        system.accept("bob@away.test", sender="eve@elsewhere.test")
        system.store.fail_next_commit = StoreFull("disk full")
        system.pass_time(1, 1.0)
        self.assertEqual(system.store.settlements, [])
        system.pass_time(2, 1.0)
        self.assertEqual(system.store.settlements[0].fate, Fate.FAILED)
        self.assertIn("elsewhere.test", [delivery.host for delivery in system.relay.delivered])
        self.assertEqual(system.telemetry.counters["notice-suppressed"], 0)
