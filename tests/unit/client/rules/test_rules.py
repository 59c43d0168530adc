"""Rules: read from mail.toml, matched with messages, and followed when mail is fetched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.accounts.file import AccountsFile
from emailsys.client.accounts.rule_values import Condition, Place, Rule
from emailsys.client.accounts.values import Account, AccountError, Notification
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import Addition, ArchiveError, ArchiveFull, Flag, Folder
from emailsys.client.rules import matching
from emailsys.client.rules.application import apply, judged
from emailsys.client.rules.filing import Filing
from emailsys.client.rules.matching import verdict
from emailsys.mail.address import parse
from tests.unit.client.archive.test_archive import IN, ME, NOW, ArchiveCase

_FILE = """
[accounts.alice]
address = "alice@example.org"

# Newsletters are read on Sundays.
[[accounts.alice.rules]]
name = "newsletters"
list = "*"
folder = "Lists"
read = true

[[accounts.alice.rules]]
from = ["boss@example.org",
  "@example.net"]
flag = true
tags = ["work"]
stop = true
[accounts.alice.rules.header]
X-Priority = "1"

[accounts.work]
address = "work@example.org"
"""


def mail(*fields: str, body: str = "text") -> bytes:
    return "\r\n".join([*fields, "", body, ""]).encode()


class ReadingTests(SynchronousTestCase):
    """The file."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.file = AccountsFile(self.path)

    def read(self, text: str) -> Account:
        self.path.write_text(text)
        return self.file.load()["alice"]

    def test_rules_are_read_in_order_and_stay_as_written(self) -> None:
        """The rest of the file may change: a rule and the comment above it do not."""
        first, second = self.read(_FILE).rules
        self.assertEqual((first.name, first.folder, first.read, first.line), ("newsletters", "Lists", True, 6))
        self.assertEqual((second.name, second.flag, second.tags, second.stop), ("rule 2", True, ("work",), True))
        self.assertEqual(second.conditions[0].patterns, ("boss@example.org", "@example.net"))
        self.assertEqual(second.conditions[1], Condition(Place.HEADER, ("1",), "X-Priority"))
        alice = replace(self.file.load()["alice"], display_name="Alice")
        self.file.put(alice)
        self.assertEqual(self.file.load()["alice"], alice)
        self.assertIn("# Newsletters are read on Sundays.\n[[accounts.alice.rules]]", self.path.read_text())
        self.file.remove("alice")
        self.assertNotIn("rules", self.path.read_text())
        self.assertEqual(list(self.file.load()), ["work"])

    def test_an_error_names_line_and_key_and_the_account_has_no_rules(self) -> None:
        """The other keys of the account are read: mail can be fetched and sent."""
        cases = {
            ("frm", 'frm = "x"'): "accounts.alice.rules[1].frm",
            ("folder", 'folder = "Outbox"'): "accounts.alice.rules[1].folder",
            ("folder ", 'folder = "../x"'): "accounts.alice.rules[1].folder",
            ("tags", 'tags = ["two words"]'): "accounts.alice.rules[1].tags",
            ("larger", 'larger = "big"'): "accounts.alice.rules[1].larger",
            ("from", "from = []"): "accounts.alice.rules[1].from",
            ("header", 'header = { "a b" = "x" }'): "accounts.alice.rules[1].header",
            ("stop", 'stop = "yes"'): "accounts.alice.rules[1].stop",
            ("subject", 'subject = ""'): "accounts.alice.rules[1].subject",
        }
        for (key, line), path in cases.items():
            rule = _FILE.replace('folder = "Lists"\n', "")
            account = self.read(rule.replace('list = "*"', f'list = "*"\n{line}', 1))
            self.assertEqual(account.rules, (), key)
            self.assertIn(f"{self.path}: line 9: {path}: found ", account.rule_problems[0])
            self.assertIn("; allowed: ", account.rule_problems[0])

    def test_a_rule_needs_a_condition_and_something_to_do(self) -> None:
        self.assertIn(
            "line 6: accounts.alice.rules[1]: ", self.read(_FILE.replace('list = "*"\n', "")).rule_problems[0]
        )
        nothing = _FILE.replace('folder = "Lists"\nread = true\n', "")
        self.assertIn("what to do", self.read(nothing).rule_problems[0])
        self.assertIn("tables", self.read(_FILE.split("\n\n#")[0] + "\nrules = 3\n").rule_problems[0])
        self.assertIn("a table", self.read(_FILE.split("\n\n#")[0] + "\nrules = [3]\n").rule_problems[0])

    def test_other_settings_of_fetches(self) -> None:
        """Minutes between fetches, and what is run for new mail."""
        text = '[accounts.alice]\naddress = "alice@example.org"\n'
        account = self.read(text)
        self.assertEqual((account.fetch_every, account.notify), (5, None))
        account = self.read(text + 'fetch_every = 0\nnotify = "desktop"\n')
        self.assertEqual((account.fetch_every, account.notify), (0, Notification()))
        account = self.read(text + 'fetch_every = 90\nnotify = { command = ["a", "b c"] }\n')
        self.assertEqual((account.fetch_every, account.notify), (90, Notification(("a", "b c"))))
        self.file.put(replace(account, display_name="Alice"))
        self.assertEqual(self.file.load()["alice"], replace(account, display_name="Alice"))
        for wrong in ("fetch_every = -1", "fetch_every = 2.5", 'notify = "beep"', "notify = { command = [] }"):
            self.assertRaises(AccountError, self.read, text + wrong)


class MatchingTests(SynchronousTestCase):
    """Which messages a rule matches."""

    def is_met(
        self, octets: bytes, *conditions: Condition, larger: int | None = None, smaller: int | None = None
    ) -> bool:
        return bool(verdict([Rule("r", conditions, larger, smaller, read=True)], octets).rules)

    def test_people(self) -> None:
        """A whole address is compared as a whole; "@" begins a domain; other texts are in the name or the address."""
        octets = mail(
            "From: =?utf-8?q?J=C3=BCrgen_Bo=C3=9F?= <Bob@Mail.Example.org>", "To: a@x.org, B <b@y.org>", "Cc: c@z.org"
        )
        for pattern in (
            "bob@mail.example.org",
            "@example.org",
            "@mail.example.ORG",
            "J\u00fcrgen",
            "JU\u0308RGEN",
            "boss",
            "bob@",
        ):
            self.assertTrue(self.is_met(octets, Condition(Place.FROM, (pattern,))), pattern)
        for pattern in ("ob@mail.example.org", "@ample.org", "@org.example", "alice", "a@x.org"):
            self.assertFalse(self.is_met(octets, Condition(Place.FROM, (pattern,))), pattern)
        for pattern in ("a@x.org", "@y.org", "c@z.org"):
            self.assertTrue(self.is_met(octets, Condition(Place.TO, (pattern,))), pattern)
        self.assertTrue(self.is_met(octets, Condition(Place.FROM, ("nobody", "boss"))))

    def test_fields_and_sizes(self) -> None:
        octets = mail(
            "Subject: =?utf-8?q?Rechnung_f=C3=BCr?=",
            " =?utf-8?q?_M=C3=A4rz?=",
            "List-Id: The <dev.example.org>",
            "x-spam: YES",
        )
        self.assertTrue(self.is_met(octets, Condition(Place.SUBJECT, ("rechnung f\u00fcr m\u00e4rz",))))
        self.assertTrue(self.is_met(octets, Condition(Place.LIST, ("dev.example.org",))))
        self.assertTrue(self.is_met(octets, Condition(Place.HEADER, ("yes",), "X-Spam")))
        self.assertTrue(self.is_met(octets, Condition(Place.HEADER, ("*",), "X-Spam")))
        self.assertFalse(self.is_met(octets, Condition(Place.HEADER, ("*",), "X-Other")))
        self.assertFalse(self.is_met(octets, Condition(Place.SUBJECT, ("rechnung",)), Condition(Place.LIST, ("no",))))
        self.assertTrue(self.is_met(octets, larger=len(octets) - 1))
        self.assertFalse(self.is_met(octets, larger=len(octets)))
        self.assertTrue(self.is_met(octets, smaller=len(octets) + 1))
        self.assertFalse(self.is_met(octets, smaller=len(octets)))

    def test_the_text_is_no_header(self) -> None:
        """A message whose text looks like a field is not filed by it; nor is one of a header without end."""
        self.assertFalse(self.is_met(mail("From: a@x.org", body="List-Id: <dev>"), Condition(Place.LIST, ("*",))))
        for octets in (b"", b"\xff" * 100, b"From", b"List-Id: " + b"x" * 300_000, b"\r\nList-Id: x\r\n"):
            self.is_met(octets, Condition(Place.LIST, ("*",)), Condition(Place.FROM, ("a",)))
        self.assertFalse(self.is_met(b"\r\nList-Id: x\r\n", Condition(Place.LIST, ("*",))))

    def test_later_rules_add_and_the_last_folder_counts_until_one_stops(self) -> None:
        any_list = (Condition(Place.LIST, ("*",)),)
        first = Rule("1", any_list, folder="A", tags=("a",), read=True)
        second = Rule("2", any_list, folder="B", tags=("b",), flag=True)
        found = verdict([first, second], mail("List-Id: x"))
        self.assertEqual((found.folder, found.tags, found.flags), ("B", ("a", "b"), Flag.SEEN | Flag.FLAGGED))
        found = verdict([replace(first, stop=True), second], mail("List-Id: x"))
        self.assertEqual((found.folder, found.tags, found.flags), ("A", ("a",), Flag.SEEN))


class FilingTests(ArchiveCase):
    """Fetched messages."""

    def setUp(self) -> None:
        super().setUp()
        self.archive.add_folder(Folder(ME, "Lists"))
        rule = Rule("lists", (Condition(Place.LIST, ("*",)),), folder="Lists", tags=("list",), read=True)
        self.account = Account(ME, parse(ME), rules=(rule,), notify=Notification(("true",)))
        self.listed, self.plain = mail("Subject: listed", "List-Id: <x>"), mail("From: A <a@x.org>", "Subject: plain")

    def filing(self, account: Account | None = None) -> Filing:
        return Filing(account or self.account, self.archive, lambda: NOW)

    def places(self) -> dict[str, tuple[str, Flag, tuple[str, ...]]]:
        return {
            one.subject: (one.folder.name, one.flags, one.tags)
            for folder in ("Inbox", "Lists", "Trash")
            for one in self.archive.list(Folder(ME, folder))
        }

    def test_a_message_is_stored_in_its_place_in_one_step(self) -> None:
        """Never in Inbox first; and mail that a rule marks as read is no news."""
        found = self.filing()
        found.add([(self.listed, "pop3:1"), (self.plain, "pop3:2")])
        self.assertEqual(self.places()["listed"], ("Lists", Flag.SEEN, ("list",)))
        self.assertEqual(self.places()["plain"], ("Inbox", Flag.NONE, ()))
        self.assertEqual((found.filed, found.notes), (1, []))
        self.assertEqual((found.arrivals.count, found.arrivals.subject), (1, "plain"))
        self.assertIn("A", found.arrivals.sender)

    def test_rules_apply_once(self) -> None:
        """After a crash before its id was recorded, a message comes again: it stays where the user put it since."""
        key = self.filing().add([(self.listed, "pop3:1")])[0]
        self.archive.move([key], IN)
        self.archive.set_tags([key], remove=["list"])
        again = Archive(self.root, lambda: NOW)
        self.addCleanup(again.close)
        self.assertEqual(Filing(self.account, again, lambda: NOW).add([(self.listed, "pop3:1")]), [key])
        self.assertEqual(self.places(), {"listed": ("Inbox", Flag.SEEN, ())})

    def test_without_the_folder_the_message_is_in_inbox_with_its_marks(self) -> None:
        self.archive.remove_folder(Folder(ME, "Lists"))
        found = self.filing()
        found.add([(self.listed, "pop3:1"), (self.listed, "pop3:3")])
        self.assertEqual(self.places(), {"listed": ("Inbox", Flag.SEEN, ("list",))})
        self.assertEqual(len(found.notes), 1)
        self.assertIn("no folder Lists", found.notes[0])
        self.assertTrue(found.notes[0].endswith(f"emailsys mail folder add {ME}/Lists"), found.notes[0])

    def test_a_rule_that_fails_leaves_the_message_in_inbox(self) -> None:
        def fail(*arguments: object) -> None:
            raise ZeroDivisionError("a fault")

        self.patch(matching, "verdict", fail)
        found = self.filing()
        found.add([(self.listed, "pop3:1")])
        self.assertEqual(self.places(), {"listed": ("Inbox", Flag.NONE, ())})
        self.assertIn("a fault", found.notes[0])

    def test_rules_with_errors_are_told_and_none_is_followed(self) -> None:
        found = self.filing(replace(self.account, rules=(), rule_problems=("line 3: wrong",)))
        found.add([(self.listed, "pop3:1")])
        self.assertEqual(self.places()["listed"][0], "Inbox")
        self.assertIn("line 3: wrong", found.notes[0])

    def test_a_folder_that_vanishes_loses_nothing(self) -> None:
        """The folder is removed between the look and the message."""
        found = self.filing()
        found.add([(self.listed, "pop3:1")])
        self.archive.purge([one.key for one in self.archive.list(Folder(ME, "Lists"))])
        self.archive.remove_folder(Folder(ME, "Lists"))
        found.add([(self.listed, "pop3:2"), (self.plain, "pop3:3")])
        self.assertEqual(
            {name: place[0] for name, place in self.places().items()}, {"listed": "Inbox", "plain": "Inbox"}
        )
        self.assertIn("stay in Inbox", found.notes[0])

    def test_a_full_disk_is_an_error_as_without_rules(self) -> None:
        def full(additions: object) -> list[str]:
            raise ArchiveFull("full")

        self.patch(self.archive, "add_many", full)
        self.assertRaises(ArchiveFull, self.filing().add, [(self.listed, "pop3:1")])
        without = self.filing(replace(self.account, rules=()))
        self.assertRaises(ArchiveError, without.add, [(self.listed, "pop3:1")])

    def test_messages_that_are_here_are_filed_on_request(self) -> None:
        """Applied twice, the rules change nothing more."""
        key, other = self.archive.add_many([*map(self.addition, (self.listed, self.plain))])
        notes: list[str] = []
        for _ in range(2):
            found = [
                one for key in (key, other) if (one := judged(self.archive, self.account.rules, self.archive.get(key)))
            ]
            self.assertEqual(apply(self.archive, found, notes.append), 1)
            self.assertEqual(self.places()["listed"], ("Lists", Flag.SEEN, ("list",)))
        self.assertEqual(notes, [])
        self.archive.move([key], IN)
        self.archive.remove_folder(Folder(ME, "Lists"))
        apply(
            self.archive,
            [one for one in [judged(self.archive, self.account.rules, self.archive.get(key))] if one],
            notes.append,
        )
        self.assertEqual((self.places()["listed"][0], len(notes)), ("Inbox", 1))

    def test_what_has_left_the_folder_since_is_neither_marked_nor_moved(self) -> None:
        """Another program moves one message and deletes the other while the rules read a long folder."""
        keys = self.archive.add_many([Addition(self.listed, IN, f"test:{at}") for at in range(2)])
        found = [one for key in keys if (one := judged(self.archive, self.account.rules, self.archive.get(key)))]
        self.archive.delete([self.archive.get(keys[0])])
        self.archive.purge([keys[1]])
        notes: list[str] = []
        self.assertEqual(apply(self.archive, found, notes.append), 0)
        (left,) = self.archive.list(Folder(ME, "Trash"))
        self.assertEqual((left.key, left.flags, left.tags), (keys[0], Flag.NONE, ()))
        self.assertIn("moved or deleted 2 of the messages", notes[0])

    def addition(self, octets: bytes) -> Addition:
        return Addition(octets, IN)
