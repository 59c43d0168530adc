"""Nothing of a message is lost: each leaf is text, alternative or attachment, and text that is there is shown."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.text.message_text import plain_text, read_text
from emailsys.mail.message.contents import Contents, contents
from emailsys.mail.message.mime import Part, parse
from emailsys.mail.message.structure import cid_links

_TYPES: Final = st.sampled_from(
    (
        *(
            "",
            "text/plain",
            "text/html",
            "text/html",
            "text/calendar",
            "text/csv; name=a.csv",
            "text/plain; name=a.txt",
        ),
        *("image/png; name=a.png", "application/pdf", "application/octet-stream; name=winmail.dat", "text/enriched"),
    )
)
_DISPOSITIONS: Final = st.sampled_from(("", "", "inline", "attachment", "attachment; filename=b.txt"))
_BODIES: Final = st.sampled_from(
    ("", "  \r\n", "words", "<p>rich", "<p>&nbsp;</p>", '<img src="cid:one@x">', "<style>x</style>", "=C3=BC", "--x")
)
_IDS: Final = st.sampled_from(("", "", "<one@x>", "<two@x>"))
_CONTAINERS: Final = st.sampled_from(("mixed", "alternative", "related", "digest", "signed", "report", "parallel"))


@st.composite
def _leaves(draw: st.DrawFn) -> bytes:
    head = [
        f"{name}: {value}"
        for name, strategy in (
            ("Content-Type", _TYPES),
            ("Content-Disposition", _DISPOSITIONS),
            ("Content-ID", _IDS),
        )
        if (value := draw(strategy))
    ]
    return "\r\n".join([*head, "", draw(_BODIES)]).encode()


def _containers(children: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    @st.composite
    def wrapped(draw: st.DrawFn) -> bytes:
        parts = draw(st.lists(children, max_size=4))
        if len(parts) == 1 and draw(st.booleans()):
            head = b"Content-Disposition: attachment\r\n" if draw(st.booleans()) else b""
            return b"Content-Type: message/rfc822\r\n" + head + b"\r\nSubject: within\r\n" + parts[0]
        # A boundary within another one may not begin with it.
        edge = f"b{draw(st.integers(0, 99_999)):05}".encode()
        head = b"Content-Type: multipart/" + draw(_CONTAINERS).encode() + b"; boundary=" + edge + b"\r\n\r\n"
        return head + b"".join(b"--" + edge + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + edge + b"--\r\n"

    return wrapped()


MESSAGES: Final = st.recursive(_leaves(), _containers, max_leaves=12)


def _all(found: Contents) -> Iterator[Part]:
    yield from (*found.texts, *found.alternatives, *found.attachments)
    for part, inner in found.inside:
        yield part
        yield from _all(inner)


class NothingIsLost(SynchronousTestCase):
    def check(self, octets: bytes) -> None:
        """Check the three invariants of a message."""
        root = parse(octets)
        for prefer_html in (False, True):
            found = contents(root, prefer_html)
            listed = {id(part) for part in _all(found)}
            for part in found.attachments:
                listed |= {id(one) for one in part.walk()} if part.level else set()
            for part in root.walk():
                self.assertTrue(not part.is_leaf or id(part) in listed, (octets, part))
            if found.alternatives:
                self.assertTrue(found.texts or found.inside or found.attachments, octets)
            text = read_text(root, 10_000, prefer_html)[0]
            if not text.strip():
                for part in root.walk():
                    if part.is_leaf and part.content_type.startswith("text/"):
                        self.assertEqual(plain_text(part, 10_000)[0].strip(), "", (octets, part))
            referred = {
                one for part in root.walk() if part.content_type == "text/html" for one in cid_links(part.text()[0])
            }
            for part in found.inline:
                self.assertIn(part.content_id, referred)
                self.assertIn(part, found.attachments)

    @settings(deadline=None, max_examples=150)
    @given(MESSAGES)
    def test_of_any_tree(self, octets: bytes) -> None:
        self.check(b"From: a@b.example\r\n" + octets)

    def test_of_the_messages_that_python_is_tested_with(self) -> None:
        paths = sorted(Path(sysconfig.get_path("stdlib"), "test", "test_email", "data").glob("*.txt"))
        if not paths:
            self.skipTest("the tests of Python itself are not installed")
        for path in paths:
            self.check(path.read_bytes())
