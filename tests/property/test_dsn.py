"""Any message and any remote reply give a notification that parses. DSN requests print as they are parsed."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import QueueSettings
from emailsys.delivery.retry_schedule import after_attempt
from emailsys.mail.address import Address, AddressSyntaxError, parse
from emailsys.mail.dsn.composition import compose
from emailsys.mail.dsn.report import Action, RecipientReport, Report
from emailsys.mail.dsn_request import (
    DSNParameterError,
    MessageRequest,
    Notify,
    OriginalRecipient,
    RecipientRequest,
    Return,
    decode_xtext,
    encode_xtext,
    parse_envid,
    parse_notify,
    parse_orcpt,
)
from emailsys.mail.envelope import MailParameters
from emailsys.mail.reply import Reply
from emailsys.mail.srs import SRS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=80)
locals_of = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)


class Notifications(SynchronousTestCase):
    @given(
        st.sampled_from(Action),
        st.text(max_size=300),
        st.integers(200, 599),
        st.sampled_from(["", "5.1.1", "4.2.2", "9.9.9", "x"]),
        st.binary(max_size=300).map(lambda octets: octets.replace(b"\n", b"\r\n")),
        st.booleans(),
        st.booleans(),
    )
    def test_a_notification_parses_and_states_its_report(
        self, action: Action, text: str, code: int, enhanced: str, original: bytes, whole: bool, expired: bool
    ) -> None:
        told = RecipientReport(
            parse("bob@away.test"), action, Reply(code, enhanced, text), "mx.away.test", None, expired
        )
        asked = MailParameters(dsn=MessageRequest(envid="e"))
        to = parse("a@home.test")
        made = compose(Report("mail.home.test", "Q1", "Q1.1", action, to, [told], NOW, NOW, original, whole, asked))
        notice = email.message_from_bytes(made.octets, policy=email.policy.default)
        parts = list(notice.iter_parts())
        self.assertEqual(len(parts), 3 if original else 2)
        status = cast("list[Message[str, str]]", parts[1].get_payload())
        self.assertEqual(len(status), 2)
        self.assertEqual(status[1]["Action"], action.value)
        self.assertEqual(status[1]["Final-Recipient"], "rfc822; bob@away.test")
        ours = made.octets[: made.octets.find(b"message/delivery-status") + 500]
        self.assertNotIn(b"\x00", ours.split(b"rfc822")[0])


class Requests(SynchronousTestCase):
    @given(printable)
    def test_xtext_prints_as_it_is_read(self, text: str) -> None:
        self.assertEqual(decode_xtext(encode_xtext(text)), text)

    @given(st.text(st.characters(min_codepoint=0x21, exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
    def test_a_utf8_recipient_prints_as_it_is_read(self, text: str) -> None:
        given_recipient = OriginalRecipient("utf-8", text)
        self.assertEqual(parse_orcpt(given_recipient.encode()), given_recipient)
        self.assertEqual(parse_orcpt(given_recipient.encode(unicode=True)), given_recipient)

    @given(st.text(), st.text())
    def test_a_parameter_goes_on_as_one_word_whatever_the_queue_holds(self, envid: str, address: str) -> None:
        """Blanks and line ends of a damaged row make no parameters and no commands."""
        for kind in ("rfc822", "utf-8"):
            recipient = RecipientRequest(Notify.NEVER, OriginalRecipient(kind, address))
            for word in (*MessageRequest(Return.FULL, envid).parameters(), *recipient.parameters()):
                self.assertRegex(word, r"\A[A-Z]+=[!-~]*\Z")

    @given(st.text(max_size=120))
    def test_no_text_raises_anything_but_its_own_error(self, text: str) -> None:
        for read in (parse_envid, parse_orcpt, parse_notify, lambda t: parse_orcpt(f"utf-8;{t}")):
            try:
                read(text)
            except DSNParameterError:
                continue


class Senders(SynchronousTestCase):
    @given(locals_of, st.integers(0, 5000), st.integers(0, 21))
    def test_a_rewritten_sender_is_read_again(self, local: str, day: int, age: int) -> None:
        srs = SRS(b"0123456789abcdef", "home.test")
        sender = Address(local, "x.test")
        rewritten = srs.rewrite(sender, day)
        if rewritten != sender and not local.upper().startswith("SRS"):
            self.assertEqual(srs.restore(parse(str(rewritten)), day + age), sender)

    @given(st.text(max_size=70))
    def test_no_text_restores_to_an_address_but_a_signed_one(self, local: str) -> None:
        srs = SRS(b"0123456789abcdef", "home.test")
        try:
            path = parse(f"SRS0={local}@home.test")
        except AddressSyntaxError:
            return
        self.assertIsNone(srs.restore(path, 1))


class Schedules(SynchronousTestCase):
    @given(st.integers(0, 10_000), st.floats(0, 6 * 86400), st.floats(0, 1), st.booleans())
    def test_the_next_attempt_is_in_the_future_and_before_the_expiry(
        self, attempts: int, age: float, chance: float, warned: bool
    ) -> None:
        now = NOW + timedelta(seconds=age)
        step = after_attempt(QueueSettings(), attempts, NOW, now, warned, chance)
        if step.due_at is None:
            self.assertGreaterEqual(now, NOW + timedelta(days=5))
        else:
            self.assertGreater(step.due_at, now)
            self.assertLessEqual(step.due_at, NOW + timedelta(days=5))
