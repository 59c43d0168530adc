"""Decoding of pictures: usual formats, and files that are refused before they take memory."""

from __future__ import annotations

import io
import struct
import warnings
from typing import Any

from PIL import Image
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.display import picture_decoding
from emailsys.client.display.picture_decoding import decode_picture


def drawn(kind: str, size: tuple[int, int] = (64, 40), mode: str = "RGB", **how: Any) -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **how)
    return file.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG file whose header claims another size."""
    octets = drawn("PNG")
    return octets[:16] + struct.pack(">II", width, height) + octets[24:]


class DecodingTests(SynchronousTestCase):
    def test_usual_formats_are_decoded_in_the_size_in_which_they_are_shown(self) -> None:
        for kind, size, mode, expected in (
            ("PNG", (64, 40), "RGBA", ((64, 40), "RGBA")),
            ("PNG", (64, 40), "1", ((64, 40), "RGB")),
            ("GIF", (64, 40), "P", ((64, 40), "RGB")),
            ("WEBP", (64, 40), "RGB", ((64, 40), "RGB")),
            ("BMP", (64, 40), "RGB", ((64, 40), "RGB")),
            ("JPEG", (2560, 800), "CMYK", ((640, 200), "RGB")),
            ("PNG", (40, 4000), "L", ((4, 400), "RGB")),
        ):
            image = decode_picture(drawn(kind, size, mode))
            assert image is not None, kind
            self.assertEqual((image.size, image.mode), expected, kind)

    def test_what_is_no_picture_or_claims_a_giant_size_is_not_decoded(self) -> None:
        """Nor are other formats of Pillow: some run programs, or read other files."""
        for name, octets in (
            ("nothing", b""),
            ("text", b"a text"),
            ("damaged", drawn("PNG", (600, 400))[:90]),
            ("giant", claiming(50_000, 50_000)),
            ("wrong checksum", claiming(60, 40)),
            ("another format", drawn("TIFF")),
            ("a line", drawn("PNG", (600, 2))),
            ("a spacer", drawn("GIF", (1, 1), "P")),
            ("a script", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        ):
            self.assertIsNone(decode_picture(octets), name)

    def test_a_photo_stands_upright(self) -> None:
        """A camera that was turned writes so into the file. Other threads keep their filters of warnings."""
        turned = Image.Exif()
        turned[0x0112] = 6
        filters = [*warnings.filters]
        during: list[bool] = []
        opened = Image.open

        def watched(*how: Any, **more: Any) -> Any:
            during.append(warnings.filters == filters)
            return opened(*how, **more)

        self.patch(Image, "open", watched)
        image = decode_picture(drawn("JPEG", exif=turned))
        assert image is not None
        self.assertEqual((image.size, during), ((40, 64), [True]))

    def test_a_giant_is_refused_without_pillow(self) -> None:
        """Its pixels and its octets are counted before anything reads them."""
        self.patch(Image, "open", lambda *how, **more: self.fail("it was opened"))
        self.assertIsNone(decode_picture(claiming(50_000, 50_000)))
        self.patch(picture_decoding, "MAX_OCTETS", 50)
        self.assertIsNone(decode_picture(drawn("PNG")))
