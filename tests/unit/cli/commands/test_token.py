"""The commands for access tokens."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from click.shell_completion import CompletionItem, ShellComplete

from emailsys.cli.main import program
from emailsys.config.exit_status import Exit
from emailsys.config.settings import DATABASE_NAME
from emailsys.tokens import read_token
from tests.unit.cli.operations_case import OperationsCase

ANN = "ann@example.test"


class TokenTests(OperationsCase):
    def test_a_token_is_shown_once_and_only_its_digest_is_stored(self) -> None:
        status, out, err = self.run_it("token", "add", ANN, "--scope", "mail:read", "--label", "a script")
        self.assertEqual(status, 0, err)
        text = out.strip()
        found = read_token(text)
        assert found is not None
        self.assertIn(f"added token {found[0]} of {ANN}, valid until it is removed", err)
        (row,) = self.told("token", "list")
        self.assertEqual((row["token"], row["account"], row["scopes"]), (found[0], ANN, ["mail:read"]))
        self.assertEqual((row["label"], row["expires"], row["valid"]), ("a script", None, True))
        secret = text.rpartition("_")[2].encode()
        written = b"".join(path.read_bytes() for path in self.state.glob(f"{DATABASE_NAME}*"))
        self.assertNotIn(secret, written)
        self.assertIn(found[1], written)

    def test_operators_tokens_have_other_scopes(self) -> None:
        row = self.told("token", "add", "--operator", "--scope", "system:read", "--expires", "2d")
        self.assertEqual((row["account"], row["scopes"], row["valid"]), (None, ["system:read"], True))
        self.assertIsNotNone(row["expires"])
        assert read_token(row["secret"]) is not None
        self.assertIn("(operators)", self.fine("token", "list"))
        self.assertEqual(self.told("token", "list", ANN), [])
        for wrong in (
            (ANN, "--scope", "system:read"),
            ("--operator", "--scope", "mail:read"),
            ("--operator", ANN, "--scope", "system:read"),
            ("--scope", "system:read"),
            (ANN,),
            (ANN, "--scope", "everything"),
            (ANN, "--scope", "mail:read", "--expires", "0"),
        ):
            self.refused(Exit.USAGE, "token", "add", *wrong)
        self.refused(Exit.DATA, "token", "add", "zoe@example.test", "--scope", "mail:read")
        self.refused(Exit.DATA, "token", "add", ANN, "--scope", "mail:read", "--expires", "99999999999d")
        self.refused(Exit.DATA, "token", "add", ANN, "--scope", "mail:read", "--label", "a\x1bb")

    def test_a_removed_token_is_gone(self) -> None:
        row = self.told("token", "add", ANN, "--scope", "mail:send")
        self.assertIn(f"removed token {row['token']} of {ANN}", self.run_it("token", "remove", row["token"])[2])
        self.assertEqual(self.told("token", "list"), [])
        self.refused(Exit.DATA, "token", "remove", row["token"])
        self.refused(Exit.DATA, "token", "remove", "x")

    def test_the_ids_of_tokens_are_completed(self) -> None:
        row = self.told("token", "add", ANN, "--scope", "mail:send", "--label", "printer")
        found = self.completed("token", "remove", incomplete=row["token"][:2])
        self.assertEqual([(item.value, item.help) for item in found], [(row["token"], "printer")])
        self.assertEqual(self.completed("token", "remove", incomplete="x"), [])
        other = Path(self.mktemp()).absolute()
        self.assertEqual(self.completed("token", "remove", "--state", str(other)), [])

    def completed(self, *words: str, incomplete: str = "") -> list[CompletionItem]:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            found = ShellComplete(program, {}, "emailsys", "_X").get_completions(list(words), incomplete)
        self.assertEqual(err.getvalue(), "")
        return found


del OperationsCase
