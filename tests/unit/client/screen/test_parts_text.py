"""The parts of a message, and its defects, as V lists them."""

from __future__ import annotations

import re
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.display.message import safe_structure, view
from emailsys.client.screen.message_pieces import pieces
from emailsys.client.screen.parts_text import parts_text

DAMAGED: Final = (
    b"From: a@b.test\r\nTo: c at d.test\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/plain; charset=no-such\r\n\r\n\xe4\r\n"
    b"--x\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n"
)


class DefectsTests(SynchronousTestCase):
    def test_the_reader_counts_defects_and_v_lists_each_of_them_once(self) -> None:
        seen = view(DAMAGED)
        self.assertGreater(len(seen.defects), 4)
        shown = "".join(str(piece.text) for piece in pieces(seen, seen.headers))
        self.assertTrue(shown.endswith(f"\n{len(seen.defects)} defects. V lists them.\n"), shown)
        listed = re.findall("defect: (.*)", str(parts_text(safe_structure(DAMAGED), seen.defects)))
        self.assertEqual(
            sorted(re.sub(r"^part [0-9.]+: ", "", one) for one in listed),
            sorted(re.sub(r"^part [0-9.]+: ", "", one) for one in seen.defects),
        )

    def test_a_part_has_its_number_type_and_sizes_on_a_line(self) -> None:
        lines = str(parts_text(safe_structure(DAMAGED))).splitlines()
        self.assertEqual(lines[0].split()[:2], ["1", "multipart/mixed"])
        (text,) = (line for line in lines if line.startswith("  1.1 "))
        self.assertIn("text/plain  no-such", text)
