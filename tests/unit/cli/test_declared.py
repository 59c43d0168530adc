"""Declared accounts: `apply`, `export`, and --if-missing of single verbs."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

from emailsys.cli.declared import command
from emailsys.cli.declared.aliases import in_order
from emailsys.cli.declared.directory import Alias
from emailsys.config.exit_status import Exit
from emailsys.mail.address import Address, parse
from emailsys.passwords import verify_password
from tests.unit.cli.operations_case import OperationsCase

# Of "secret", made by `openssl passwd -6`.
HASH = "$6$x1/OxRdKKc0R86ve$nZ7q6QWPRNUDP6HOwf.Mfbgtv7CWvtuU7S534lWTSfZux46epvYYG86aOrbLtGyQMII0qUDMbo.HCS9mpDymw1"
FILE = f"""
[[domains]]
name = "Second.test"
postmaster = "ann@first.test"

[[domains]]
name = "first.test"
postmaster = "ann@first.test"
quota = "5 GiB"

[[accounts]]
address = "ann@first.test"
hash = "{{SHA512-CRYPT}}{HASH}"
quota = "none"
may_send_as = ["sales@first.test", "@other.test", "*"]

[[accounts]]
address = "bob@first.test"
password_file = "bob.password"
enabled = false
quota = 12345
forward = ["ann@first.test", "bob@elsewhere.example"]
keeps_copy = false

[[aliases]]
name = "all@first.test"
targets = ["sales@first.test", "bob@first.test"]

[[aliases]]
name = "sales@first.test"
targets = ["ann@first.test"]

[[aliases]]
name = "abuse@second.test"
targets = ["bob@first.test"]

[[routes]]
host = "smtp.provider.example"
port = 587
username = "me"
password_file = "bob.password"

[[routes]]
host = "lmtp:/run/dovecot/lmtp"
recipient_domain = "Büro.example"

[[routes]]
host = "192.0.2.1"
recipient_domain = "partner.example"
"""


class DeclaredCase(OperationsCase):
    """A file beside the state folder of a new store."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        (self.folder / "bob.password").write_text("correct horse battery\n")
        self.write(FILE)

    def write(self, text: str) -> None:
        (self.folder / "mail.toml").write_text(text)

    def apply(self, *options: str, status: int = 0) -> dict[str, Any]:
        ended, out, err = self.run_it("apply", str(self.folder / "mail.toml"), "--yes", "--json", *options)
        self.assertEqual(ended, status, err)
        told: dict[str, Any] = json.loads(out) if out else {"error": err}
        return told

    def differences(self, *options: str, status: int = 0) -> list[str]:
        found = self.apply(*options, status=status)["differences"]
        return [f"{each['change']} {each['kind']} {each['name']}" for each in found]

    def exported(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.fine("export", "-", "--json"))
        return document


class ApplyTests(DeclaredCase):
    """`emailsys apply`."""

    def test_a_second_run_changes_nothing_and_an_export_makes_the_same_store(self) -> None:
        """The check before shows every object, and says that nothing was changed."""
        added = self.differences("--check", status=Exit.FAILED)
        self.assertEqual(added[:2], ["add domain first.test", "add domain Second.test"])
        self.assertEqual(len(added), 10)
        self.assertEqual([row["name"] for row in self.told("domain", "list")], ["example.test"])
        self.assertEqual(self.apply()["changed"], 10)
        self.assertEqual(self.apply(), {"differences": [], "changed": 0})
        self.assertEqual(self.apply("--check", "--passwords"), {"differences": [], "changed": 0})
        self.assertIn("nothing to change", self.run_it("apply", str(self.folder / "mail.toml"))[2])

        toml = self.folder / "exported.toml"
        self.fine("export", str(toml))
        if sys.platform != "win32":
            self.assertEqual(stat.S_IMODE(toml.stat().st_mode), 0o600)
        text = toml.read_text()
        self.assertNotIn("correct horse", text)
        before = self.exported()
        self.assertEqual(before["accounts"][1]["hash"], HASH)
        self.write(text.replace('username = "me"', f'username = "me"\npassword_file = "{self.folder}/bob.password"'))
        self.assertEqual(self.apply("--prune"), {"differences": [], "changed": 0})
        self.state = self.folder / "other"
        other = ("--state", str(self.state))
        self.apply(*other)
        self.assertEqual(json.loads(self.fine("export", "-", "--json", *other)), before)

    def test_what_was_declared_is_in_the_store(self) -> None:
        self.apply()
        found = self.exported()
        bob = found["accounts"][2]
        self.assertEqual(bob["forward"], ["ann@first.test", "bob@elsewhere.example"])
        self.assertEqual((bob["enabled"], bob["keeps_copy"], bob["quota"]), (False, False, "12345 B"))
        self.assertTrue(verify_password(bob["hash"], "correct horse battery"))
        ann = found["accounts"][1]
        self.assertEqual(ann["quota"], "none")
        self.assertEqual(ann["may_send_as"], ["*", "sales@first.test", "@other.test"])
        self.assertEqual(found["domains"][1], {"name": "first.test", "postmaster": "ann@first.test", "quota": "5 GiB"})
        self.assertEqual([each["name"] for each in found["aliases"]][-1], "abuse@Second.test")
        self.assertEqual(found["routes"][0]["username"], "me")
        self.assertNotIn("password", json.dumps(found["routes"]))

    def test_one_change_that_is_refused_undoes_all(self) -> None:
        """The message names it."""
        before = self.exported()
        self.write(FILE + '\n[[aliases]]\nname = "info@first.test"\ntargets = ["nobody@first.test"]\n')
        error = self.apply(status=Exit.DATA)["error"]
        self.assertIn("nobody@first.test is neither an account nor an alias", error)
        self.assertIn("alias.set; nothing was changed", error)
        self.assertEqual(self.exported(), before)

    def test_many_accounts_take_several_transactions_and_it_is_told_what_was_done(self) -> None:
        self.patch(command, "_STEPS_AT_ONCE", 4)
        self.write(FILE + '\n[[aliases]]\nname = "info@first.test"\ntargets = ["nobody@first.test"]\n')
        error = self.apply(status=Exit.DATA)["error"]
        self.assertIn("Before that, 4 of ", error)
        self.write(FILE)
        self.apply()
        self.assertEqual(self.differences(), [])

    def test_only_what_differs_is_changed(self) -> None:
        self.apply()
        self.write(
            FILE.replace('"5 GiB"', '"6 GiB"')
            .replace('"@other.test"', '"@third.test"')
            .replace("port = 587", "port = 2587")
            .replace('postmaster = "ann@first.test"\n\n', 'postmaster = "bob@first.test"\n\n')
            .replace('targets = ["ann@first.test"]', 'targets = ["bob@first.test"]')
        )
        found = {each["name"]: each["fields"] for each in self.apply()["differences"]}
        self.assertEqual(found["first.test"], {"quota": {"store": "5 GiB", "file": "6 GiB"}})
        self.assertEqual(found["postmaster@Second.test"]["targets"]["file"], ["bob@first.test"])
        self.assertEqual(found["sales@first.test"]["targets"]["file"], ["bob@first.test"])
        self.assertEqual(found["for all mail"], {"port": {"store": 587, "file": 2587}})
        self.assertEqual(list(found["ann@first.test"]), ["may_send_as"])
        self.assertEqual(len(found), 5)
        self.assertEqual(self.differences(), [])

    def test_passwords_of_accounts_that_exist_change_only_on_demand(self) -> None:
        """A user may have changed it since. A login replaces an imported hash, which must not come back either."""
        self.apply()
        self.fine("user", "password", "ann@first.test", "--password-stdin", typed=b"another horse battery\n")
        (self.folder / "bob.password").write_text("new horse battery staple\n")
        self.assertEqual(self.differences(), ["change route for all mail"])
        self.assertEqual(
            self.differences("--passwords"), ["change account ann@first.test", "change account bob@first.test"]
        )
        self.assertEqual(self.differences("--passwords"), [])

    def test_pruning_removes_what_is_not_named_but_no_mail_without_a_word(self) -> None:
        self.apply()
        self.accept()
        kept = FILE.replace('may_send_as = ["sales@first.test", "@other.test", "*"]', "")
        kept = kept.replace('[[aliases]]\nname = "sales@first.test"\ntargets = ["ann@first.test"]\n', "")
        kept = kept.replace('"sales@first.test", "bob', '"bob').replace("192.0.2.1", "192.0.2.2")
        self.write(kept)
        self.assertIn("--prune", self.apply("--purge", status=Exit.USAGE)["error"])
        removed = self.differences("--prune", "--check", status=Exit.FAILED)
        for words in (
            "remove domain example.test",
            "remove account ann@example.test",
            "remove alias sales@first.test",
            "change account ann@first.test",
        ):
            self.assertIn(words, removed)
        error = self.apply("--prune", status=Exit.DATA)["error"]
        self.assertIn("ann@example.test (1 message)", error)
        self.assertEqual(len(self.told("domain", "list")), 3)
        self.apply("--prune", "--purge")
        self.assertEqual([row["name"] for row in self.told("domain", "list")], ["first.test", "Second.test"])
        self.assertEqual(self.differences("--prune"), [])
        # Kinds that the file does not have at all stay.
        self.write(kept.partition("[[aliases]]")[0])
        self.assertEqual(self.differences("--prune"), [])

    def test_whole_domains_are_pruned_with_their_postmasters(self) -> None:
        """A postmaster is the last account of its domain, and domains that it serves from elsewhere go first."""
        self.write(
            "".join(f'[[domains]]\nname = "{name}.test"\npostmaster = "a@m.test"\n' for name in "mzb")
            + "".join(
                f'[[accounts]]\naddress = "{name}"\nhash = "{HASH}"\n' for name in ("a@m.test", "b@m.test", "c@z.test")
            )
        )
        self.apply()
        self.write("domains = []\naccounts = []\n")
        self.assertEqual(len(self.differences("--prune")), 8)
        self.assertEqual(self.told("domain", "list"), [])

    def test_no_mail_is_deleted_if_another_step_is_refused(self) -> None:
        """Deleted mail does not come back. The aliases that go with a domain are named."""
        self.apply()
        self.accept()
        self.fine("alias", "add", "info@example.test", "ann@example.test")
        first = '[[domains]]\nname = "first.test"\n' + FILE.partition("[[accounts]]")[1]
        first += FILE.partition("[[accounts]]")[2].partition("[[aliases]]")[0]
        alias = '[[aliases]]\nname = "x@first.test"\ntargets = ["%s"]\n'
        for text, words in (
            (first + alias % "nobody@first.test", "nobody@first.test is neither"),
            (first + alias % "ann@example.test", "x@first.test has the target ann@example.test"),
            (first + f'[[accounts]]\naddress = "x@second.test"\nhash = "{HASH}"\n', "has the account x@second.test"),
            ('accounts = []\n[[domains]]\nname = "first.test"', "ann@first.test is the postmaster of first.test"),
        ):
            self.write(text)
            (found,) = [
                each
                for each in self.apply("--prune", "--check", status=Exit.FAILED)["differences"]
                if each["name"] == "example.test"
            ]
            self.assertEqual(found["fields"]["aliases"]["store"], ["info@example.test"])
            error = self.apply("--prune", "--purge", status=Exit.DATA)["error"]
            self.assertIn(words, error)
            self.assertEqual(self.told("user", "list", "example.test")[0]["messages"], 1)
        self.write(first)
        self.apply("--prune", "--purge")
        self.assertEqual([row["name"] for row in self.told("domain", "list")], ["first.test"])

    def test_a_wrong_file_is_refused_with_all_its_problems(self) -> None:
        for text, *problems in (
            ("[[domains]\n", "neither TOML nor JSON"),
            ('{"domains": [{"name": "a b"}], "users": []}', "domains[1].name", "users: found an unknown key"),
            ('[[accounts]]\naddress = "x"\npassword = "hunter2"', "a mail address", "accounts[1].password: found an"),
            ('[[accounts]]\naddress = "a@b.test"\nhash = "$y$j9T$abc$def"', "a hash that cannot be used"),
            (
                '[[accounts]]\naddress = "a@b.test"\nhash = "$1$saltsalt$9xy1btjgzLYfb7hivXtC//"\npassword_file = "p"',
                "either",
            ),
            ('[[accounts]]\naddress = "a@b.test"\n[[aliases]]\nname = "A@b.test"\ntargets = ["b@b.test"]', "both as"),
            ('[[aliases]]\nname = "A@b.test"\ntargets = []', "at least one"),
            ('[[domains]]\nname = "b.test"\n[[domains]]\nname = "B.test"', "declared twice"),
            ('[[domains]]\nname = "b.test"', "declare its postmaster"),
            ('[[accounts]]\naddress = "new@example.test"', "declare a hash or a password_file"),
            ('[[accounts]]\naddress = "new@example.test"\npassword_file = "missing"', "missing"),
            ('[[routes]]\nhost = "https://hook.example/in"\nrecipient_domain = "x.test"', "set in the configuration"),
            ('[[routes]]\nhost = "smtp.example"\nsecret_file = "s"', "found an unknown key"),
            ('[[routes]]\nhost = "smtp.example"\nusername = "me"', "declare a password_file"),
            ('[[accounts]]\naddress = "ann@example.test"\nquota = "lots"', '"none" or "default"'),
            ('[[accounts]]\naddress = "ann@example.test"\nforward = ["@b.test"]', "a mail address"),
        ):
            with self.subTest(text):
                self.write(text.replace("{HASH}", HASH))
                status, _, err = self.run_it("apply", str(self.folder / "mail.toml"), "--yes")
                self.assertNotEqual(status, 0)
                for problem in problems:
                    self.assertIn(problem, err)
                self.assertNotIn("hunter2", err)
                self.assertNotIn("Traceback", err)

    def test_without_a_word_nothing_is_changed(self) -> None:
        """On a terminal you are asked; without one, --yes is required."""
        path = str(self.folder / "mail.toml")
        self.assertIn("--yes", self.refused(Exit.USAGE, "apply", path))
        status, out, err = self.run_it("apply", path, typed="n\n")
        self.assertEqual((status, len(self.told("domain", "list"))), (0, 1))
        self.assertIn("add domain first.test\n    postmaster: ann@first.test\n    quota: 5 GiB\n", out)
        self.assertIn("nothing was changed", err)
        self.assertIn("10 changes made", self.run_it("apply", path, typed="y\n")[2])

    def test_aliases_come_after_those_that_they_lead_to(self) -> None:
        a, b, c = (Address(name, "x.test") for name in "abc")
        order = in_order([Alias(a, (b,)), Alias(b, (c,)), Alias(c, (parse("d@x.test"),))])
        self.assertEqual([each.name for each in order], [c, b, a])
        self.assertEqual(len(in_order([Alias(a, (b,)), Alias(b, (a,))])), 2)


class IfMissingTests(OperationsCase):
    """--if-missing of `domain add`, `user add` and `alias add`."""

    def test_what_exists_stays_as_it_is(self) -> None:
        for arguments, words in (
            (("domain", "add", "Example.TEST", "--postmaster", "bob@example.test"), "example.test exists already"),
            (("user", "add", "Ann@example.test", "--password-stdin"), "exists already"),
            (("alias", "add", "abuse@example.test", "x@elsewhere.example"), "exists already"),
        ):
            self.refused(Exit.DATA, *arguments, typed=b"x\n") if arguments[0] != "alias" else None
            status, _, err = self.run_it(*arguments, "--if-missing", typed=b"weak\n")
            self.assertEqual(status, 0, err)
            self.assertIn(words, err)
        self.assertEqual(self.told("alias", "list")[0]["targets"], ["ann@example.test"])
        self.fine(
            "user", "add", "bob@example.test", "--if-missing", "--password-stdin", typed=b"correct horse battery\n"
        )
        self.fine("alias", "add", "all@example.test", "bob@example.test", "--if-missing")
        new = ("--state", str(self.state / "new"))
        self.fine("domain", "add", "example.test", "--postmaster", "ann@example.test", "--if-missing", *new)
        self.refused(Exit.USAGE, "user", "add", "--file", "-", "--if-missing")


del OperationsCase, DeclaredCase
