"""Decoding of the pictures of a message, with limits that are checked before anything is decoded."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from emailsys.client.display.picture_size import picture_size

if TYPE_CHECKING:
    from PIL.Image import Image

# The formats of which the size is known beforehand. Pillow knows dozens more, which mail hardly uses.
_FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
# Octets of a file, and pixels of a picture: a small file can claim billions.
MAX_OCTETS: Final = 20_000_000
MAX_PIXELS: Final = 30_000_000
# Pixels of what is shown: 64 columns and 20 lines of a common terminal.
_SHOWN: Final = (640, 400)
# Pixels of the shorter side of what is not shown: lines and spacers.
_TINY: Final = 3


def is_small_enough(octets: bytes) -> bool:
    """Whether a file may be decoded: it is a picture of a usual format, and its header claims no giant size."""
    size = picture_size(octets[:MAX_OCTETS]) if len(octets) <= MAX_OCTETS else None
    return size is not None and size[0] * size[1] <= MAX_PIXELS


def decode_picture(octets: bytes) -> Image | None:
    """Return the first image of a file, reduced to the size in which it is shown. Blocks.

    None: it is no picture of a usual format, is damaged, is too large to be decoded, or is only a line.
    """
    if not is_small_enough(octets):
        return None
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(octets), formats=_FORMATS) as opened:
            # What Pillow found counts: it need not be what the header said to us.
            if opened.width * opened.height > MAX_PIXELS:
                return None
            # JPEG files are decoded in a smaller size.
            opened.draft("RGB", _SHOWN)
            shown = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
        # Cameras say in the file which side is up.
        ImageOps.exif_transpose(shown, in_place=True)
        shown.thumbnail(_SHOWN)
    except Exception:
        # Decoders of damaged files raise anything. The text describes the picture.
        return None
    return shown if min(shown.size) > _TINY else None
