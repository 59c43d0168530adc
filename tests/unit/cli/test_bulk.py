"""Accounts and domains from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emailsys.cli import bulk
from emailsys.cli.administer import administer
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit
from emailsys.config.loader import load
from emailsys.passwords import hash_password, verify_password
from emailsys.store.offline import run_offline
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry
from tests.unit.cli.cli_case import CLICase

# Of "secret", made by `doveadm pw`.
HASH = "{SSHA}wKagv8Eh3s4+cDgJhA5mx6umdeNQbGfE"
CRYPT = "$1$saltsalt$9xy1btjgzLYfb7hivXtC//"


class BulkTests(CLICase):
    """`user add --file` and `domain add --file`, directly on the store."""

    def addresses(self) -> list[str]:
        return [row["address"] for row in json.loads(self.fine("user", "list", "--json"))]

    def secret(self, local: str) -> tuple[str, str]:
        async def read(store: Store) -> tuple[str, str]:
            login = await store.directory.find_login((local, "example.test"))
            assert login is not None
            return login.credentials[0]

        settings = load(None, self.state)
        return run_offline(settings.store, settings.state, read, Telemetry())

    def add(self, octets: bytes, status: int = 0) -> dict[str, Any]:
        ended, out, err = self.run_it("user", "add", "--file", "-", "--json", typed=octets)
        self.assertEqual(ended, status, err)
        report: dict[str, Any] = json.loads(out)
        return report

    def test_a_byte_order_mark_is_no_part_of_an_address_or_a_password(self) -> None:
        """Editors and shells of Windows put it first, in a file and into a pipe."""
        self.add_domain()
        self.add(b"\xef\xbb\xbfann@example.test correct horse battery\n")
        typed = b"\xef\xbb\xbfcorrect horse battery\r\n"
        self.fine("user", "add", "bob@example.test", "--password-stdin", typed=typed)
        for name in ("ann", "bob"):
            self.assertTrue(verify_password(self.secret(name)[1], "correct horse battery"), name)

    def test_a_bad_line_is_named_by_its_number_and_the_others_are_added(self) -> None:
        """Comments and empty lines count, but add nothing."""
        self.add_domain()
        text = (
            b"\xef\xbb\xbf# from the old server\n\n"
            b"ann@example.test correct horse battery\r\n"
            b"bob@example.test short\n"
            b"carol\n"
            b"c rol@example.test correct horse battery\n"
            b"ann@example.test correct horse battery\n"
            b"dave@other.test correct horse battery\n"
            b"\xff@example.test correct horse battery\n" + b"x" * 9000 + b"\n"
            b"erin@example.test {SHA512-CRYPT}broken\n"
            b"frank@example.test another horse battery"
        )
        report = self.add(text, Exit.DATA)
        self.assertEqual(report["added"], ["ann@example.test", "frank@example.test"])
        problems = {each["line"]: each["problem"] for each in report["refused"]}
        for number, words in {
            4: "the password has 5 characters",
            5: "found one word",
            6: "no mail address",
            7: "already exists",
            8: "there is no domain other.test",
            9: "not UTF-8",
            10: "longer than 8192 octets",
            11: "no known form",
        }.items():
            self.assertIn(words, problems.pop(number))
        self.assertEqual(problems, {})
        self.assertEqual(self.addresses(), ["ann@example.test", "frank@example.test"])
        self.assertTrue(verify_password(self.secret("ann")[1], "correct horse battery"))
        _, out, err = self.run_it("user", "add", "--file", "-", typed=b"gina@example.test correct horse battery\nx\n")
        self.assertEqual(out, "")
        self.assertIn("emailsys: line 2: found one word", err)
        self.assertIn("added 1 account; 1 line refused", err)

    def test_hashes_of_another_program_are_imported(self) -> None:
        """With a space, as in Dovecot's passwd-file with further fields, with a bar, and as JSON."""
        self.add_domain()
        lines = (
            f"ann@example.test {HASH}",
            f"bob@example.test:{HASH}:1000:1000::/home/bob::",
            json.dumps({"address": "carol@example.test", "hash": HASH}),
            "dave@example.test:{PLAIN}correct horse battery:1000",
            # The accounts file of docker-mailserver.
            f"erin@example.test|{HASH}",
            f"frank@example.test|{HASH}|userdb_mail=maildir:/mail",
        )
        self.add("\n".join(lines).encode())
        for name in ("ann", "bob", "carol", "erin", "frank"):
            self.assertEqual(self.secret(name), ("imported", HASH))
        self.assertTrue(verify_password(self.secret("dave")[1], "correct horse battery"))

    def test_a_hash_without_the_name_of_its_scheme_is_not_taken_for_a_password(self) -> None:
        """Whoever can read the old file could log in with it. A hash of an unknown kind is refused."""
        self.add_domain()
        lines = (
            f"ann@example.test:{CRYPT}:1000:1000::/home/ann::",
            f"bob@example.test {CRYPT}",
            f"erin@example.test: {CRYPT}",
            "carol@example.test:$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o:1000",
            f"dave@example.test {hash_password('correct horse battery')}",
        )
        report = self.add("\n".join(lines).encode(), Exit.DATA)
        self.assertEqual([each["line"] for each in report["refused"]], [4])
        self.assertIn("no known form", report["refused"][0]["problem"])
        for name in ("ann", "bob", "erin"):
            self.assertEqual(self.secret(name), ("imported", CRYPT))
        self.assertTrue(verify_password(self.secret("dave")[1], "correct horse battery"))

    def test_a_hash_without_a_name_is_refused_and_not_taken_for_a_password(self) -> None:
        """DES, and MD5 and SHA in hexadecimal digits: everyone who can read the old file could log in with them."""
        self.add_domain()
        refused = (
            "a@example.test:rl.3StKT.4T8M:1000:1000::/home/a::",
            "b@example.test:_9G..8147mpcfKT8g0U.",
            "c@example.test 5ebe2294ecd0e0f08eab7690d2a6ee69",
            "d@example.test:5EBE2294ECD0E0F08EAB7690D2A6EE69",
            "e@example.test e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4",
            f"f@example.test {'2b' * 32}",
            f"g@example.test:{'2b' * 64}:1000",
            "h@example.test *14E65567ABDB5135D0CFD9A70B3032C179A49EE7",
        )
        accepted = (
            "i@example.test rl.3StKT.4T8M",
            "j@example.test:{PLAIN}rl.3StKT.4T8M",
            "k@example.test {PLAIN}5ebe2294ecd0e0f08eab7690d2a6ee69",
        )
        report = self.add("\n".join((*refused, *accepted)).encode(), Exit.DATA)
        self.assertEqual([each["line"] for each in report["refused"]], list(range(1, 9)))
        for each in report["refused"]:
            self.assertIn("write {PLAIN} before it", each["problem"])
        self.assertTrue(verify_password(self.secret("i")[1], "rl.3StKT.4T8M"))
        self.assertTrue(verify_password(self.secret("j")[1], "rl.3StKT.4T8M"))
        self.assertTrue(verify_password(self.secret("k")[1], "5ebe2294ecd0e0f08eab7690d2a6ee69"))

    def test_a_password_after_a_space_can_have_colons(self) -> None:
        """Only the lines of a passwd-file have further fields."""
        self.add_domain()
        self.add(b"ann@example.test {PLAIN}correct horse:battery\nbob@example.test correct horse:battery\n")
        for name in ("ann", "bob"):
            self.assertTrue(verify_password(self.secret(name)[1], "correct horse:battery"), name)

    def test_an_array_of_json_is_read_too(self) -> None:
        """The number is the position in it."""
        self.add_domain()
        good = {"address": "ann@example.test", "password": "correct horse battery"}
        rows = [good, 7, {**good, "quota": "1"}, {"address": "bob@example.test"}, {**good, "password": 7}]
        report = self.add(json.dumps(rows).encode(), Exit.DATA)
        self.assertEqual(report["added"], ["ann@example.test"])
        self.assertEqual([each["line"] for each in report["refused"]], [2, 3, 4, 5])
        self.assertIn("'quota'; allowed: address, password, hash", report["refused"][1]["problem"])
        self.assertIn("malformed", self.refused(Exit.DATA, "user", "add", "--file", "-", typed=b"[1,"))

    def test_two_hundred_accounts_are_three_commits(self) -> None:
        """Each request fits into what the control socket takes."""
        self.add_domain()
        sent: list[int] = []

        def count(where: Any, request: Any) -> Any:
            sent.append(len(request.rows))
            self.assertLess(len(json.dumps(request.as_json())), 64 * 1024)
            return administer(where, request)

        self.patch(bulk, "administer", count)
        self.add("".join(f"u{number}@example.test {HASH}\n" for number in range(201)).encode())
        self.assertEqual(sent, [100, 100, 1])
        self.assertEqual(len(self.addresses()), 201)
        sent.clear()
        self.patch(bulk, "_OCTETS_AT_ONCE", 1024)
        self.add("".join(f"v{number}@example.test {HASH}\n" for number in range(20)).encode())
        self.assertEqual(sum(sent), 20)
        self.assertGreater(len(sent), 1)

    def test_rows_added_before_a_failure_are_reported(self) -> None:
        """The lines after it can be given again."""
        self.add_domain()
        calls = iter((True, False))

        def fail_later(where: Any, request: Any) -> Any:
            if next(calls):
                return administer(where, request)
            raise Refused("the daemon did not answer", Exit.UNAVAILABLE)

        self.patch(bulk, "administer", fail_later)
        text = "".join(f"u{number}@example.test {HASH}\n" for number in range(250)).encode()
        report = self.add(text, Exit.UNAVAILABLE)
        self.assertEqual(len(report["added"]), 100)
        self.assertEqual([each["line"] for each in report["refused"]], list(range(101, 251)))
        self.assertIn("did not answer", report["refused"][0]["problem"])
        self.assertIn("not tried", report["refused"][-1]["problem"])

    def test_domains_come_from_a_file_too(self) -> None:
        """The first one creates the store."""
        third = json.dumps({"name": "b.test", "postmaster": "ann@example.test"})
        text = f"example.test ann@example.test\nexa_mple\n{third}\nc.test x\n".encode()
        ended, out, _ = self.run_it("domain", "add", "--file", "-", "--json", typed=text)
        self.assertEqual(ended, Exit.DATA)
        self.assertEqual(json.loads(out)["added"], ["example.test", "b.test"])
        refused = json.loads(out)["refused"]
        self.assertEqual([each["line"] for each in refused], [2, 4])
        self.assertIn("found 1 word; allowed", refused[0]["problem"])
        self.assertEqual(len(json.loads(self.fine("domain", "list", "--json"))), 2)

    def test_a_file_stands_alone(self) -> None:
        """Neither with an address nor with a source of passwords."""
        path = Path(self.mktemp())
        path.write_bytes(b"")
        for words in (
            ("user", "add"),
            ("user", "add", "ann@example.test", "--file", str(path)),
            ("user", "add", "--file", str(path), "--password-stdin"),
            ("domain", "add"),
            ("domain", "add", "example.test", "--file", str(path)),
            ("domain", "add", "--file", str(path), "--postmaster", "ann@example.test"),
            ("user", "add", "--file", "/nowhere/accounts.txt"),
        ):
            self.refused(Exit.USAGE, *words)
        self.add_domain()
        self.assertIn("added 0 accounts", self.run_it("user", "add", "--file", str(path))[2])
