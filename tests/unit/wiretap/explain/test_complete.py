"""The tables of explanations are complete: the code is walked for what this system can send or receive."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

import emailsys
from emailsys.wire.pop3 import grammar as pop3_grammar
from emailsys.wire.sasl import MECHANISMS
from emailsys.wire.smtp.order import NOT_IMPLEMENTED, OUT_OF_ORDER
from emailsys.wiretap import explain, masking
from emailsys.wiretap.conversation import Kind
from emailsys.wiretap.explain.tables import table
from emailsys.wiretap.tls.names import MESSAGES

HOUSE: Final = Path(emailsys.__file__).parent
TABLES: Final = ("smtp", "pop3", "status", "sasl", "tls", "events")
ENHANCED: Final = re.compile(r"[245]\.(\d{1,3}\.\d{1,3})")
RESPONSE: Final = re.compile(r"\[([A-Z-]{3,}(?:/[A-Z-]+)*)\] ")


def trees(*below: str) -> Iterator[ast.Module]:
    """The syntax trees of the modules in some folders of the house, all of them by default."""
    for folder in below or ("",):
        for path in sorted((HOUSE / folder).rglob("*.py")):
            if "wiretap" not in path.parts:
                yield ast.parse(path.read_text("utf-8"))


def constants(tree: ast.AST) -> Iterator[str]:
    """The texts in a tree, octets among them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")


def function(path: str, name: str) -> ast.AST:
    """A function or method of a module."""
    tree = ast.parse((HOUSE / path).read_text("utf-8"))
    return next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)


def entries(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries of a table, each with its path."""
    if isinstance(value, dict) and "title" in value:
        yield path, value
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from entries(below, f"{path}.{key}")


class CompleteTests(SynchronousTestCase):
    """Whoever adds a verb, a code or an extension explains it."""

    def assertExplained(self, used: set[str], explained: Any, expected: str) -> None:
        """Each word has an entry; `expected` is one that the walk has to find."""
        self.assertIn(expected, used)
        self.assertEqual(sorted(used - set(explained)), [])

    def test_verbs_of_smtp(self) -> None:
        """Those that are implemented, and those that are refused as not implemented."""
        self.assertExplained({*OUT_OF_ORDER, *NOT_IMPLEMENTED}, table("smtp")["command"], "STARTTLS")

    def test_verbs_of_pop3(self) -> None:
        """All of the grammar."""
        self.assertExplained({verb.decode() for verb in pop3_grammar._VERBS}, table("pop3")["command"], "RETR")

    def test_keywords_of_ehlo(self) -> None:
        """What the session offers, and what the client looks for at other hosts."""
        offered = {text for text in constants(function("net/smtp/session.py", "extensions")) if text.isupper()}
        wanted = {
            text
            for tree in trees("wire/smtp")
            for node in ast.walk(tree)
            if isinstance(node, ast.Compare) and "offered" in ast.unparse(node)
            for text in constants(node)
        }
        self.assertIn("SIZE", wanted)
        self.assertExplained(offered | wanted, table("smtp")["extension"], "CHUNKING")

    def test_keywords_of_capa(self) -> None:
        """What the session offers before the login and after it."""
        found = constants(function("net/pop3/authorization_state.py", "capabilities"))
        self.assertExplained(
            {text.split()[0] for text in found if re.match(r"[A-Z][A-Z0-9-]+( |$)", text)},
            table("pop3")["extension"],
            "EXPIRE",
        )

    def test_parameters_of_mail_and_rcpt(self) -> None:
        """What the grammar knows."""
        compared = [
            node
            for tree in [ast.parse((HOUSE / "wire/smtp/grammar.py").read_text("utf-8"))]
            for node in ast.walk(tree)
            if isinstance(node, ast.Compare) and ast.unparse(node.left) == "keyword"
        ]
        self.assertExplained({text for node in compared for text in constants(node)}, table("smtp")["parameter"], "RET")

    def test_reply_codes_of_smtp(self) -> None:
        """Each code of a `Reply` anywhere."""
        codes = {
            str(node.args[0].value)
            for tree in trees()
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func).split(".")[-1] == "Reply"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        }
        self.assertExplained(codes, table("smtp")["reply"], "556")

    def test_enhanced_status_codes(self) -> None:
        """Each text of the code that is one."""
        texts = {text for tree in trees() for text in constants(tree)}
        codes = {found[1] for found in map(ENHANCED.fullmatch, texts) if found}
        self.assertExplained(codes, table("status")["code"], "7.10")

    def test_response_codes_of_pop3(self) -> None:
        """In the texts of errors."""
        texts = [text for tree in trees("net/pop3", "wire/pop3", "client/fetch") for text in constants(tree)]
        self.assertExplained(
            {code for text in texts for code in RESPONSE.findall(text)}, table("pop3")["response"], "IN-USE"
        )

    def test_sasl_mechanisms(self) -> None:
        """Those of the server, and those that the client writes."""
        written = {
            text.split()[1]
            for tree in trees("wire")
            for text in constants(tree)
            if re.match(r"AUTH [A-Z0-9-]+( |\r|$)", text)
        }
        self.assertIn("XOAUTH2", written)
        self.assertExplained(written | set(MECHANISMS), table("sasl")["mechanism"], "PLAIN")

    def test_messages_of_tls(self) -> None:
        """Those that the parser of handshakes names, and what it makes of others."""
        for name in (*MESSAGES.values(), "HelloRetryRequest", "ChangeCipherSpec", "alert bad_certificate"):
            self.assertNotEqual(explain.message(name).title, "TLS message", name)
        self.assertEqual(explain.message("alert x"), explain.message("Alert"))
        self.assertIn("encrypted", explain.message("encrypted record").title)

    def test_what_the_recorder_shows(self) -> None:
        """Each verb and each mechanism that it does not mask."""
        verbs = {verb.decode() for verb in masking._VERBS}
        self.assertExplained(verbs, {*table("smtp")["command"], *table("pop3")["command"]}, "RCPT")
        names = {name.decode() for name in masking._MECHANISMS}
        self.assertExplained(names, table("sasl")["mechanism"], "SCRAM-SHA-256")
        self.assertEqual(set(table("events")["event"]) | {"command", "reply"}, {kind.value for kind in Kind})

    def test_every_status_line_of_pop3(self) -> None:
        """RFC 1939 §3 and RFC 5034 §4 know three."""
        self.assertEqual(set(table("pop3")["reply"]), {"+OK", "-ERR", "+"})

    def test_words_for_one_command_name_a_command(self) -> None:
        """A misspelt verb in the table would never be found."""
        for protocol in ("smtp", "pop3"):
            known = table(protocol)
            replies = known["reply"].values()
            named = {verb for entry in replies for kind in ("after", "next") for verb in entry.get(kind, {})}
            self.assertEqual(sorted(named - set(known["command"]) - {""}), [])


class WordingTests(SynchronousTestCase):
    """Each entry can be read."""

    def test_every_entry_is_whole(self) -> None:
        """Title, meaning and standard; commands and replies say what may follow."""
        for name in TABLES:
            for path, entry in entries(table(name), name):
                self.assertTrue(entry["title"].strip() and entry["meaning"].endswith("."), path)
                self.assertRegex(entry["rfc"], r"^(RFC \d{3,4}( (§[\d.]+|appendix [A-Z](\.\d)?))?|draft-|MS-)", path)
                if ".command." in path or ".reply." in path:
                    self.assertTrue(entry["follows"].endswith("."), path)

    def test_every_standard_has_a_title(self) -> None:
        """And every title belongs to a standard that an explanation names."""
        named = {
            found[1]
            for name in TABLES
            for _, entry in entries(table(name), name)
            if (found := re.match(r"RFC (\d+)", entry["rfc"]))
        }
        titles = table("rfc")["rfc"]
        self.assertEqual(named - titles.keys(), set())
        self.assertEqual(titles.keys() - named, set())
        self.assertEqual(explain.mechanism("LOGIN").standard, "draft-murchison-sasl-login")
        told = explain.command("smtp", "MAIL FROM:<a@b> SIZE=9")
        self.assertEqual(told.standard, "RFC 5321 §4.1.1.2 (Simple Mail Transfer Protocol)")
        self.assertEqual(told.standards, {5321, 1870})
        self.assertEqual(told.parts[0].standard, "RFC 1870 §6 (SMTP Service Extension for Message Size Declaration)")

    def test_sentences_are_short(self) -> None:
        """One idea each, at most 25 words."""
        long = [
            f"{path}: {sentence}"
            for name in TABLES
            for path, entry in entries(table(name), name)
            for text in (
                entry["meaning"],
                entry.get("follows", ""),
                *entry.get("after", {}).values(),
                *entry.get("next", {}).values(),
            )
            for sentence in re.split(r"(?<=[.?]) ", text)
            if len(sentence.split()) > 25
        ]
        self.assertEqual(long, [])
