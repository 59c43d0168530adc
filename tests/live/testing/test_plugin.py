"""The pytest plugin in suites of other people: smtplib, aiosmtplib, Django, Flask-Mail, several workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

# Each shows one library, as its users write it.
SMTPLIB = """
import smtplib

def test_signup(mail_system, mailbox):
    with smtplib.SMTP(mail_system.host, mail_system.port) as client:
        client.sendmail("shop@example.com", ["bob@example.com"], b"Subject: Welcome\\r\\n\\r\\nhttps://example.com/ok\\r\\n")
    message = mailbox("bob").wait_for(subject="Welcome", sender="shop@example.com", timeout=5)
    assert message.links == ["https://example.com/ok"]

def test_each_test_begins_empty(mail_system):
    assert mail_system.messages == []
"""
AIOSMTPLIB = """
import asyncio
from email.message import EmailMessage
import aiosmtplib
import pytest

def letter():
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.com", "bob@example.com", "Grüße"
    message.set_content("Hello")
    return message

def test_send(mail_system, mailbox):
    asyncio.run(aiosmtplib.send(letter(), hostname=mail_system.host, port=mail_system.port, username="u", password="p"))
    assert mailbox("bob").wait_for(subject="Grüße").login == "u"

def test_greylisting(mail_system, mailbox):
    mail_system.fail("451 at the first RCPT for bob@")
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        asyncio.run(aiosmtplib.send(letter(), hostname=mail_system.host, port=mail_system.port))
    asyncio.run(aiosmtplib.send(letter(), hostname=mail_system.host, port=mail_system.port))
    assert len(mailbox("bob")) == 1
"""
DJANGO = """
import smtplib
import django
import pytest
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, send_mail, send_mass_mail
from django.test import override_settings

settings.configure()
django.setup()

@pytest.fixture(autouse=True)
def backend(mail_system):
    with override_settings(**mail_system.django_settings()):
        yield

def test_send_mail(mailbox):
    assert send_mail("Reset", "https://example.com/reset/1", "shop@example.com", ["bob@example.com"]) == 1
    assert mailbox("bob").wait_for(subject="Reset").link("/reset/") == "https://example.com/reset/1"

def test_html_and_attachment(mailbox):
    message = EmailMultiAlternatives("Bill", "text", "shop@example.com", ["bob@example.com"], bcc=["audit@example.com"])
    message.attach_alternative("<a href='https://example.com/bill'>bill</a>", "text/html")
    message.attach("bill.pdf", b"%PDF", "application/pdf")
    message.send()
    seen = mailbox("audit").wait_for(subject="Bill")
    assert (seen.text, seen.links) == ("text", ["https://example.com/bill"])
    assert [(one.name, one.content) for one in seen.attachments] == [("bill.pdf", b"%PDF")]

def test_many(mail_system):
    send_mass_mail([("One", "x", "a@example.com", [f"u{n}@example.com"]) for n in range(20)])
    assert len(mail_system.messages) == 20

def test_a_full_mailbox(mail_system):
    mail_system.fail('552 5.2.2 "full" at the dot')
    with pytest.raises(smtplib.SMTPDataError, match="full"):
        send_mail("x", "y", "a@example.com", ["bob@example.com"])
"""
FLASK_MAIL = """
from flask import Flask
from flask_mail import Mail, Message
import pytest
import smtplib

@pytest.fixture
def mail(mail_system):
    app = Flask(__name__)
    app.config.update(MAIL_SERVER=mail_system.host, MAIL_PORT=mail_system.port, MAIL_DEFAULT_SENDER="shop@example.com")
    with app.app_context():
        yield Mail(app)

def test_send(mail, mailbox):
    mail.send(Message("Hello", recipients=["bob@example.com"], body="text", html="<b>html</b>"))
    message = mailbox("bob").wait_for(subject="Hello", sender="shop@example.com")
    assert (message.text.strip(), message.html.strip()) == ("text", "<b>html</b>")

def test_a_lost_connection(mail, mail_system):
    mail_system.fail("drop at DATA")
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        mail.send(Message("Hello", recipients=["bob@example.com"], body="text"))
"""
FAILING = """
import smtplib

def test_wrong_subject(mail_system, mailbox):
    with smtplib.SMTP(mail_system.host, mail_system.port) as client:
        client.sendmail("shop@example.com", ["bob@example.com"], b"Subject: Welcom\\r\\n\\r\\n")
    mailbox("bob").wait_for(subject="Welcome", timeout=0.01)
"""
SESSION = """
import smtplib
import pytest

@pytest.fixture(autouse=True)
def clean(mail_system_session):
    mail_system_session.reset()

ports = set()

@pytest.mark.parametrize("n", range(3))
def test_same_port(mail_system_session, n):
    ports.add(mail_system_session.port)
    assert mail_system_session.messages == [] and len(ports) == 1
    with smtplib.SMTP(mail_system_session.host, mail_system_session.port) as client:
        client.sendmail("a@example.com", ["b@example.com"], b"\\r\\n")
    assert len(mail_system_session.messages) == 1
"""
UNUSED = """
import sys

def test_nothing_was_imported():
    assert not {"twisted", "sqlalchemy", "emailsys.testing.system"} & set(sys.modules)
"""


class PluginTests(SynchronousTestCase):
    """pytest as a process, in a folder with one suite."""

    def run_pytest(self, *options: str, **suites: str) -> subprocess.CompletedProcess[str]:
        """Run suites by their names."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
        for name, text in suites.items():
            (folder / f"test_{name}.py").write_text(text, "utf-8")
        environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}
        command = [sys.executable, "-W", "error::ResourceWarning", "-m", "pytest", "-p", "no:cacheprovider", *options]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=120, check=False, env=environment
        )

    def assert_passed(self, run: subprocess.CompletedProcess[str], count: int) -> None:
        """All tests passed."""
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertRegex(run.stdout, rf"\b{count} passed\b")

    def test_the_libraries_that_people_use(self) -> None:
        """One run with all of them, as they come: without an option or a setting."""
        run = self.run_pytest(
            smtplib=SMTPLIB, aiosmtplib=AIOSMTPLIB, django=DJANGO, flask_mail=FLASK_MAIL, session=SESSION
        )
        self.assert_passed(run, 13)

    def test_several_workers(self) -> None:
        """pytest-xdist: each worker has ports and mail of its own."""
        self.assert_passed(self.run_pytest("-n", "2", one=SMTPLIB, two=SMTPLIB, three=SESSION), 7)

    def test_the_error_of_a_failed_test(self) -> None:
        """It says what arrived."""
        run = self.run_pytest(failing=FAILING)
        self.assertEqual(run.returncode, 1, run.stdout)
        self.assertRegex(run.stdout, r"NoSuchMail: no message for 'bob' with subject 'Welcome' arrived within 0.01 s.")
        self.assertRegex(run.stdout, re.escape("1. from shop@example.com to bob@example.com, subject 'Welcom'"))

    def test_a_suite_without_mail(self) -> None:
        """The plugin is there, and nothing of it was imported."""
        self.assert_passed(self.run_pytest(unused=UNUSED), 1)
