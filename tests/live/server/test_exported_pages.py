"""Exported pages in a real browser: no script runs, nothing is requested, all can read them, none is too wide."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wiretap.export import octets_of_page, page_of
from tests.live.programs.browser import Browser
from tests.live.programs.installed import needs
from tests.unit.wiretap.export.samples import PAYLOADS, hostile, poster

# Widths of windows, in pixels: a telephone, a tablet, a screen.
_WIDTHS = (360, 800, 1600)
_MEASURE = """[
  document.documentElement.scrollWidth, document.title, document.scripts.length, document.images.length,
  performance.getEntriesByType("resource").length,
  document.querySelectorAll("[onload],[onerror],[onmouseover],[style],iframe,object,embed,form,base,link").length,
]"""
# axe-core: WCAG 2.2 AA, and more; each violation by its name and places.
_RULES = json.dumps({"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
_CHECK = f"""axe.run(document, {_RULES}).then(found => [
  found.passes.length, found.violations.map(one => one.id + " " + one.nodes.map(node => node.html).join(" ")),
])"""


class BrowserTests(SynchronousTestCase):
    """Debian's Chromium opens the pages."""

    @needs("chromium", "bash")
    def test_pages_are_quiet_and_fit_and_can_be_read_by_all(self) -> None:
        """Titles are those of the pages, nobody has changed them, the console is empty, and axe-core is content."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        pages = {"How one message travels": poster()}
        pages |= {f"Payload {number}": hostile(payload) for number, payload in enumerate(PAYLOADS)}
        axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
        browser = Browser(folder / "home")
        self.addCleanup(browser.close)
        for number, (title, blocks) in enumerate(pages.items()):
            page = folder / f"page{number}.html"
            page.write_bytes(octets_of_page(page_of(title, blocks, lead=PAYLOADS[number - 1])))
            browser.open(page.as_uri())
            for width in _WIDTHS:
                browser.resize(width, 800)
                needed, *others = browser.run(_MEASURE)
                self.assertLessEqual(needed, width, title)
                self.assertEqual(others, [title, 0, 0, 0, 0], width)
            # One page of each kind: axe-core takes its time.
            for width, scheme in ((1200, "light"), (360, "dark")) if number < 2 else ():
                browser.resize(width, 800)
                browser.prefer(scheme)
                browser.open(page.as_uri())
                browser.run(axe)
                passed, violations = browser.run(_CHECK)
                self.assertEqual(violations, [], f"{title}, {width}, {scheme}")
                self.assertGreater(passed, 10)
        self.assertEqual(browser.complaints, [])
