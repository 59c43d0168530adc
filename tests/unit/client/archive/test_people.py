"""Addresses are completed from whom the person wrote to and who wrote: store, line by line session, shell."""

from __future__ import annotations

import sqlite3

from click.shell_completion import ShellComplete
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from emailsys.cli.main import program
from emailsys.client.archive.archive import INDEX
from emailsys.client.archive.people import find_in_file
from emailsys.client.archive.values import Addition, Folder
from emailsys.client.base.locations import archive_folder
from emailsys.client.compose.completion import is_whole, last_address_start
from emailsys.client.shell import ShellCompleter
from tests.unit.cli.mail.mail_case import Case
from tests.unit.client.archive.test_archive import ME, ArchiveCase, message

SENT = Folder(ME, "Sent")


def mail(sender: str, to: str, day: int = 1, cc: str = "") -> bytes:
    """A message of a day in November."""
    fields = f"Cc: {cc}\r\n" if cc else ""
    text = message("x", day=day, fields=fields).decode()
    return text.replace("Alice <alice@example.org>", sender).replace(f"To: {ME}", f"To: {to}").encode()


class PeopleTests(ArchiveCase):
    """Whom the beginning of a name or an address may mean."""

    def found(self, typed: str) -> list[str]:
        return [str(one) for one in self.archive.people(typed)]

    def test_frequent_recipients_come_first_and_then_the_latest_authors(self) -> None:
        self.keep(mail("Anna Early <anna@example.org>", ME, 2))
        self.keep(mail("Anna Late <late@example.org>", ME, 9))
        self.keep(mail(ME, "Anna Once <once@example.org>", 3), SENT)
        self.keep(mail(ME, "b@example.org", 4, cc="Anna Often <often@example.org>"), SENT)
        self.keep(mail(ME, "often@example.org", 5), SENT)
        self.assertEqual(
            self.found("anna"),
            [
                "Anna Often <often@example.org>",
                "Anna Once <once@example.org>",
                "Anna Late <late@example.org>",
                "Anna Early <anna@example.org>",
            ],
        )

    def test_each_word_that_is_typed_begins_a_word_of_name_or_address(self) -> None:
        self.keep(mail("=?utf-8?q?J=C3=B6rg_M=C3=BCller-L=C3=BCdenscheidt?= <j.mueller@mail.example.org>", ME))
        for typed in (
            "jörg",
            "JORG",
            "mul",
            "lud jo",
            "j.mu",
            "mueller",
            "@mail",
            "mail.ex",
            '"Müller, J',
            "j.mueller@",
        ):
            self.assertEqual(len(self.found(typed)), 1, typed)
        for typed in ("org", "ueller", "jörg x", "", "  ", "%", "_"):
            self.assertEqual(self.found(typed), [], typed)

    def test_one_person_is_one_address_however_it_is_written_with_the_latest_name(self) -> None:
        self.keep(mail("Old Name <Same@Example.org>", ME, 2))
        self.keep(mail("New Name <same@example.org>", ME, 8))
        self.keep(mail("Older Name <same@example.ORG>", ME, 1))
        self.keep(mail("same@example.org", ME, 9))
        self.assertEqual(self.found("same"), ["New Name <Same@Example.org>"])

    def test_people_of_one_batch_are_counted_together(self) -> None:
        folder = SENT
        self.archive.add_many(
            [Addition(mail(ME, f"p{number % 2}@example.org", 1 + number), folder) for number in range(5)]
        )
        self.archive.add(Addition(mail(ME, "p2@example.org", 20), folder))
        self.assertEqual(self.found("p"), ["p0@example.org", "p1@example.org", "p2@example.org"])

    def test_drafts_and_discarded_messages_suggest_no_addresses(self) -> None:
        self.keep(mail(ME, "half@exam"), Folder(ME, "Drafts"))
        self.keep(mail("Spam <spam@example.org>", ME), Folder(ME, "Trash"))
        self.assertEqual(self.found("half") + self.found("spam"), [])

    def test_people_are_known_again_after_the_index_is_rebuilt(self) -> None:
        self.keep(mail(ME, "Dora <dora@example.org>"), SENT)
        self.keep(mail("Bob <bob@example.org>", ME))
        self.archive.rebuild()
        self.assertEqual(self.found("dora") + self.found("b"), ["Dora <dora@example.org>", "Bob <bob@example.org>"])

    def test_an_index_without_people_is_rebuilt(self) -> None:
        """As the program before wrote it: version 1, without that table."""
        self.keep(mail("Bob <bob@example.org>", ME))
        self.archive.close()
        with sqlite3.connect(self.root / INDEX) as connection:
            connection.execute("DROP TABLE people")
            connection.execute("PRAGMA user_version = 1")
        connection.close()
        self.archive = self.opened()
        self.assertEqual(self.found("bob"), ["Bob <bob@example.org>"])

    def test_completing_in_a_shell_waits_for_nobody_who_writes(self) -> None:
        self.keep(mail("Bob <bob@example.org>", ME))
        with self.archive._index.transaction():
            found = find_in_file(self.root / INDEX, "bob", 5)
        self.assertEqual([str(one) for one in found], ["Bob <bob@example.org>"])


class TypedTests(ArchiveCase):
    """What of a list of addresses is completed."""

    def test_the_last_one_begins_after_a_comma_that_is_not_quoted(self) -> None:
        for text, last in (
            ("", ""),
            ("bo", "bo"),
            ("a@example.org,  bo", "bo"),
            ('"Brown, Bob" <b@example.org>, d', "d"),
            ('"Brown, B', '"Brown, B'),
            (r'"a\", b', r'"a\", b'),
            ("a@example.org, ", ""),
        ):
            self.assertEqual(text[last_address_start(text) :], last, text)

    def test_an_address_is_whole_when_its_domain_has_a_dot(self) -> None:
        self.assertTrue(is_whole("Bob <bob@example.org>"))
        for text in ("bob", "bob@", "bob@example", "a@example.org, b@example.org"):
            self.assertFalse(is_whole(text), text)


class SessionTests(Case):
    """The line by line session, and the shell that calls the program."""

    def completed(self, line: str) -> list[str]:
        completer = ShellCompleter(["list", "send", "reply"], lambda: ["Inbox", "Sent items"], self.mailbox.people)
        found = completer.get_completions(Document(line), CompleteEvent())
        return [line[: len(line) + one.start_position] + one.text for one in found]

    def test_the_session_completes_recipients_where_they_are_wanted(self) -> None:
        for line, wanted in (
            ("send bo", ["send bob@example.org"]),
            ("m --cc x@example.org,bo", ["m --cc x@example.org,bob@example.org"]),
            ("reply 3 --bcc BO", ["reply 3 --bcc bob@example.org"]),
            ("forward 3 bo", ["forward 3 bob@example.org"]),
            ("forward bo", []),
            ("reply bo", []),
            ("send -s bo", []),
            ("send ", []),
            ("move 3 --to se", ["move 3 --to 'Sent items'"]),
            ("se", ["send"]),
            ("list bo", []),
        ):
            self.assertEqual(self.completed(line), wanted, line)

    def from_shell(self, *words: str) -> list[str]:
        complete = ShellComplete(program, {}, "emailsys", "_EMAILSYS_COMPLETE")
        return [one.value for one in complete.get_completions(["mail", *words[:-1]], words[-1])]

    def test_a_shell_completes_recipients(self) -> None:
        self.assertEqual(self.from_shell("send", "--to", "bo"), ["bob@example.org"])
        self.assertEqual(self.from_shell("send", "-s", "x", "x@example.org,bo"), ["x@example.org,bob@example.org"])
        self.assertEqual(self.from_shell("forward", "abc", "bo"), ["bob@example.org"])

    def test_without_mail_a_shell_completes_nothing(self) -> None:
        self.session.close()
        for path in archive_folder().glob(f"{INDEX}*"):
            path.unlink()
        self.assertEqual(self.from_shell("send", "--to", "bo"), [])
