"""Policy delegation protocol of Postfix: requests that nothing can be injected into, and answers that keep to it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wire.policy_delegation import (
    MAX_ANSWER,
    Action,
    PolicyAnswerError,
    ReplyAction,
    answer,
    reply_action,
    request,
)


class Requests(SynchronousTestCase):
    def test_a_value_cannot_add_an_attribute_or_end_the_request(self) -> None:
        octets = request({"sender": "a\nrecipient=b\r\n\n", "helo_name": "\u00e4\u2028\x85\0", "x": "\ud800"})
        lines = b"request=smtpd_access_policy", b"sender=a?recipient=b???", b"helo_name=\xc3\xa4???", b"x=?", b"", b""
        self.assertEqual(octets.split(b"\n"), list(lines))


class Answers(SynchronousTestCase):
    def test_an_answer_is_read_however_it_is_split(self) -> None:
        octets = b"action=DEFER_IF_PERMIT  4.2.0 Greylisted, see http://x.test/a=b\n\n"
        for at in range(len(octets)):
            self.assertIsNone(answer(octets[:at]))
        self.assertEqual(answer(octets), Action("DEFER_IF_PERMIT", "4.2.0 Greylisted, see http://x.test/a=b"))
        self.assertEqual(answer(b"other=1\naction=dunno\n\n"), Action("DUNNO", ""))
        self.assertEqual(answer(b"action=450\t 4.2.0\tcome back\n\n"), Action("450", "4.2.0 come back"))

    def test_what_breaks_the_protocol_is_an_error(self) -> None:
        for octets in (
            b"\n\n",
            b"\n",
            b"action=\n\n",
            b"other=1\n\n",
            b"action=OK\naction=REJECT\n\n",
            b"action=OK\n\naction=OK\n\n",
            b"action=OK\n\n\n",
            b"action=PREPEND X: a\rBcc: b\n\n",
            b"action=OK\0\n\n",
            b"200 OK\n\n",
            b"HTTP/1.1 200 OK\r\nServer: x\n\n",
            b"action=" + b"x" * MAX_ANSWER,
            b"\xff\xfe" * MAX_ANSWER,
        ):
            self.assertRaises(PolicyAnswerError, answer, octets)

    def test_a_reply_is_an_action(self) -> None:
        for name, argument, expected in (
            ("450", "4.2.0 come back", ReplyAction(450, "4.2.0", "come back")),
            ("554", "no", ReplyAction(554, "", "no")),
            ("554", "", ReplyAction(554, "", "")),
            ("554", "5.7.1", ReplyAction(554, "5.7.1", "")),
            ("250", "2.0.0 ok", None),
            ("5544", "no", None),
            ("OK", "", None),
        ):
            self.assertEqual(reply_action(Action(name, argument)), expected)
        self.assertRaises(PolicyAnswerError, reply_action, Action("450", "5.2.0 no"))
