"""Text with the commands of text/enriched and text/richtext is shown without them, and no word is lost."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.text.message_text import plain_text
from emailsys.mail.message.mime import parse


def shown(kind: str, text: str) -> tuple[str, list[str]]:
    return plain_text(parse(f"Content-Type: text/{kind}\r\n\r\n{text}".encode()), 10_000)


class Enriched(SynchronousTestCase):
    def test_commands_are_left_out_and_lines_are_joined(self) -> None:
        text = "<bold>Now</bold> is the\r\ntime for <italic>all</italic>.\r\n\r\nAnd <<this> is no command."
        self.assertEqual(shown("enriched", text), ("Now is the time for all.\nAnd <this> is no command.", []))

    def test_parameters_are_not_for_the_reader(self) -> None:
        self.assertEqual(shown("enriched", "<color><param>red</param>warm</color> words"), ("warm words", []))

    def test_lines_that_are_not_filled_stay(self) -> None:
        self.assertEqual(shown("enriched", "a\r\nb<nofill>\r\nc\r\nd</nofill>"), ("a b\nc\nd", []))

    def test_a_parameter_that_never_ends_hides_nothing(self) -> None:
        text, defects = shown("enriched", "before <param>and after")
        self.assertEqual(text, "before and after")
        self.assertIn("never closed", defects[0])

    def test_less_than_signs_that_begin_no_command_stay(self) -> None:
        self.assertEqual(
            shown("enriched", "1 < 2, a <b c> d, <https://x.example/>")[0], "1 < 2, a <b c> d, <https://x.example/>"
        )

    def test_richtext_has_commands_for_lines(self) -> None:
        text = "one<nl>two\r\nthree <lt>4<comment>secret</comment><paragraph>five</paragraph>"
        self.assertEqual(shown("richtext", text), ("one\ntwo three <4\n\nfive\n\n", []))
