"""Files that older programs wrote into the text can be saved, and the text is shown without their lines."""

from __future__ import annotations

import binascii
import zlib

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.compose.draft import Draft
from emailsys.client.compose.reopened_draft import draft_of
from emailsys.client.display.message import find_part, view
from emailsys.mail.message.mime import parse

DATA = bytes(range(256))
HEAD = b"From: ann@a.test\r\nDate: 1 Nov 2026 10:00:00 +0000\r\nContent-Type: text/plain; charset=latin1\r\n\r\n"


def uuencoded(name: bytes, data: bytes = DATA) -> bytes:
    lines = b"".join(binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))
    return (b"begin 644 " + name + b"\n" + lines + b"`\nend\n").replace(b"\n", b"\r\n")


def yencoded(name: bytes, data: bytes = DATA, crc: int | None = None) -> bytes:
    moved = ((octet + 42) % 256 for octet in data)
    lines = b"".join(b"=" + bytes(((one + 64) % 256,)) if one in b"\0\n\r=" else bytes((one,)) for one in moved)
    end = b"=yend size=%d crc32=%08x\r\n" % (len(data), zlib.crc32(data) if crc is None else crc)
    return (
        b"=ybegin line=128 size=%d name=%s\r\n" % (len(data), name) + lines[:90] + b"\r\n" + lines[90:] + b"\r\n" + end
    )


class FilesInText(SynchronousTestCase):
    def test_they_are_attachments_and_the_text_around_them_is_the_text(self) -> None:
        for encoded in (uuencoded, yencoded):
            octets = (
                HEAD + b"Gr\xfc\xdfe\r\n" + encoded(b"a b.gif") + b"\r\nand\r\n" + encoded(b"c.bin") + b"\r\nBye\r\n"
            )
            seen = view(octets)
            self.assertEqual(seen.body.split(), ["Grüße", "and", "Bye"])
            files = [(one.number, one.name, one.content_type, one.content()) for one in seen.attachments]
            self.assertEqual(
                files,
                [("1.2", "a b.gif", "image/gif", DATA), ("1.4", "c.bin", "application/octet-stream", DATA)],
            )
            self.assertEqual(seen.defects, ())
            found = find_part(octets, "1.4")
            self.assertEqual(found and found.content(), DATA)

    def test_parts_follow_each_other_and_lie_in_the_text(self) -> None:
        root = parse(HEAD + uuencoded(b"a") + uuencoded(b"b") + b"x")
        self.assertEqual([part.number for part in root.walk()], ["1", "1.1", "1.2", "1.3"])
        places = [(part.start, part.end) for part in root.parts]
        self.assertEqual([begin for begin, _ in places], [root.body_start, *(end for _, end in places[:-1])])
        self.assertEqual(places[-1][1], root.end)

    def test_damage_is_told(self) -> None:
        (file,) = view(HEAD + yencoded(b"a", crc=1)).attachments
        self.assertIn("checksum is wrong", file.defects[0])
        (file,) = view(HEAD + yencoded(b"a").replace(b"=yend size=256", b"=yend size=300")).attachments
        self.assertIn("256 octets, where 300 are stated", file.defects[0])

    def test_a_piece_of_a_file_is_told(self) -> None:
        piece = yencoded(b"a").replace(b"name=a\r\n", b"name=a\r\n=ypart begin=1 end=256\r\n")
        (file,) = view(HEAD + piece).attachments
        self.assertEqual((file.content(), file.defects[0][:19]), (DATA, "one piece of a file"))

    def test_text_that_only_looks_like_a_file_stays_text(self) -> None:
        for text in (
            b"begin 644 my.txt\r\nis how such a file begins\r\nend\r\n",
            b"begin 644 a\r\nNOT LINES\r\nOF DATA, BUT WORDS\r\nend\r\n",
            uuencoded(b"a").replace(b"end\r\n", b""),
            b"=ybegin line=128 size=3 name=a\r\nabc\r\n",
            b"> " + uuencoded(b"a").replace(b"\r\n", b"\r\n> "),
        ):
            root = parse(HEAD + text)
            self.assertTrue(root.is_leaf, text)
            self.assertEqual(view(HEAD + text).attachments, ())

    def test_a_draft_keeps_them_as_they_were_typed(self) -> None:
        draft: Draft = draft_of(HEAD + b"See:\r\n" + uuencoded(b"a"), is_draft=True)
        self.assertIn("begin 644 a\n", draft.body)
        self.assertEqual(list(draft.attachments), [])
