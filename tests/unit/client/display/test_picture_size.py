"""The size of a picture is read from its beginning; what is damaged has none."""

from __future__ import annotations

import random
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.display.message import attachments
from emailsys.client.display.picture_size import picture_size, picture_text

PNG: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0"
GIF: Final = b"GIF89a\x80\x02\xe0\x01\xf0\0\0"
JPEG: Final = (
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    b"\xff\xdb\0\x04\xff\xc0\xff\xff\xc2\0\x11\x08\x01\xe0\x02\x80\x03\x01\x22\0"
)
WEBP: Final = {
    "extended": b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0",
    "lossless": b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + (639 | 479 << 14).to_bytes(4, "little"),
    "lossy": b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x80\x02\xe0\x01",
}
BMP: Final = b"BM" + bytes(12) + b"\x28\0\0\0\x80\x02\0\0" + (-480).to_bytes(4, "little", signed=True)


class PictureSizeTests(SynchronousTestCase):
    def test_each_format(self) -> None:
        for octets in (PNG, GIF, JPEG, *WEBP.values(), BMP):
            self.assertEqual(picture_size(octets), (640, 480), octets[:4])
        self.assertEqual(picture_text(PNG), "640x480 pixels")

    def test_a_truncated_or_damaged_picture_has_no_size(self) -> None:
        for octets in (PNG, GIF, JPEG, *WEBP.values(), BMP):
            for end in range(len(octets)):
                self.assertIn(picture_size(octets[:end]), (None, (640, 480)))
        for octets in (b"", b"<html>", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff" * 5000, PNG[:16] + bytes(8)):
            self.assertEqual(picture_text(octets), "")
        # Fill octets are skipped in one step.
        self.assertEqual(picture_size(JPEG[:2] + b"\xff" * 900_000 + JPEG[2:]), (640, 480))
        # The number of markers has a limit.
        self.assertEqual(picture_size(JPEG[:2] + b"\xff\xd0" * 500 + JPEG[2:]), (640, 480))
        self.assertIsNone(picture_size(JPEG[:2] + b"\xff\xd0" * 5_000 + JPEG[2:]))
        chance = random.Random(7)
        for start in (b"", PNG[:8], GIF[:6], JPEG[:4], WEBP["lossy"][:16], b"BM"):
            for _ in range(200):
                picture_size(start + chance.randbytes(chance.randrange(60)))

    def test_an_attachment_tells_it(self) -> None:
        octets = b"Content-Type: image/png; name=a.png\r\nContent-Disposition: attachment\r\n\r\n"
        import base64

        encoded = octets.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + base64.b64encode(PNG)
        self.assertEqual([one.kind for one in attachments(encoded)], ["image/png, 29 octets, 640x480 pixels"])
