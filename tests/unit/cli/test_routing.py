"""The operator's commands for aliases, routes and quotas, on a store while no daemon runs."""

from __future__ import annotations

import json

from emailsys.config.exit_status import Exit
from tests.unit.cli.operations_case import OperationsCase


class RoutingTests(OperationsCase):
    """Aliases and routes."""

    def test_an_alias_is_set_listed_explained_and_removed(self) -> None:
        self.fine("alias", "set", "sales@example.test", "ann@example.test", "zoe@elsewhere.example")
        self.fine("alias", "set", "@example.test", "sales@example.test")
        names = {row["name"]: row["targets"] for row in self.told("alias", "list", "example.test")}
        self.assertEqual(names["sales@example.test"], ["ann@example.test", "zoe@elsewhere.example"])
        self.assertEqual(names["@example.test"], ["sales@example.test"])
        text = self.fine("route", "explain", "anybody@example.test")
        self.assertIn("the catch-all of its domain is sales@example.test", text)
        self.assertIn("zoe@elsewhere.example goes to elsewhere.example", text)
        self.fine("alias", "remove", "@example.test")
        self.assertIn("550 5.1.1", self.fine("route", "explain", "anybody@example.test"))
        self.assertIn("no alias", self.refused(Exit.DATA, "alias", "remove", "@example.test"))
        self.refused(Exit.USAGE, "alias", "set", "@not a domain", "ann@example.test")

    def test_a_target_is_added_to_an_alias_and_taken_from_it(self) -> None:
        name, ann, zoe = "sales@example.test", "ann@example.test", "zoe@elsewhere.example"
        self.assertEqual(self.told("alias", "add", name, ann), {"name": name, "targets": [ann]})
        self.assertEqual(self.told("alias", "add", name, zoe, ann), {"name": name, "targets": [ann, zoe]})
        self.assertIn("is not a target of", self.refused(Exit.DATA, "alias", "remove", name, "bob@elsewhere.example"))
        self.assertEqual(self.told("alias", "remove", name, ann), {"name": name, "targets": [zoe]})
        _, _, err = self.run_it("alias", "remove", name, zoe)
        self.assertIn(f"removed {name}", err)
        self.assertNotIn(name, [row["name"] for row in self.told("alias", "list")])

    def test_commands_that_change_something_answer_with_json(self) -> None:
        bob = "bob@other.test"
        piped = b"correct horse battery\n"
        for words, typed, expected in (
            ("domain add other.test --postmaster ann@example.test", b"", ("postmaster", "ann@example.test")),
            ("domain quota other.test 1GiB", b"", ("quota", 1 << 30)),
            (f"user add {bob} --password-stdin", piped, ("address", bob)),
            (f"user password {bob} --password-stdin", piped, ("address", bob)),
            (f"user disable {bob}", b"", ("enabled", False)),
            (f"user enable {bob}", b"", ("enabled", True)),
            (f"user quota {bob} none", b"", ("quota", 0)),
            (f"user remove {bob}", b"", ("removed", bob)),
            ("domain remove other.test", b"", ("removed", "other.test")),
            ("route set smtp.example.net --to other.test", b"", ("to", "other.test")),
            ("route remove --to other.test", b"", ("removed", {"to": "other.test", "from": None})),
            ("alias set sales@example.test ann@example.test", b"", ("targets", ["ann@example.test"])),
            ("alias remove sales@example.test", b"", ("targets", [])),
        ):
            told = json.loads(self.fine(*words.split(), "--json", typed=typed))
            self.assertEqual(told[expected[0]], expected[1], words)

    def test_a_route_is_set_with_its_login_and_never_tells_the_password(self) -> None:
        self.fine(
            "route", "set", "smtp.provider.example", "--port", "587", "--tls", "verified", "--username", "me",
            "--password-stdin", typed=b"a secret of ours\n",
        )  # fmt: skip
        self.fine("route", "set", "192.0.2.7", "--to", "partner.example")
        self.fine("route", "set", "lmtp:/run/lmtp", "--to", "zoo.example")
        self.assertIn("/run/lmtp", self.fine("route", "explain", "ann@zoo.example"))
        self.refused(Exit.DATA, "route", "set", "lmtp:/run/lmtp", "--tls", "required")
        everything, partner, zoo = sorted(self.told("route", "list"), key=lambda row: row["to"] or "")
        self.assertEqual((everything["host"], everything["username"]), ("smtp.provider.example", "me"))
        self.assertEqual((partner["host"], partner["port"]), ("[192.0.2.7]", 25))
        self.assertEqual((zoo["host"], zoo["port"], zoo["tls"]), ("lmtp:/run/lmtp", 24, "none"))
        self.assertNotIn("a secret", self.fine("route", "list"))
        said = self.run_it("route", "set", "192.0.2.7", "--to", "partner.example")[2]
        self.assertIn("warning: outbound.enabled: false; no route is used, and mail to other systems waits", said)
        text = self.fine("route", "explain", "bob@other.example", "--from", "ann@example.test")
        self.assertIn("goes to [smtp.provider.example]:587 (TLS verified, logged in as me)", text)
        found = self.told("route", "explain", "bob@partner.example")
        self.assertEqual(found["next_hops"][0]["next_hop"], "[192.0.2.7]")
        self.fine("route", "remove", "--to", "partner.example")
        self.assertEqual(len(self.told("route", "list")), 2)
        self.refused(Exit.DATA, "route", "set", "no host at all")
        said = self.refused(Exit.DATA, "route", "set", "a.example", "--tls", "none", "--implicit-tls")
        self.assertIn("another policy if implicit_tls is true", said)
        _, _, said = self.run_it("route", "set", "a.example", "--to", "odd.example", "--port", "465")
        self.assertIn("warning: route.implicit_tls: false; hosts expect TLS", said)
        self.fine("route", "remove", "--to", "odd.example")
        for tls, words in (
            ("none", 'warning: route.tls: "none"; no password is sent without TLS, so mail waits'),
            ("required", 'warning: route.tls: "required"; a login implies "verified"'),
        ):
            odd = ("route", "set", "a.example", "--to", "odd.example", "--tls", tls, "--username", "me")
            self.assertIn(words, self.run_it(*odd, "--password-stdin", typed=b"a secret of ours\n")[2])
        pin = ":".join(["0F"] * 32)
        row = self.told("route", "set", "a.example", "--to", "odd.example", "--certificate-fingerprint", pin)
        self.assertEqual((row["tls"], row["certificate_fingerprint"]), ("verified", "0f" * 32))
        self.refused(Exit.USAGE, "route", "set", "a.example", "--certificate-fingerprint", "0F:0F")
        self.fine("route", "remove", "--to", "odd.example")
        self.refused(Exit.DATA, "route", "set", "a.example", "--to", "no domain")

    def test_route_explain_says_that_mail_waits_while_outbound_is_off(self) -> None:
        """The embedded default sends no mail, so the MX hosts alone would mislead."""
        found = self.told("route", "explain", "bob@partner.example")
        self.assertIn("outbound.enabled", found["next_hops"][0]["problem"])
        self.assertIn("\n  mail waits: mail to other", self.fine("route", "explain", "bob@partner.example"))

    def test_a_quota_is_seen_with_how_full_the_maildrop_is(self) -> None:
        self.accept()
        for size, used, shown in (
            ("1MB", 0.0051, "0 %"),
            ("5500", 0.9247, "92 % nearly full"),
            ("1kB", 5.086, "508 % full"),
        ):
            self.fine("user", "quota", "ann@example.test", size)
            (row,) = self.told("user", "list")
            self.assertEqual(row["used"], used)
            self.assertTrue(self.fine("user", "list").endswith(f"\t{shown}\t-\n"))
        self.fine("user", "quota", "ann@example.test", "default")
        self.assertIsNone(self.told("user", "list")[0]["used"])
        self.fine("domain", "quota", "example.test", "5500")
        (domain,) = self.told("domain", "list")
        self.assertEqual((domain["octets"], domain["quota"], domain["used"]), (5086, 5500, 0.9247))
        self.assertIn("92 % nearly full", self.fine("domain", "list"))
        for size in ("0", "none"):
            for name in (["user", "quota", "ann@example.test"], ["domain", "quota", "example.test"]):
                self.assertIn(f"{name[-1]} has no limit", self.run_it(*name, size)[2])
        self.refused(Exit.USAGE, "user", "quota", "ann@example.test", "much")
        self.refused(Exit.DATA, "user", "quota", "nobody@example.test", "none")
        self.refused(Exit.DATA, "domain", "quota", "unknown.test", "none")


del OperationsCase
