"""`emailsys mail import` of a large mbox: CPU and wall time of the whole program, and the size of the index.

python -m benchmarks.mail_import [--messages 100000] [--folder PATH]

No two messages are equal. They are of six kinds: short letters, answers with quoted text, letters of mailing lists,
newsletters in text and HTML, letters in UTF-8 (quoted-printable or base64), and letters with an attached file.
"""

from __future__ import annotations

import argparse
import base64
import os
import quopri
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from emailsys.client.archive.archive import INDEX
from emailsys.mail.trace_fields import date_time

BEGIN: Final = datetime(2015, 1, 1, tzinfo=UTC)
SYLLABLES: Final = (
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ha",
    "je",
    "ki",
    "lo",
    "mu",
    "na",
    "pe",
    "ri",
    "so",
    "tu",
    "ver",
    "ing",
)
ACCENTS: Final = "äöüßéèñçåø"


class Corpus:
    """Messages from a seed: the same ones in each run."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._words = [
            "".join(self._chance.choices(SYLLABLES, k=1 + at % 4)) + str(at % 7) * (at % 9 == 0) for at in range(40_000)
        ]
        self._kinds: tuple[Callable[[], tuple[str, str]], ...] = (
            self._letter,
            self._answer,
            self._list,
            self._newsletter,
            self._unicode,
            self._attached,
        )

    def _text(self, words: int) -> str:
        # Few words are frequent, and most are rare, as in real text.
        found = [self._words[int(self._chance.paretovariate(0.7)) % len(self._words)] for _ in range(words)]
        return "\n".join(" ".join(found[at : at + 11]) for at in range(0, words, 11))

    def _length(self) -> int:
        return min(2_000, int(20 * self._chance.paretovariate(0.9)))

    def _letter(self) -> tuple[str, str]:
        return "Content-Type: text/plain; charset=us-ascii\n", f"Hello,\n\n{self._text(self._length())}\n"

    def _answer(self) -> tuple[str, str]:
        quoted = "\n".join(f"> {line}" for line in self._text(self._length()).split("\n"))
        return "", f"On Monday somebody wrote:\n{quoted}\n\n{self._text(30)}\n-- \nA name\n"

    def _list(self) -> tuple[str, str]:
        received = "".join(
            f"Received: from host{at}.example.net (host{at}.example.net [192.0.2.{at}])\n\tby mx.example.org with "
            f"ESMTPS id {self._chance.getrandbits(48):x};\n\tMon, 5 Jan 2015 10:00:0{at} +0000\n"
            for at in range(4)
        )
        signature = f"DKIM-Signature: v=1; a=rsa-sha256; b={'Ab9' * 60}\n"
        fields = f"{received}List-Id: Talk <talk.example.net>\nPrecedence: list\n{signature}"
        return fields, f"{self._text(self._length() + 40)}\n_____\nTalk mailing list\nhttps://example.net/talk\n"

    def _newsletter(self) -> tuple[str, str]:
        text = self._text(120)
        rows = "".join(
            f'<tr><td style="padding: 4px; color: #333"><a href="https://shop.example/{self._chance.getrandbits(40):x}">'
            f"{line}</a></td><td><img src='cid:x' alt='picture'></td></tr>\n"
            for line in text.split("\n")
        )
        style = "<style>td { margin: 0 } .no { display: none }</style>"
        html = f"<html><head>{style}</head><body><table>{rows}</table></body></html>"
        parts = (
            f"--b\nContent-Type: text/plain\n\n{text}\n--b\nContent-Type: text/html; charset=utf-8\n\n{html}\n--b--\n"
        )
        return "MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b\n", parts

    def _unicode(self) -> tuple[str, str]:
        text = f"{self._text(self._length())}\n".replace("a", self._chance.choice(ACCENTS)).encode()
        way, body = self._chance.choice((("base64", base64.encodebytes), ("quoted-printable", quopri.encodestring)))
        fields = f"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {way}\n"
        return fields, body(text).decode()

    def _attached(self) -> tuple[str, str]:
        file = base64.encodebytes(self._chance.randbytes(self._chance.choice((500, 3_000, 20_000)))).decode()
        parts = (
            f"--b\nContent-Type: text/plain\n\n{self._text(40)}\n--b\nContent-Type: application/pdf; name=plan.pdf\n"
            f'Content-Disposition: attachment; filename="plan {self._text(2)}.pdf"\n'
            "Content-Transfer-Encoding: base64\n\n"
            f"{file}--b--\n"
        )
        return "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n", parts

    def message(self, number: int) -> bytes:
        """Return a message with LF line ends. Four of five answer the one before."""
        person = int(self._chance.paretovariate(0.8)) % 3_000
        references = f"References: <{number - 1}@x.test>\nIn-Reply-To: <{number - 1}@x.test>\n" if number % 5 else ""
        fields, body = self._chance.choice(self._kinds)()
        name = self._words[person].title()
        return (
            f"Return-Path: <p{person}@x.test>\nFrom: {name} {self._words[person + 7]} <p{person}@x.test>\n"
            f"To: Alice <alice@example.org>\nSubject: {'Re: ' if number % 5 else ''}{self._text(5)}\n"
            f"Message-ID: <{number}@x.test>\n{references}Date: {date_time(BEGIN + timedelta(minutes=50 * number))}\n"
            f"{fields}\n{body}"
        ).encode()


def write_mbox(path: Path, messages: int) -> None:
    """Write the corpus as an mbox file."""
    corpus = Corpus(14)
    with path.open("wb") as file:
        for number in range(messages):
            sent = BEGIN + timedelta(minutes=50 * number)
            octets = corpus.message(number).replace(b"\nFrom ", b"\n>From ")
            file.write(f"From p@x.test {sent:%a %b %d %H:%M:%S %Y}\n".encode() + octets + b"\n")


def main() -> None:
    """Print CPU and wall seconds, and the sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to make a folder for the mail; it is removed at the end")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        home = Path(place)
        for name in ("CONFIG", "DATA", "STATE"):
            os.environ[f"XDG_{name}_HOME"] = str(home / name.lower())
        mbox = home / "old.mbox"
        write_mbox(mbox, arguments.messages)
        program = [sys.executable, "-m", "emailsys", "mail"]
        servers = ["--pop3", "none", "--smtp", "none"]
        subprocess.run([*program, "account", "add", "alice@example.org", "--name", "alice", *servers], check=True)
        before = os.times()
        began = time.monotonic()
        subprocess.run([*program, "import", str(mbox)], check=True)
        wall = time.monotonic() - began
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        index = next(home.rglob(INDEX)).stat().st_size
        size = mbox.stat().st_size
        print(
            f"{arguments.messages:,} messages, {size / 1e6:.1f} MB: {wall:.1f} s, CPU {cpu:.1f} s, "
            f"{1_000 * cpu / arguments.messages:.2f} ms of CPU a message; index {index / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    main()
