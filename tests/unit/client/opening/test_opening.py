"""What is opened, and what never is."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.crypto.opening import Opener
from emailsys.client.crypto.values import DecryptionState, Layer, Method, Opened
from emailsys.client.opening import private_files, programs, risks
from emailsys.client.opening.links import checked, links_of, question
from emailsys.client.opening.page import page_of
from emailsys.client.opening.paths import complete_path
from emailsys.client.opening.programs import Limits
from emailsys.client.opening.values import OpeningError
from emailsys.mail.message.mime import Part, parse
from tests.unit.client.opening.recorder import Recorder

# Other programs have blocked these for long.
_NEVER_OPENED = (
    "chm settingcontent-ms library-ms search-ms inetloc fileloc mobileconfig flatpakref appinstaller rdp wsb ps1xml "
    "psd1 cdxml sct xbap pyzw diagcab msu theme xll appx msixbundle hlp job contact applescript mpkg"
)


def html_mail(html: str, picture: bytes = b"") -> bytes:
    part = b"--b\r\nContent-Type: image/png\r\nContent-ID: <one@x>\r\n\r\n" + picture + b"\r\n" if picture else b""
    return (
        b"Subject: a </title><script>x</script>\r\nContent-Type: multipart/related; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html.encode() + b"\r\n" + part + b"--b--\r\n"
    )


def page(octets: bytes, opener: Opener | None = None) -> str:
    return page_of(octets, opener or Opener(None, lambda: datetime.now(UTC)))


class LinkTests(SynchronousTestCase):
    """Links of a text."""

    def targets(self, body: str) -> dict[int, str]:
        return {one.number: one.target for one in links_of(body)}

    def test_notes_keep_their_numbers_and_other_targets_follow(self) -> None:
        body = "See https://a.example/x. And [2]\n(mailto:b@c.example)\n\n[1] https://one.example/\n[2] https://two.example/?a=b\n"
        self.assertEqual(
            self.targets(body),
            {
                1: "https://one.example/",
                2: "https://two.example/?a=b",
                3: "https://a.example/x",
                4: "mailto:b@c.example",
            },
        )

    def test_notes_of_one_target_keep_all_their_numbers(self) -> None:
        body = "https://a.example/ [1] [4]\nhttps://b.example/\n\n[1] https://a.example/\n[4] https://a.example/\n"
        self.assertEqual(
            self.targets(body), {1: "https://a.example/", 4: "https://a.example/", 5: "https://b.example/"}
        )
        many = "".join(f"[{one}] https://a.example/\n" for one in range(1, 5_000))
        self.assertEqual(len(links_of(many)), 2_000)

    def test_signs_of_the_sentence_are_no_part_of_a_target(self) -> None:
        for text, target in {
            "(https://a.example/b_(c))": "https://a.example/b_(c)",
            "<https://a.example>": "https://a.example",
            '"https://a.example/?q=1",': "https://a.example/?q=1",
            "https://a.example/x?y!": "https://a.example/x?y",
            "*https://a.example/*": "https://a.example/",
        }.items():
            self.assertEqual(self.targets(text), {1: target}, text)
        # Linear: a target that ends in many signs took minutes.
        self.assertEqual(self.targets("https://a.example/" + ").]" * 100_000), {1: "https://a.example/"})
        self.assertEqual(self.targets("javascript:x file:///etc/passwd ftp://x xhttps://y"), {})
        self.assertEqual(len(links_of("https://a.example/ " * 5_000)), 1)
        self.assertLessEqual(len(links_of(" ".join(f"https://a.example/{one}" for one in range(5_000)))), 2_000)

    def test_only_the_web_is_opened(self) -> None:
        """A mailto: link is for the composer."""
        for fine in ("http://a.example", "HTTPS://a.example/x"):
            self.assertEqual(checked(fine), fine)
        for wrong in (
            *(
                "javascript:alert(1)",
                "mailto:a@b.example",
                "file:///etc/passwd",
                "data:text/html,x",
                "https:///x",
                "https://[x",
                "--help",
                "",
            ),
            *("https://a.example/\u202egnp", "https://a.example/a b", "https://a.example/" + "x" * 9_000),
        ):
            self.assertRaises(OpeningError, checked, wrong)

    def test_all_programs_take_the_host_of_the_question(self) -> None:
        """Browsers read a backslash as a slash, decode "%2e", and take numbers of all kinds for addresses."""
        body = "[1] https://evil.example\\@bank.example/\n"
        for wrong in (
            self.targets(body)[1],
            "https:\\\\evil.example/",
            "https:evil.example",
            "https:///evil.example",
            "https://bank.example@evil.example@bank.example/",
            "https://evil.example<@bank.example/",
            "https://evil%2eexample/",
            "https://evil.example%2f.bank.example/",
            "https://bank.example;.evil.example/",
            "https://bank.example:443x/",
            "https://bank.example,evil.example/",
            *(f"https://bank.example{sign}.evil.example/" for sign in "\uff0f\uff1f\uff03\uff3c\uff05\uff1a\u2100"),
            "https://bank\u00ad.example/",
            "https://bank.ex\tample/",
            "https://3232235521/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://\uff11\uff12\uff17.0.0.1/",
            "https://[fe80::1%25eth0]/",
            "https://[::1]@evil.example/",
        ):
            self.assertRaises(OpeningError, checked, wrong)
        for fine in (
            "https://a.example:8443/x?y=a,b;c&d=\u00e9",
            "https://192.0.2.1/",
            "https://[2001:db8::1]:80/",
            "https://\u043f\u0440\u0438\u043c\u0435\u04401.\u0440\u0444/",
            "https://b\u00fccher\u3002example/",
            "https://user@a_b.example.",
        ):
            self.assertEqual(checked(fine), fine)
        self.assertEqual(
            checked('https://a.example/?q={"a"|`b`^<c>}'), "https://a.example/?q=%7B%22a%22%7C%60b%60%5E%3Cc%3E%7D"
        )
        self.assertTrue(question("https://bank.example:443@evil.example:81/").endswith("Host: evil.example, port 81"))
        self.assertIn("(bank.example.evil.example)", question("https://bank.example\u3002evil.example/"))

    def test_the_question_shows_the_whole_target_and_the_host(self) -> None:
        """A name before the host, and letters that look like others, deceive no reader."""
        target = "https://bank.example@evil.example/" + "x" * 500
        self.assertIn(target, question(target))
        self.assertTrue(question(target).endswith("Host: evil.example"))
        self.assertIn("xn--", question("https://b\u0430nk.example/"))
        self.assertIn("no name of a host", question("https://b\u2764\u2764.\u0378/"))


class PageTests(SynchronousTestCase):
    """The HTML for a browser."""

    def test_nothing_runs_and_nothing_is_loaded(self) -> None:
        text = page(
            html_mail(
                "<base href='http://e/'><meta http-equiv=refresh content='0;url=http://e'><script>s()</script>"
                "<style>@import 'http://e';p{}</style><link rel=stylesheet href='http://e'><form action='http://e'>"
                "<input name=a></form><iframe src='http://e'></iframe><object data='http://e'></object><embed src='http://e'>"
                "<img src='http://e/pixel.png' srcset='http://e 2x' onerror=s()><svg onload=s()><image href='http://e'/></svg>"
                "<p style='color:red;background:url(http://e);position:fixed' onclick=s()>Hello</p>"
                "<table background='http://e'><tr><td>cell</table><video src='http://e' poster='http://e'></video>"
                "<a href='javascript:s()'>j</a> <a href='/relative'>r</a> <a href='https://fine.example/'>f</a>"
                "<img src='data:image/svg+xml,<svg onload=s()>'><img src='file:///etc/passwd'>"
                "<a href='data:text/html,x'>d</a>"
            )
        )
        head, _, body = text.partition("<body>")
        self.assertNotRegex(
            body, r"(?i)http://e|script|s\(\)|<form|<input|<style|position|url\(|data:|file:|srcset|relative"
        )
        self.assertIn('style="color:red"', body)
        self.assertIn('href="https://fine.example/"', body)
        self.assertIn("Hello", body)
        self.assertIn("Content-Security-Policy", head)
        self.assertIn("default-src 'none'; img-src data:", head)
        self.assertIn('<meta http-equiv="x-dns-prefetch-control" content="off">', head)
        # The subject is text.
        self.assertEqual(re.findall("<(/?\\w+)", head)[-3:], ["title", "/title", "/head"])

    def test_pictures_of_the_message_are_in_the_page(self) -> None:
        text = page(html_mail("<img src='cid:one@x' alt=A><img src='cid:one%40x'><img src='cid:none'>", b"PNG"))
        self.assertEqual(text.count('src="data:image/png;base64,UE5H"'), 2)
        self.assertNotIn("cid:", text)

    def test_html_of_an_attachment_or_of_a_message_inside_is_no_page(self) -> None:
        """The message says something else, and the page would have its subject."""
        inner = b"Content-Type: message/rfc822\r\n\r\nContent-Type: text/html\r\n\r\n<b>inner</b>\r\n"
        file = (
            b"Content-Type: text/html\r\nContent-Disposition: attachment; filename=report.html\r\n\r\n<b>file</b>\r\n"
        )
        head = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        plain, html = b"\r\ntext\r\n", b"Content-Type: text/html\r\n\r\n<i>outer</i>\r\n"
        for other in (inner, file):
            self.assertRaises(OpeningError, page, head + b"--b\r\n" + plain + b"--b\r\n" + other + b"--b--\r\n")
            shown = page(head + b"--b\r\n" + other + b"--b\r\n" + html + b"--b--\r\n")
            self.assertIn("<i>outer</i>", shown)
        both = head.replace(b"mixed", b"alternative") + b"--b\r\n" + plain + b"--b\r\n" + html + b"--b--\r\n"
        self.assertIn("<i>outer</i>", page(both))

    def test_without_html_there_is_no_page(self) -> None:
        self.assertRaises(OpeningError, page, b"Subject: x\r\n\r\ntext\r\n")
        for broken in (b"Content-Type: text/html\r\n\r\n", b"Content-Type: text/html\r\n\r\n<p" + b"<" * 10_000):
            self.assertIn("Content-Security-Policy", page(broken))
        many = "".join(f"<font color={n}>" for n in range(200))
        self.assertLess(len(page(html_mail(f"<div>{many}</div>" + "<div>x</div>" * 2000))), 100_000)

    def test_encrypted_html_is_opened_or_said_to_be_closed(self) -> None:
        octets = (
            b"Content-Type: multipart/encrypted; boundary=b; protocol=application/pgp-encrypted\r\n\r\n"
            b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
            b"--b\r\nContent-Type: application/octet-stream\r\n\r\nx\r\n--b--\r\n"
        )
        self.assertIn("encrypted", str(self.assertRaises(OpeningError, page, octets)))

        class Decrypts(Opener):
            def open(self, root: Part) -> Opened:
                layer = Layer("1", Method.OPENPGP, DecryptionState.DECRYPTED)
                return Opened(parse(html_mail("<p>Secret")), [layer])

        self.assertIn("Secret", page(octets, Decrypts(None, lambda: datetime.now(UTC))))


class RiskTests(SynchronousTestCase):
    """Attachments."""

    def test_programs_are_refused_by_name_type_and_beginning(self) -> None:
        for name, kind, octets in (
            ("a.exe", "application/pdf", b""),
            ("invoice.pdf.EXE", "application/pdf", b""),
            ("a.desktop", "text/plain", b""),
            ("a.js", "text/plain", b""),
            ("a.exe.", "text/plain", b""),
            ("a", "application/x-sh", b""),
            ("a.pdf", "application/pdf", b"MZ\x90"),
            ("a.txt", "text/plain", b"#!/bin/sh\n"),
            ("a.txt", "text/plain", b"\n [Desktop Entry]\n"),
            ("a.jpg", "image/jpeg", b"\x7fELF"),
            *((f"a.{one}", "application/octet-stream", b"x") for one in _NEVER_OPENED.split()),
        ):
            self.assertIn("not opened", risks.refusal(name, kind, octets), name)
        for name, kind in (
            ("a.pdf", "application/pdf"),
            ("a.jpg", "image/jpeg"),
            ("a.txt", "text/plain"),
            ("a", "x/y"),
        ):
            self.assertEqual(risks.refusal(name, kind, b"text"), "")

    def test_what_can_run_code_is_warned_of(self) -> None:
        for name, kind in (
            ("a.html", "x/y"),
            ("a.docm", "x/y"),
            ("a.SVG", "x/y"),
            ("a.bin", "text/html"),
            ("a", "x/y"),
            *((f"a.{one}", "application/octet-stream") for one in ("slk", "iqy", "one", "mdb", "accdb", "pub", "cer")),
        ):
            self.assertNotEqual(risks.warning(name, kind), "", name)
        for name in ("a.pdf", "a.png", "a.txt", "a.odt", "a.docx"):
            self.assertEqual(risks.warning(name, "x/y"), "")


class ProgramTests(SynchronousTestCase):
    """Commands of the user's and of the system's."""

    def test_no_shell_and_no_option_comes_from_a_target(self) -> None:
        recorder = Recorder(self)
        target = "https://a.example/$(touch x)`y`;&|'\"%s"
        programs.start(programs.for_link(target))
        os.environ["BROWSER"] = f"no-such-program{os.pathsep}browser --new '%s' x"
        programs.start(programs.for_link(target))
        os.environ["BROWSER"] = "'unclosed"
        programs.start(programs.for_link("https://b.example"))
        self.assertEqual(recorder.told[:2], [["browser", target], ["browser", "--new", target, "x"]])
        self.assertEqual(recorder.told[2][1:], ["https://b.example"])
        self.assertIn(recorder.told[2][0], ("xdg-open", "open"))

    def test_a_command_for_a_shell_gets_no_signs_of_the_shell(self) -> None:
        """Then the next entry of $BROWSER opens the target."""
        Recorder(self)
        os.environ["BROWSER"] = f"sh -c 'browser %s'{os.pathsep}browser --new"
        fine, wrong = "https://a.example/x_1.html#y", "https://a.example/a;id;'b$(id)`"
        self.assertEqual(programs.for_link(wrong).command, ("browser", "--new", wrong))
        os.environ["BROWSER"] = "sh -c 'browser %s'"
        self.assertEqual(programs.for_link(wrong), programs.for_file(wrong))
        self.assertEqual(programs.for_link(fine[:-2]).command, ("sh", "-c", f"browser {fine[:-2]}"))
        os.environ["BROWSER"] = "browser --open=%s"
        self.assertEqual(programs.for_link(wrong).command, ("browser", f"--open={wrong}"))

    def test_a_browser_for_the_terminal_gets_it(self) -> None:
        recorder = Recorder(self)
        (recorder.folder / "browser").rename(recorder.folder / "w3m")
        os.environ["BROWSER"] = "w3m"
        self.assertTrue(programs.for_link("https://a.example").needs_terminal)
        programs.start(programs.for_link("https://a.example"))
        self.assertEqual(len(recorder.told), 1)

    def test_failures_are_reported(self) -> None:
        Recorder(self, status=3)
        for program in (programs.for_link("https://a.example"), programs.Program(("/no/such/program",))):
            self.assertRaises(OpeningError, programs.start, program)
        for line in ("", "  ", "'x"):
            self.assertRaises(OpeningError, programs.words_of, line)
        error = self.assertRaises(OpeningError, programs.feed, ("sh", "-c", "cat; printf '\\033[2J'; exit 4"), b"in")
        self.assertIn("exit status 4. in\u241b[2J", str(error))
        self.assertEqual(programs.feed(("cat",), b"\x00octets"), b"\x00octets")

    def test_a_command_is_waited_for_and_not_what_it_leaves_running(self) -> None:
        """It need not read, either, and in the full screen it cannot reach the terminal."""
        left = int(programs.feed(("sh", "-c", "sleep 30 & echo $!"), b"in"))
        # It still runs.
        os.kill(left, signal.SIGTERM)
        self.assertEqual(programs.feed(("true",), b"x" * 1_000_000), b"")
        limits = Limits(60, 1_000, Event())
        own = (sys.executable, "-c", "import os; print(os.getsid(0) == os.getpid())")
        self.assertEqual(programs.feed(own, b"", limits), b"True\n")

    def test_a_command_is_stopped_with_its_programs(self) -> None:
        self.patch(programs, "_LOOKS_EVERY", 0.05)
        over = Event()
        over.set()
        for command, limits, reason in (
            ("yes", Limits(60, 1_000, Event()), "it printed more than 1,000 octets"),
            ("sleep 60; true", Limits(0, 1_000, Event()), "it took more than 0 seconds"),
            ("trap '' TERM; sleep 60; sleep 60", Limits(60, 1_000, over), "the program ends"),
        ):
            error = self.assertRaises(OpeningError, programs.feed, ("sh", "-c", command), b"", limits)
            self.assertIn(f"was stopped: {reason}", str(error))
        # In the terminal, too: it would fill the memory. Programs that the command leaves running end with it.
        self.patch(programs, "_MAX_OUTPUT", 1_000)
        for endless in ("yes", "yes & wait", "yes &"):
            error = self.assertRaises(OpeningError, programs.feed, ("sh", "-c", endless), b"")
            self.assertIn("more than 1,000 octets", str(error))
        self.assertEqual(len(programs.feed(("head", "-c", "1000", "/dev/zero"), b"")), 1_000)

    def test_windows_opens_a_target_without_a_command_line(self) -> None:
        self.patch(os, "environ", {})
        self.patch(sys, "platform", "win32")
        with patch.object(os, "startfile", create=True) as startfile:
            programs.start(programs.for_link("https://a.example/x,y"))
        startfile.assert_called_once_with("https://a.example/x,y")


class PrivateFileTests(SynchronousTestCase):
    """Copies for other programs."""

    def test_a_copy_is_private_and_removed_after_a_day(self) -> None:
        state = Path(self.mktemp())
        path = private_files.put(state, "a.pdf", b"x", private_files.READ_ONLY)
        self.assertTrue(path.is_absolute())
        self.assertEqual((path.name, path.read_bytes()), ("a.pdf", b"x"))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o400)
        for folder in (path.parent, path.parent.parent):
            self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
        again = private_files.put(state, "a.pdf", b"y", private_files.PRIVATE)
        self.assertEqual((path.read_bytes(), again.read_bytes()), (b"x", b"y"))
        later = time.time() + 86_402
        modes: list[int] = []
        remove = shutil.rmtree

        def removed(folder: str, ignore_errors: bool) -> None:
            modes.extend(stat.S_IMODE(one.stat().st_mode) for one in Path(folder).iterdir())
            remove(folder, ignore_errors=ignore_errors)

        self.patch(shutil, "rmtree", removed)
        private_files.sweep(state, lambda: later)
        # Windows removes no file that is only for reading.
        self.assertEqual(modes, [0o600, 0o600])
        self.assertEqual(list((state / "opened").iterdir()), [])
        private_files.sweep(Path(self.mktemp()))

    def test_paths_are_completed_as_far_as_is_certain(self) -> None:
        folder = Path(self.mktemp()).absolute()
        for name in ("Documents", "Downloads", "other", ".hidden"):
            (folder / name).mkdir(parents=True)
        (folder / "Download.txt").touch()
        self.assertEqual(
            complete_path(f"{folder}/Do", only_folders=True), (f"{folder}/Do", ["Documents/", "Downloads/"])
        )
        self.assertEqual(complete_path(f"{folder}/Dow", only_folders=True), (f"{folder}/Downloads/", ["Downloads/"]))
        self.assertEqual(complete_path(f"{folder}/Dow")[0], f"{folder}/Download")
        self.assertEqual(complete_path(f"{folder}/.")[0], f"{folder}/.hidden/")
        self.assertEqual(complete_path(f"{folder}/none"), (f"{folder}/none", ()))
        self.assertEqual(complete_path("~nobody-there/x"), ("~nobody-there/x", ()))
        self.patch(os, "environ", {**os.environ, "HOME": str(folder)})
        self.assertEqual(complete_path("~"), ("~/", ()))
        self.assertEqual(complete_path("~/ot")[0], "~/other/")
