"""Pages in a real browser look as the pictures of the documents show them: the same run makes both.

`EMAILSYS_DRAW_PICTURES=1 trial tests.live.server.test_web_pictures` makes the pictures again.
"""

from __future__ import annotations

import os
import smtplib
from email.message import EmailMessage
from pathlib import Path

from PIL import Image, ImageChops, ImageStat
from twisted.trial.unittest import SynchronousTestCase

from emailsys.wiretap.export import octets_of_page, page_of
from tests.live.programs.browser import Browser
from tests.live.programs.daemon import Daemon
from tests.live.programs.installed import needs
from tests.pictures import FOLDER
from tests.ports import free_ports
from tests.unit.wiretap.export.samples import hostile, poster

# Pixels of a side of the squares whose colours are compared: letters of another font have about the same.
_SQUARE = 24
# How much two pictures of one page differ at most, of 255: another font, other times of day.
_SAME = 6.0


def difference(one: Path, other: Path) -> float:
    """Compare the colours of squares of two pictures. Returns 255 for pictures of different sizes."""
    with Image.open(one) as first, Image.open(other) as second:
        if first.size != second.size:
            return 255.0
        size = (max(1, first.width // _SQUARE), max(1, first.height // _SQUARE))
        coarse = [picture.convert("RGB").resize(size, Image.Resampling.BOX) for picture in (first, second)]
    channels = ImageStat.Stat(ImageChops.difference(*coarse)).rms
    return float(sum(channels) / len(channels))


class PictureTests(SynchronousTestCase):
    """Each compares pages with pictures in docs/pictures."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.browser = Browser(self.folder / "home", 1000, 640)
        self.addCleanup(self.browser.close)

    def compare(self, name: str, selector: str = "") -> None:
        """Compare what the browser shows with a picture."""
        made = self.folder / name
        self.browser.picture(made, selector)
        if os.environ.get("EMAILSYS_DRAW_PICTURES"):
            with Image.open(made) as picture:
                picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(FOLDER / name, optimize=True)
        self.assertLess(difference(made, FOLDER / name), _SAME, f"{name} is not what {made} shows")

    @needs("chromium", "bash")
    def test_an_exported_page(self) -> None:
        """Its first sequence diagram. Other colours and another conversation are noticed."""
        browser, drawing = self.browser, "svg.wide, .wide svg"
        for number, (title, blocks) in enumerate((("Page", poster()), ("Other", hostile("<b>")))):
            page = self.folder / f"{number}.html"
            page.write_bytes(octets_of_page(page_of(title, blocks)))
            browser.resize(1000, 900)
            browser.prefer("light")
            browser.open(page.as_uri())
            # The window is as high as the page, so that it has no scroll bar, which would move what is in the middle.
            browser.resize(1000, browser.run("document.documentElement.scrollHeight") + 100)
            if number:
                other = self.folder / "other.png"
                browser.picture(other, drawing)
                self.assertGreater(difference(other, FOLDER / "export.png"), _SAME)
                break
            self.compare("export.png", drawing)
            browser.prefer("dark")
            dark = self.folder / "dark.png"
            browser.picture(dark, drawing)
            self.assertGreater(difference(dark, FOLDER / "export.png"), 10 * _SAME)
        self.assertEqual(browser.complaints, [])

    @needs("chromium", "bash")
    def test_inbox_and_structure(self) -> None:
        """The pictures of the README and of the page about the web face. No word of a table is cut."""
        port = free_ports(1)[0]
        daemon = Daemon(f'[web]\nlisten = ["127.0.0.1:{port}"]\n[outbound]\nenabled = false\n')
        self.addCleanup(daemon.close)
        alice = daemon.user("alice")
        with smtplib.SMTP("127.0.0.1", daemon.ports["smtp"], timeout=60) as client:
            for sender, subject in (
                ("Charles Babbage <charles@engine.example>", "The store has a thousand columns"),
                ("Grace Hopper <grace@navy.example>", "A moth in the relay"),
                ("Ada Lovelace <ada@engine.example>", "Notes, and a picture of the loop"),
            ):
                message = EmailMessage()
                message["From"], message["To"], message["Subject"] = sender, alice.address, subject
                message.set_content("Dear Alice,\n\nsee below.\n")
                message.add_alternative("<p>Dear Alice, see <b>below</b>.</p>", subtype="html")
                message.add_attachment(b"%PDF-1.4\n" * 400, maintype="application", subtype="pdf", filename="notes.pdf")
                client.send_message(message)
        browser = self.browser
        browser.resize(1000, 400)
        browser.prefer("light")
        browser.open(f"http://127.0.0.1:{port}/")
        browser.write("#name", alice.address)
        browser.write("#password", alice.password)
        browser.click("button.primary")
        browser.until("location.pathname === '/mail/0/' && document.readyState === 'complete'")
        self.compare("inbox.png")
        path = browser.run("document.querySelector('.mail > a').getAttribute('href')")
        browser.open(f"http://127.0.0.1:{port}{path}structure")
        for width in (360, 800, 1600):
            browser.resize(width, 700)
            self.assertEqual(browser.cut_words(), [], width)
            self.assertLessEqual(browser.run("document.documentElement.scrollWidth"), width)
        browser.resize(1000, 720)
        self.compare("structure.png")
        self.assertEqual(browser.complaints, [])
