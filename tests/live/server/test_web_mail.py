"""Mail in a real browser, on a real daemon: log in, read, write with a file, delete and undo."""

from __future__ import annotations

import json
import smtplib
import socket
from email.headerregistry import Address
from email.message import EmailMessage
from importlib import resources
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.browser import Browser
from tests.live.programs.daemon import Daemon, User
from tests.live.programs.installed import needs
from tests.ports import free_ports
from tests.unit.web.mail import HOSTILE

# What runs in a page that lets a stranger's script run.
_RUN = "document.title='gone'"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Elements that lie under the bar at the top when Shift+Tab goes to them, from the end of the page on.
_UNDER_THE_BAR = r"""(() => {
  scrollTo(0, document.documentElement.scrollHeight);
  const found = [], bar = document.querySelector(".top");
  if (!bar) return found;
  for (const one of [...document.querySelectorAll("main :is(a, button, input)")].reverse()) {
    one.focus();
    if (one !== document.activeElement) continue;
    if (one.getBoundingClientRect().top < bar.getBoundingClientRect().bottom) found.push(one.outerHTML);
  }
  return found;
})()"""


class WebMailTests(SynchronousTestCase):
    """What a person does, with an empty console of the browser and nothing that axe-core objects to."""

    def setUp(self) -> None:
        self.port = free_ports(1)[0]
        self.daemon = Daemon(f'[web]\nlisten = ["127.0.0.1:{self.port}"]\n[outbound]\nenabled = false\n')
        self.addCleanup(self.daemon.close)
        self.user: User = self.daemon.user()
        self.other: User = self.daemon.user()
        self.base = f"http://127.0.0.1:{self.port}"
        # A host of the network that messages name. It notices who connects, and answers nothing.
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.addCleanup(self.listener.close)
        axe = resources.files("axe_playwright_python").joinpath("axe.min.js")
        self.axe = axe.read_text("utf-8")

    def receive(self, subject: str, html: str = "", evil: str = "") -> None:
        """Send a message to the user. @param evil: the name of its sender, of a field and of a file."""
        message = EmailMessage()
        message["From"] = Address(evil or "Ada", "ada", "away.example")
        message["To"], message["Subject"] = self.user.address, subject
        message.set_content(f"text of {subject}\n")
        if html:
            message.add_alternative(html, subtype="html")
        if evil:
            message["X-Evil"] = evil
            message.add_attachment(b"x", maintype="text", subtype="x-evil", filename=evil)
        with smtplib.SMTP("127.0.0.1", self.daemon.ports["smtp"], timeout=60) as client:
            client.send_message(message)

    def browser(self) -> Browser:
        """Return a browser that has logged in by the form."""
        browser = Browser(Path(self.mktemp()).absolute())
        self.addCleanup(browser.close)
        browser.open(f"{self.base}/")
        self.check(browser)
        browser.write("#name", self.user.address)
        browser.write("#password", self.user.password)
        browser.click("button.primary")
        browser.until("location.pathname === '/mail/0/' && document.readyState === 'complete'")
        return browser

    def check(self, browser: Browser) -> None:
        """Let axe-core look at the page. Check that it fits into a narrow window, and that the focus stays visible."""
        browser.run(self.axe)
        options = json.dumps({"runOnly": _RULES})
        found = browser.run(
            f"axe.run(document, {options}).then(r => r.violations.map(v => v.id + ' ' + v.nodes[0].html))"
        )
        self.assertEqual(found, [], browser.run("location.pathname"))
        browser.resize(360, 740)
        self.assertLessEqual(browser.run("document.documentElement.scrollWidth - innerWidth"), 0)
        browser.resize(360, 300)
        self.assertEqual(browser.run(_UNDER_THE_BAR), [])
        browser.resize(1200, 900)

    def was_called(self) -> bool:
        """Whether the host on the network got a connection."""
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def answer(self) -> None:
        """Wait for a connection to the host on the network, and answer it with an empty picture."""
        self.listener.settimeout(30)
        connection, _ = self.listener.accept()
        with connection:
            connection.settimeout(30)
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 0\r\n\r\n")

    @needs("chromium", "bash")
    def test_a_person_reads_writes_deletes_and_undoes(self) -> None:
        """And pictures of the network are loaded only if the person asks for them."""
        picture = f"http://127.0.0.1:{self.listener.getsockname()[1]}/p.png"
        self.receive("telescope", f'<p>Hello</p><img src="{picture}"><script>parent.{_RUN}</script>')
        browser = self.browser()
        self.assertIn("telescope", browser.text("main"))
        self.check(browser)
        browser.click(".mail > a")
        browser.until("document.querySelector('.text') !== null")
        self.assertIn("text of telescope", browser.text(".text"))
        path = str(browser.run("location.pathname"))
        for tab in ("", "html", "structure", "headers", "journey", "raw"):
            browser.open(f"{self.base}{path}{tab}")
            self.check(browser)
        browser.open(f"{self.base}{path}html")
        self.assertFalse(self.was_called())
        browser.click(".notice a.button")
        self.answer()
        browser.until("location.search === '?pictures=1' && document.readyState === 'complete'")
        # An answer, with a file that is dropped on the form.
        browser.open(f"{self.base}{path}")
        browser.click(".actions a.primary")
        browser.until("document.getElementById('compose') !== null && document.readyState === 'complete'")
        self.check(browser)
        browser.write("#to", self.other.address)
        drop = (
            "(() => { const data = new DataTransfer(); data.items.add(new File(['a,b'], 'über.csv'));"
            "document.getElementById('compose').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true,"
            "cancelable: true})); return document.getElementById('files').files.length; })()"
        )
        self.assertEqual(browser.run(drop), 1)
        browser.click("#compose button.primary")
        browser.until("location.search === '?sent=1' && document.readyState === 'complete'")
        self.assertIn("Your message is on its way.", browser.text("main"))
        # Delete, undo, and delete for good.
        for is_undone in (True, False):
            browser.click(".mail input[name=uid]")
            browser.click(".tools button")
            browser.until("document.querySelector('[name=deletion]') !== null")
            self.assertEqual(browser.run("document.querySelectorAll('.mail').length"), 0)
            self.check(browser)
            if is_undone:
                browser.click("form.notice button")
                browser.until("document.querySelector('.mail') !== null")
        # The other account stands beside, with the answer. The arrows go from message to message.
        self.receive("microscope")
        self.receive("periscope")
        browser.open(f"{self.base}/login")
        browser.write("#name", self.other.address)
        browser.write("#password", self.other.password)
        browser.click("button.primary")
        browser.until("location.pathname === '/mail/1/' && document.readyState === 'complete'")
        browser.open(f"{self.base}/mail/")
        browser.until("document.querySelectorAll('.columns section').length === 2")
        self.check(browser)
        self.assertIn("telescope", browser.text("section:last-child .mail"))
        browser.run("document.querySelector('.mail > a').focus()")
        key = "new KeyboardEvent('keydown', {key: 'ArrowDown', bubbles: true})"
        browser.run(f"document.activeElement.dispatchEvent({key})")
        self.assertIn("microscope", browser.run("document.activeElement.innerText"))
        self.assertEqual(browser.complaints, [])

    @needs("chromium", "bash")
    def test_no_script_of_a_stranger_runs(self) -> None:
        """Hostile texts as subject, and as HTML: the title of the page stays, and the console is empty of scripts."""
        called = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        for text in HOSTILE:
            evil = text.replace("alert(1)", _RUN).replace("//evil.example", called)
            line = " ".join(evil.split())
            self.receive(line, f"<p>Hello</p><p>{evil}</p><img src=x onerror={_RUN}>", line)
        browser = self.browser()
        paths: Any = browser.run("[...document.querySelectorAll('.mail > a')].map(a => a.getAttribute('href'))")
        self.assertEqual(len(paths), len(HOSTILE))
        self.assertTrue(str(browser.run("document.title")).startswith("Inbox"))
        for path in paths:
            for tab in ("", "html", "structure", "headers"):
                browser.open(f"{self.base}{path}{tab}")
                browser.until("document.readyState === 'complete'")
                self.assertNotEqual(browser.run("document.title"), "gone")
                self.assertEqual(browser.run("location.pathname"), f"{path}{tab}")
        self.assertFalse(self.was_called())
        self.assertEqual(browser.complaints, [])
