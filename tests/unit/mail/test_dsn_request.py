"""NOTIFY, ORCPT, RET and ENVID are parsed by RFC 3461 and passed on unchanged."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import Address, parse
from emailsys.mail.dsn_request import (
    NOTHING_ASKED_FOR_RECIPIENT,
    DSNParameterError,
    MessageRequest,
    Notify,
    OriginalRecipient,
    RecipientRequest,
    Return,
    decode_xtext,
    encode_xtext,
    notify_value,
    original_recipient,
    parse_envid,
    parse_notify,
    parse_orcpt,
    parse_ret,
)


class Reading(SynchronousTestCase):
    def assert_refused(self, read: Callable[[str], object], *values: str) -> None:
        for value in values:
            with self.assertRaises(DSNParameterError, msg=value):
                read(value)

    def test_notify_is_never_or_a_list(self) -> None:
        self.assertEqual(parse_notify("NEVER"), Notify.NEVER)
        self.assertEqual(parse_notify("success,Failure"), Notify.SUCCESS | Notify.FAILURE)
        self.assertEqual(parse_notify("DELAY"), Notify.DELAY)
        self.assert_refused(parse_notify, "", "NEVER,SUCCESS", "SUCCESS,NEVER", "SUCCESS,", "ALWAYS", "SUCCESS FAILURE")

    def test_ret_is_full_or_hdrs(self) -> None:
        self.assertEqual((parse_ret("full"), parse_ret("HDRS")), (Return.FULL, Return.HEADERS))
        self.assert_refused(parse_ret, "", "HEADERS")

    def test_envid_is_xtext_of_a_hundred_characters_at_most(self) -> None:
        self.assertEqual(parse_envid("order+2B7+3D"), "order+7=")
        self.assertEqual(parse_envid("a" * 100), "a" * 100)
        self.assert_refused(parse_envid, "", "a" * 101, "a=b", "a b", "a+2", "a+2b", "bücher")

    def test_xtext_stands_for_nothing_that_could_become_a_line(self) -> None:
        self.assert_refused(decode_xtext, "a+0D+0AX:+20y", "+00", "+7F", "+FF")

    def test_orcpt_is_a_type_and_an_address(self) -> None:
        self.assertEqual(parse_orcpt("rfc822;bob+2Btag@away.test"), OriginalRecipient("rfc822", "bob+tag@away.test"))
        self.assertEqual(parse_orcpt("X400;c+3Dus"), OriginalRecipient("x400", "c=us"))
        self.assert_refused(parse_orcpt, "", "rfc822", "rfc822;", ";bob@x", "rfc 822;bob", "rfc822;a=b", "x" * 501)

    def test_a_utf8_address_may_stand_as_it_is_or_escaped(self) -> None:
        bob = OriginalRecipient("utf-8", "böb+1@bücher.test")
        self.assertEqual(parse_orcpt(r"utf-8;böb\x{2B}1@bücher.test"), bob)
        self.assertEqual(parse_orcpt(r"UTF-8;b\x{F6}b\x{2B}1@b\x{FC}cher.test"), bob)
        self.assertEqual(bob.encode(), r"utf-8;b\x{F6}b\x{2B}1@b\x{FC}cher.test")
        self.assertEqual(bob.encode(unicode=True), r"utf-8;böb\x{2B}1@bücher.test")
        self.assert_refused(
            parse_orcpt,
            "utf-8;a+b",
            r"utf-8;a\x{0A}b",
            r"utf-8;\x{D800}",
            r"utf-8;\x{110000}",
            "utf-8;a b",
            r"utf-8;\b",
        )


class PassingOn(SynchronousTestCase):
    def test_a_request_is_printed_as_its_parameters(self) -> None:
        self.assertEqual(MessageRequest(Return.FULL, "a=b").parameters(), ("RET=FULL", "ENVID=a+3Db"))
        asked = RecipientRequest(Notify.SUCCESS | Notify.DELAY, OriginalRecipient("rfc822", "a+b@x.test"))
        self.assertEqual(asked.parameters(), ("NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;a+2Bb@x.test"))
        self.assertEqual(MessageRequest().parameters() + NOTHING_ASKED_FOR_RECIPIENT.parameters(), ())
        self.assertEqual(RecipientRequest(Notify.NEVER).parameters(), ("NOTIFY=NEVER",))
        for letters, given in ((80, 1), (90, 0)):
            # Six characters for each letter where UTF-8 must not stand as it is.
            long = RecipientRequest(orcpt=original_recipient(Address("\u00f6" * letters, "x.test")))
            self.assertEqual(len(long.parameters()), given)
            self.assertEqual(len(long.parameters(smtputf8=True)), 1)
        utf8 = RecipientRequest(None, original_recipient(parse("bö@x.test")))
        self.assertEqual(utf8.parameters(smtputf8=True), ("ORCPT=utf-8;bö@x.test",))

    def test_a_missing_orcpt_is_the_forward_path(self) -> None:
        made = NOTHING_ASKED_FOR_RECIPIENT.relayed_from(parse("bob@away.test"))
        self.assertEqual(made.orcpt, OriginalRecipient("rfc822", "bob@away.test"))
        given = RecipientRequest(orcpt=OriginalRecipient("rfc822", "first@x.test"))
        self.assertIs(given.relayed_from(parse("bob@away.test")), given)

    def test_without_notify_failures_and_delays_are_told(self) -> None:
        told = [flag for flag in Notify if NOTHING_ASKED_FOR_RECIPIENT.wants(flag)]
        self.assertEqual(told, [Notify.FAILURE, Notify.DELAY])
        self.assertEqual([flag for flag in Notify if RecipientRequest(Notify.NEVER).wants(flag)], [])
        self.assertEqual([f for f in Notify if RecipientRequest(Notify.SUCCESS).wants(f)], [Notify.SUCCESS])

    def test_notify_is_printed_as_it_is_read(self) -> None:
        for value in ("NEVER", "SUCCESS", "SUCCESS,FAILURE", "SUCCESS,FAILURE,DELAY"):
            self.assertEqual(notify_value(parse_notify(value)), value)

    def test_xtext_escapes_what_it_must(self) -> None:
        self.assertEqual(encode_xtext("a b+c=d"), "a+20b+2Bc+3Dd")
