"""Single lines and whole conversations are explained."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wiretap import explain
from emailsys.wiretap.conversation import Event, Kind


def titles(protocol: str, *lines: str) -> list[str]:
    """The meanings of a dialogue's lines, each of them marked C or S."""
    events = [Event(0, Kind.COMMAND if line[0] == "C" else Kind.REPLY, line[2:].strip()) for line in lines]
    return [f"{one.title}. {one.meaning}" for _, one in explain.explained(protocol, events)]


class LineTests(SynchronousTestCase):
    """A command or a reply by itself."""

    def test_parameters_of_a_command(self) -> None:
        """A path that looks like one is none."""
        found = explain.command("submission", "MAIL FROM:<SIZE=1@example.org> SIZE=12 BODY=8BITMIME")
        self.assertEqual([part.word for part in found.parts], ["SIZE=12", "BODY=8BITMIME"])
        self.assertEqual(explain.command("pop3s", "auth plain [masked]").parts[0].rfc, "RFC 4616")

    def test_a_reply_means_what_it_answers(self) -> None:
        """The same code after DATA, after RCPT, and without knowing."""
        self.assertIn("responsible", explain.reply("smtp", "250 2.0.0 queued", "DATA").meaning)
        self.assertIn("recipient", explain.reply("smtp", "250 ok", "RCPT TO:<a@example.org>").meaning)
        self.assertEqual(explain.reply("smtp", "250 ok").meaning, "The command was carried out.")
        self.assertIn("greet", explain.reply("pop3", "+OK ready", "").meaning)
        self.assertIn("handshake", explain.reply("smtp", "220 2.0.0 ready", "STARTTLS").follows)
        self.assertIn("EHLO", explain.reply("smtp", "220 mail.example", "").follows)

    def test_codes_within_a_reply(self) -> None:
        """Enhanced status codes, and response codes of POP3."""
        status = explain.reply("smtp", "550 5.7.1 no", "RCPT").parts[0]
        self.assertEqual((status.word, status.rfc), ("5.7.1", "RFC 3463 §3.8"))
        self.assertIn("permanent", status.meaning)
        self.assertEqual(explain.reply("pop3", "-ERR [in-use] no", "PASS").parts[0].rfc, "RFC 2449 §8.1.2")

    def test_what_no_table_knows(self) -> None:
        """Codes by their digits, everything else by a word."""
        self.assertIn("connection", explain.reply("smtp", "529 x", "DATA").meaning)
        self.assertEqual(explain.reply("smtp", "529 5.7.999 x").parts[0].word, "5.7.999")
        self.assertEqual(explain.reply("pop3", "-ERR [X-NEW/A] x").parts[0].word, "[X-NEW/A]")
        for line in ("", " ", "\0", "<script>", "999 x", "2", "250", "é" * 5000):
            for protocol in ("smtp", "pop3", ""):
                self.assertTrue(explain.command(protocol, line).meaning)
                self.assertTrue(explain.reply(protocol, line, line).meaning)
                self.assertTrue(explain.reply(protocol, line, "EHLO x", is_first=False).meaning)
        self.assertTrue(explain.message("Nothing").meaning)


class ConversationTests(SynchronousTestCase):
    """A reply is matched with its command."""

    def test_pipelined_commands(self) -> None:
        """Replies come in the order of the commands; the one to DATA has two halves."""
        found = titles(
            "smtp",
            "S 220 mail.example ESMTP",
            "C EHLO a.example",
            "S 250-mail.example",
            "S 250 SIZE 100",
            "C MAIL FROM:<>",
            "C RCPT TO:<a@b.example>",
            "C DATA",
            "S 250 2.1.0 ok",
            "S 550 5.1.1 no",
            "S 354 go",
            "S 250 2.0.0 queued",
            "C QUIT",
            "S 221 bye",
        )
        expected = "greets;name;name;Largest;reverse;forward;message;sender;recipient;waits;responsible;done;ends"
        for words, meaning in zip(expected.split(";"), found, strict=False):
            self.assertIn(words, meaning)

    def test_login_in_several_lines(self) -> None:
        """A line after a challenge is no command, and the end of the login answers AUTH."""
        found = titles(
            "submission",
            "S 220 x",
            "C AUTH LOGIN",
            "S 334 VXNlcm5hbWU6",
            "C [masked]",
            "S 334 UGFzc3dvcmQ6",
            "C *",
            "S 501 5.7.0 cancelled",
            "C NOOP",
            "S 250 ok",
        )
        self.assertIn("Answer to a challenge", found[3])
        self.assertIn("Cancel", found[5])
        self.assertIn("login was cancelled", found[6])
        self.assertIn("Nothing was done", found[8])

    def test_lists_of_pop3(self) -> None:
        """CAPA and LIST have more lines; LIST with a number and AUTH with a mechanism have none."""
        found = titles(
            "pop3",
            "S +OK ready",
            "C CAPA",
            "S +OK",
            "S EXPIRE NEVER",
            "S SASL PLAIN",
            "S .",
            "C AUTH PLAIN",
            "S + ",
            "C [masked]",
            "S +OK logged in",
            "C LIST 1",
            "S +OK 1 120",
            "C LIST",
            "S +OK",
            "S 1 120",
            "S .",
            "C QUIT",
            "S +OK bye",
        )
        expected = (
            "greets;what the server can do;capabilities follow;kept;AUTH;dot;mechanism;Challenge;Answer;maildrop;"
            "size;size;size;size;line of the list;dot;removes;goodbye"
        )
        for words, meaning in zip(expected.split(";"), found, strict=True):
            self.assertIn(words, meaning)

    def test_events_without_octets(self) -> None:
        """Each kind has an explanation."""
        for kind in Kind:
            ((_, found),) = explain.explained("smtp", [Event(0, kind, "x", details={"message": "Finished"})])
            self.assertTrue(found.meaning, kind)
