"""Page of the history of a message: its steps, and the conversations that belong to them."""

from __future__ import annotations

from typing import Any

import html5lib
from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.life_page import life_page
from emailsys.wiretap.conversation import Conversation, Event, Json, Kind, Role

# 2026-11-30T03:12:50Z
AT = 1796008370.0


def life(**changes: Any) -> dict[str, Any]:
    """A message that was submitted, stored for bob, who fetched it, and relayed to carol."""

    def event(kind: str, recipient: str | None = None, remote: str | None = None, second: int = 50) -> dict[str, Any]:
        reply = "250 2.0.0 ok" if remote else None
        at = f"2026-11-30T03:12:{second}Z"
        return {
            "at": at,
            "kind": kind,
            "recipient": recipient,
            "reply": reply,
            "remote": remote,
            "in_doubt": False,
            "detail": None,
            "uid": "u-7" if kind in ("fetched", "deleted") else None,
        }

    client = {"session": "s-1", "ip": "192.0.2.1", "helo": "x", "protocol": "ESMTPSA", "tls": "", "account": "alice@a"}
    found: dict[str, Any] = {
        "queue_id": "0070phv49",
        "sender": "alice@a",
        "client": client,
        "events": [
            event("accepted"),
            event("stored", "bob@a"),
            event("relayed", "carol@b", "mx.b [192.0.2.9]:25"),
            event("fetched", "bob@a", second=53),
        ],
    }
    return {**found, **changes}


def talk(session: str, protocol: str, role: Role, kind: Kind, opened: float = AT, **details: Json) -> Conversation:
    """A conversation with one event that has details."""
    return Conversation(
        session, protocol, role, opened, f"peer-of-{session}", events=(Event(0.5, kind, "x", None, 0, details),)
    )


class LifePageTests(SynchronousTestCase):
    """What `trace --export` writes."""

    def page(self, lives: list[dict[str, Any]], recorded: list[Conversation]) -> str:
        """The page, which must be valid."""
        found = life_page(lives, recorded)
        html5lib.HTMLParser(strict=True).parse(found)
        return found

    def test_a_message_is_found_by_its_queue_id_before_the_reply_to_it(self) -> None:
        """Two connections to one host at the same time, with the same reply; without an id the reply decides."""
        reply = Event(0.5, Kind.REPLY, "250 2.0.0 ok")
        same = Conversation("same", "smtp", Role.CLIENT, AT, "192.0.2.9:25", peer_name="mx.b", events=(reply,))
        named = talk("named", "smtp", Role.CLIENT, Kind.COMMIT, queue_id="0070phv49", recipients=1)
        page = self.page([life()], [same, named])
        self.assertIn("peer-of-named", page)
        self.assertEqual(page.count("<svg"), self.page([life()], [named]).count("<svg"))
        self.assertGreater(self.page([life()], [same]).count("<svg"), self.page([life()], []).count("<svg"))

    def test_each_step_leads_to_its_conversation(self) -> None:
        """By session, by queue id, and the fetch by the unique-id of the message; others are left out."""
        page = self.page(
            [life()],
            [
                talk("s-1", "submission", Role.SERVER, Kind.COMMIT, queue_id="0070phv49"),
                talk("out", "smtp", Role.CLIENT, Kind.VERDICT, queue_id="0070phv49"),
                talk("fetch", "pop3", Role.SERVER, Kind.MESSAGE, AT + 2, uid="u-7"),
                talk("other-id", "smtp", Role.CLIENT, Kind.VERDICT, queue_id="other"),
                talk("login-only", "pop3", Role.SERVER, Kind.LOGIN, AT + 2, account="bob@a", succeeded=True),
                talk("other-message", "pop3", Role.SERVER, Kind.MESSAGE, AT + 2, uid="u-8"),
                talk("earlier", "pop3", Role.SERVER, Kind.MESSAGE, AT - 60, uid="u-7"),
            ],
        )
        for session in ("s-1", "out", "fetch"):
            self.assertIn(f"peer-of-{session}", page)
        for session in ("other-id", "login-only", "other-message", "earlier"):
            self.assertNotIn(f"peer-of-{session}", page)
        # The delivery to bob was in the commit of the submission.
        self.assertEqual(page.count(">the conversation</a>"), 4)
        for title in ("Submitted", "Delivered", "Relayed", "Fetched", "03:12:53"):
            self.assertIn(title, page)

    def test_a_delivery_is_found_by_the_answer_of_the_host(self) -> None:
        """What the host said is in the history, and its text is in one conversation with that host only."""
        there, elsewhere = ("192.0.2.9:25", "mx.b"), ("192.0.2.8:25", "mx.c")
        for (peer, name), text, expected in (
            (there, "250 2.0.0 ok", 1),
            (elsewhere, "250 2.0.0 ok", 0),
            (("", ""), "250 2.0.0 ok", 0),
            (there, "250 x", 0),
        ):
            events = (Event(0.1, Kind.REPLY, text),)
            out = Conversation("out", "smtp", Role.CLIENT, AT, peer, peer_name=name, events=events)
            self.assertEqual(self.page([life()], [out]).count(">the conversation</a>"), expected, (peer, text))

    def test_without_recordings_the_page_says_how_to_record(self) -> None:
        """The steps are there all the same; a message of this system itself has no client."""
        page = self.page([life(client=None, sender="")], [])
        self.assertIn("emailsys watch", page)
        self.assertNotIn(">the conversation</a>", page)
        self.assertIn("Received", page)

    def test_several_messages_in_one_conversation(self) -> None:
        """The conversation is shown once."""
        page = self.page([life(), life(queue_id="two")], [talk("s-1", "submission", Role.SERVER, Kind.COMMIT)])
        self.assertEqual(page.count('role="img"'), 2)
        self.assertIn("The ways of some messages", page)
