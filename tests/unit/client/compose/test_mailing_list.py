"""Fields of mailing lists: where to post, and how to leave."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.compose.answer import ReplyTo, reply
from emailsys.client.compose.draft import ComposeError
from emailsys.client.compose.mailing_list import Unsubscription, unsubscription
from emailsys.mail.address import parse
from emailsys.mail.message.mailboxes import Mailbox
from emailsys.mail.message.mime import parse_header

ALICE = Mailbox("Alice", parse("alice@example.org"))


def way(*fields: str) -> Unsubscription | None:
    return unsubscription(parse_header("".join(f"{one}\r\n" for one in fields).encode() + b"\r\n"))


class ReplyTests(SynchronousTestCase):
    """An answer to the list."""

    def recipients(self, post: str) -> list[str]:
        message = (
            f"From: b@example.org\r\nCc: c@example.org\r\nReply-To: d@example.org\r\nList-Post: {post}\r\n\r\nx\r\n"
        )
        draft = reply(message.encode(), ALICE, reply_to=ReplyTo.LIST)
        return [str(one.address) for one in (*draft.to, *draft.cc)]

    def test_the_answer_goes_to_the_list_alone(self) -> None:
        for post in ("<mailto:talk@lists.example>",
                     "<https://lists.example/post>, <MAILTO:talk@lists.example?bcc=e@x.example>",
                     "(Use it!) <mailto:talk@lists.example> (comment)"):  # fmt: skip
            self.assertEqual(self.recipients(post), ["talk@lists.example"], post)

    def test_a_list_that_takes_no_messages_is_reported(self) -> None:
        self.assertIn("takes no messages", str(self.assertRaises(ComposeError, self.recipients, "NO (announcements)")))
        for post in ("", "talk@lists.example", "<mailto:>", "<mailto:two words>", "<ftp://lists.example>"):
            self.assertIn("no mailing list", str(self.assertRaises(ComposeError, self.recipients, post)), post)


class UnsubscribeTests(SynchronousTestCase):
    """One click, a message, or a page."""

    ONE_CLICK = "List-Unsubscribe-Post: List-Unsubscribe=One-Click"

    def test_one_click_needs_its_field(self) -> None:
        """Without it, a link may be anything, such as a page that a fetch must not act on."""
        links = "List-Unsubscribe: <mailto:leave@lists.example?subject=out>, <https://lists.example/u?id=1>"
        self.assertEqual(
            way(links, self.ONE_CLICK), Unsubscription("lists.example", url="https://lists.example/u?id=1")
        )
        found = way(links)
        assert found is not None
        assert found.draft is not None
        self.assertEqual((found.target, found.draft.subject, found.url), ("leave@lists.example", "out", ""))
        found = way("List-Unsubscribe: <https://lists.example/u>")
        self.assertEqual(found, Unsubscription("https://lists.example/u", page="https://lists.example/u"))

    def test_a_link_cannot_reach_this_network_or_carry_a_login(self) -> None:
        for link in ("https://127.0.0.1/", "https://[::1]/", "https://10.0.0.1/", "https://localhost/", "https://printer/",
                     "https://lists.example:8443/", "https://user:pw@lists.example/", "https://[bad/", "http://lists.example/",
                     "https://lists.exämple/", "https://2130706433/", "https://localhost./", "https://127.0.0.1./",
                     "https://127.1/", "https://10.0.1/", "https://0x7f.1/"):  # fmt: skip
            self.assertIsNone(way(f"List-Unsubscribe: <{link}>", self.ONE_CLICK), link)

    def test_a_message_reaches_nobody_but_the_list(self) -> None:
        found = way(
            "List-Unsubscribe: <mailto:leave@lists.example?cc=a@x.example&bcc=b@x.example&body=bye"
            "&in-reply-to=%3C1@x.example%3E>"
        )
        assert found is not None
        assert found.draft is not None
        self.assertEqual((found.draft.cc, found.draft.bcc, found.draft.text), ([], [], "bye"))
        self.assertIsNone(found.draft.in_reply_to)

    def test_no_way_is_none(self) -> None:
        for text in (
            "",
            "leave",
            "<>",
            "<mailto:>",
            "<javascript:alert(1)>",
            "<mailto:no one>",
            "<mailto:a@x.example,b@x.example>",
        ):
            self.assertIsNone(way(f"List-Unsubscribe: {text}"), text)
