"""The operators' pages and the explorer in a real browser, on a real daemon."""

from __future__ import annotations

import json
import smtplib
import subprocess
import sys
import urllib.request
from importlib import resources
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.control.requests import AliasSet, WebLogin
from emailsys.mail.address import Address, parse
from tests.live.programs.browser import Browser
from tests.live.programs.daemon import Daemon, User
from tests.live.programs.installed import needs
from tests.ports import free_ports

_EVIL = "<img src=x onerror=document.title='gone'>"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


class OperatorPageTests(SynchronousTestCase):
    """Everything an operator clicks, with an empty console of the browser."""

    def setUp(self) -> None:
        self.port = free_ports(1)[0]
        config = f'[web]\nlisten = ["127.0.0.1:{self.port}"]\n[outbound]\nenabled = false\n'
        self.daemon = Daemon(config)
        self.addCleanup(self.daemon.close)
        self.user: User = self.daemon.user()
        self.base = f"http://127.0.0.1:{self.port}"

    def token(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "emailsys", "token", "add", *arguments, "--state", str(self.daemon.state)]
        made = subprocess.run([*command, "--json"], capture_output=True, check=True, timeout=60)
        return str(json.loads(made.stdout)["secret"])

    def api(self, method: str, path: str, token: str, body: Any = None) -> Any:
        asked = urllib.request.Request(
            f"{self.base}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)

    def check(self, browser: Browser) -> None:
        """Let axe-core look at the page."""
        browser.run(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
        options = json.dumps({"runOnly": _RULES})
        found = browser.run(
            f"axe.run(document, {options}).then(r => r.violations.map(v => v.id + ' ' + v.nodes[0].html))"
        )
        self.assertEqual(found, [], browser.run("location.pathname"))

    @needs("chromium", "bash")
    def test_an_operator_sees_and_changes_the_system(self) -> None:
        mail = self.token(self.user.address, "--scope", "mail:send", "--scope", "mail:read")
        body = {"to": [{"address": "zoe@elsewhere.example"}], "subject": _EVIL, "text": "x"}
        queue_id = self.api("POST", "/messages", mail, body)["queue_id"]
        browser = Browser(Path(self.mktemp()).absolute())
        self.addCleanup(browser.close)
        link = self.daemon.command(WebLogin())["path"]
        browser.open(self.base + link)
        # The plots are alive.
        browser.until("document.querySelectorAll('.plot path.first[d^=M]').length >= 6")
        browser.until("document.getElementById('live').textContent === 'Live.'")
        # Queued mail is held by a click.
        browser.open(f"{self.base}/system/queue")
        # The table fits into a window of 1200 px.
        self.assertEqual(
            browser.run("(box => box.scrollWidth - box.clientWidth)(document.querySelector('.scroll'))"), 0
        )
        self.assertIn(queue_id, browser.text("table"))
        browser.click("input[name=queue_id]")
        browser.click("button[value=hold]")
        browser.until(
            "document.querySelector('[role=status]') !== null && document.querySelector('.state.held') !== null"
        )
        self.assertIn("1 recipient changed", browser.text("main"))
        # The way of an address, a forecast, the check of the store.
        browser.open(f"{self.base}/system/routes?address=zoe@elsewhere.example")
        self.assertGreaterEqual(browser.run("document.querySelectorAll('.graph .box').length"), 3)
        browser.open(f"{self.base}/system/forecast?hours=30")
        self.assertGreater(browser.run("document.querySelectorAll('.line circle').length"), 5)
        browser.open(f"{self.base}/system/verify")
        browser.click("#start")
        browser.until("document.getElementById('found').textContent.includes('all is well')")
        browser.open(f"{self.base}/system/trace?query={queue_id}")
        self.assertIn("accepted", browser.text(".events"))
        # An alias is removed after its name was typed again.
        own = parse(self.user.address)
        self.daemon.command(AliasSet(Address("sales", own.domain), (own,)))
        browser.open(f"{self.base}/system/remove?kind=alias&name=sales@{own.domain}")
        browser.write("#again", f"sales@{own.domain}")
        browser.click("main form button")
        browser.until("location.pathname === '/system/directory'")
        self.assertIn("The alias was removed", browser.text("main"))
        # A session appears on the wire while it happens, and its texts are texts.
        browser.open(f"{self.base}/system/wire")
        browser.until("document.getElementById('live').textContent === 'Watching.'")
        with smtplib.SMTP("127.0.0.1", self.daemon.ports["smtp"], timeout=60) as client:
            client.docmd("EHLO", _EVIL)
            browser.until("document.querySelector('#conversations tbody tr') !== null")
            # Its diagram is drawn while it happens.
            browser.click("#conversations tbody a")
            browser.until("document.title.startsWith('smtp with') && document.querySelector('svg.wide') !== null")
            browser.until("document.getElementById('live').textContent === 'Drawn while it happens.'")
            client.docmd("NOOP")
            browser.until("document.querySelector('svg.wide').textContent.includes('NOOP')")
            self.check(browser)
        browser.until("document.getElementById('live').textContent === 'This conversation is over.'")
        self.assertIn("QUIT", browser.text("figure"))
        for width in (360, 1200):
            browser.resize(width, 740)
            self.assertLessEqual(browser.run("document.documentElement.scrollWidth"), width)
            self.check(browser)
        browser.click("main a.button")
        browser.until("location.pathname.endsWith('/page') && document.querySelector('svg') !== null")
        browser.open(f"{self.base}/system/wire")
        self.assertEqual(browser.run("document.querySelector('#conversations tbody tr').cells[4].textContent"), "over")
        # The explorer sends a request with a token.
        operator = self.token("--operator", "--scope", "system:read")
        browser.open(f"{self.base}/explorer")
        browser.until("document.querySelectorAll('.operation').length > 25")
        browser.write("#token", operator)
        browser.click("#listUsers form button")
        browser.until("document.querySelector('#listUsers .answer').textContent.startsWith('200')")
        self.assertIn(self.user.address, browser.run("document.querySelector('#listUsers .answer').textContent"))
        self.check(browser)
        # Nothing is wider than a telephone, and axe-core objects to nothing.
        browser.resize(360, 740)
        for path in (
            "",
            "/queue",
            "/directory",
            f"/quota?of={self.user.address}",
            f"/remove?kind=user&name={self.user.address}",
            "/routes?address=a@b.example",
            "/forecast",
            "/trace",
            "/verify",
            "/wire",
        ):
            browser.open(f"{self.base}/system{path}")
            self.assertLessEqual(browser.run("document.documentElement.scrollWidth"), 360, path)
            self.assertEqual(browser.cut_words(), [], path)
            self.check(browser)
        self.assertEqual(browser.complaints, [])
        # Without the login, nothing of it is shown.
        browser.click("header form button")
        browser.until("location.pathname === '/system/login'")
        browser.open(f"{self.base}/system/queue")
        self.assertEqual(browser.run("location.pathname"), "/system/login")
