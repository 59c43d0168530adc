"""Tab completes keys, tags, and the terms of a search; nothing that it prints acts on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from emailsys.cli.mail.completions import VALUES, complete_keys, complete_search, complete_tagging
from emailsys.client.archive.query import parse_query
from emailsys.client.archive.values import Folder
from tests.unit.cli.mail.mail_case import Case

NONE: Any = None


def offered(complete: Callable[..., Any], typed: str) -> list[str]:
    return [one.value for one in complete(NONE, NONE, typed)]


class CompletionTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.mailbox.archive.set_tags([self.first], add=["bill", "big"])
        self.mailbox.archive.add_folder(Folder("alice", "Sent items"))

    def test_keys_are_completed_with_sender_and_subject(self) -> None:
        self.assertEqual({key[:8] for key in (self.first, self.second)}, set(offered(complete_keys, "")))
        (one,) = complete_keys(NONE, NONE, self.first[:5])
        self.assertEqual((one.value, str(one.help).endswith(": First")), (self.first[:8], True))
        self.assertEqual(offered(complete_keys, self.first[:12]), [self.first[:12]])
        self.assertEqual(offered(complete_keys, "%"), [])

    def test_tags_are_completed_with_their_sign(self) -> None:
        self.assertEqual(offered(complete_tagging, "+bi"), ["+big", "+bill"])
        self.assertEqual(offered(complete_tagging, "-bil"), ["-bill"])
        self.assertEqual(offered(complete_tagging, self.first[:6]), [self.first[:8]])

    def test_fields_of_a_search_and_their_values_are_completed(self) -> None:
        for typed, wanted in (
            ("fr", ["from:"]),
            ("-fr", ["-from:"]),
            ("tag:bi", ["tag:big", "tag:bill"]),
            ("-tag:bil", ["-tag:bill"]),
            ("folder:Sent", ["folder:Sent", 'folder:"Sent items"']),
            ("account:wo", ["account:work"]),
            ("is:unr", ["is:unread"]),
            ("from:bob", ["from:bob@example.org"]),
            ("nothing:", []),
        ):
            self.assertEqual(offered(complete_search, typed), wanted, typed)

    def test_every_value_that_is_offered_is_understood(self) -> None:
        for field, values in VALUES.items():
            for value in values:
                parse_query(datetime.now().astimezone(), f"{field}:{value}")

    def test_without_an_index_nothing_is_offered(self) -> None:
        self.mailbox.close()
        (self.mailbox.paths.archive / "index.sqlite").write_bytes(b"no index")
        self.assertEqual(offered(complete_keys, ""), [])
        self.assertEqual(offered(complete_tagging, "+"), [])
