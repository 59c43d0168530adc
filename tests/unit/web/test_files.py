"""Attachments in a browser: which of them it shows, and how they are saved."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes.net.web_house import WebHouse
from tests.unit.web.mail import PNG, logged_in, put, with_parts


class FileTests(SynchronousTestCase):
    """Attachments."""

    def test_only_pictures_and_pdf_are_shown_by_their_octets(self) -> None:
        """HTML that calls itself a picture is saved. Nothing is shown because its sender says so."""
        house = WebHouse()
        kinds = [
            ("image/png", PNG, "image/png"),
            ("text/html", PNG, "image/png"),
            ("image/png", b"<html><script>alert(1)</script>", "application/octet-stream"),
            ("image/svg+xml", b"<svg onload='alert(1)'/>", "application/octet-stream"),
            ("application/pdf", b"%PDF-1.7", "application/pdf"),
            ("text/html", b"<script>alert(1)</script>", "application/octet-stream"),
        ]
        parts = [(f"Content-Type: {kind}\r\nContent-Disposition: attachment", octets) for kind, octets, _ in kinds]
        uid = put(house, with_parts(*parts))
        browser = logged_in(house)
        for number, (_, octets, shown) in enumerate(kinds, start=1):
            page = browser.get(f"/mail/0/{uid}/show/1.{number}")
            self.assertEqual((page.header("Content-Type"), page.body), (shown, octets))
            policy = page.header("Content-Security-Policy")
            self.assertIn("default-src 'none'", policy)
            # Browsers show a picture with styles of their own, and whatever it is, it runs nothing.
            self.assertEqual("style-src 'unsafe-inline'" in policy, "octet-stream" not in shown)
            self.assertEqual("sandbox" in policy, "pdf" not in shown)
            saved = browser.get(f"/mail/0/{uid}/part/1.{number}")
            self.assertEqual(saved.header("Content-Type"), "application/octet-stream")
            self.assertTrue(saved.header("Content-Disposition").startswith("attachment;"))
        for wrong in ("1.9", "0", "../1", "1.1.1", "x", "1" * 500):
            self.assertEqual(browser.get(f"/mail/0/{uid}/part/{wrong}").code, 404, wrong)

    def test_no_name_of_a_file_breaks_a_header_or_leaves_its_folder(self) -> None:
        """Quotes, line ends, paths, and text that turns its direction."""
        house = WebHouse()
        names = (
            "../../etc/passwd",
            'a".txt',
            "a%0d%0aSet-Cookie:x=1.txt",
            "%E2%80%AEgpj.exe",
            "CON",
            "é.pdf",
            "a%3Bb",
            "",
        )
        disposition = "Content-Type: text/csv\r\nContent-Disposition: attachment; filename*=utf-8''"
        parts = [(f"{disposition}{name}", b"x") for name in names]
        uid = put(house, with_parts(*parts))
        browser = logged_in(house)
        for position in range(1, len(names) + 1):
            page = browser.get(f"/mail/0/{uid}/part/1.{position}")
            self.assertEqual(page.code, 200)
            self.assertNotIn("x=1.txt", str(page.headers.get("set-cookie", "")))
            self.assertRegex(
                page.header("Content-Disposition"),
                r"""\Aattachment; filename="[^"/\\]*"; filename\*=UTF-8''[-\w.~%]*\Z""",
            )
