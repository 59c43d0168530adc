"""The command `watch` beside a real daemon: mail over TLS is shown as it passes, without its password."""

from __future__ import annotations

import json
import poplib
import smtplib
import ssl
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.daemon import BIN, Daemon


class WatchTests(SynchronousTestCase):
    """One daemon, a client of each protocol, and a watcher."""

    def test_a_message_from_submission_to_pop3(self) -> None:
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        # Recorded in any case, whether the watcher or the client comes first.
        daemon = Daemon("[wiretap]\nenabled = true\n")
        self.addCleanup(daemon.close)
        user = daemon.user()
        command = [str(BIN / "emailsys"), "watch", "--json", "--state", str(daemon.state)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as watcher:
            self.addCleanup(watcher.kill)
            assert watcher.stdout is not None
            trust = ssl.create_default_context(cafile=str(daemon.ca))
            with smtplib.SMTP("localhost", daemon.ports["submission"]) as smtp:
                smtp.starttls(context=trust)
                smtp.login(user.address, user.password)
                smtp.sendmail(user.address, [user.address], f"From: {user.address}\r\nSubject: hello\r\n\r\nhi\r\n")
            pop3 = poplib.POP3_SSL("localhost", daemon.ports["pop3s"], context=trust)
            pop3.user(user.address)
            pop3.pass_(user.password)
            pop3.retr(1)
            pop3.dele(1)
            pop3.quit()
            text, session = "", ""
            for line in watcher.stdout:
                text += line
                one = json.loads(line)
                if one["protocol"] == "pop3" and one["event"]["kind"] == "commit":
                    session = one["session"]
                if one["session"] == session and one["event"]["kind"] == "closed":
                    break
            watcher.kill()
        self.assertNotIn(user.password, text)
        events = [json.loads(line) for line in text.splitlines()]
        # The first connections are those of the test that waits for the daemon.
        logged_in = {one["protocol"]: one["session"] for one in events if one["event"]["kind"] == "login"}
        shown = ["opened", "secured", "login", "body", "commit", "closed"]
        for protocol in ("submission", "pop3"):
            found = [one["event"] for one in events if one["session"] == logged_in[protocol]]
            self.assertEqual([event["kind"] for event in found if event["kind"] in shown], shown, protocol)
            messages = [event["text"] for event in found if event["kind"] == "tls"]
            self.assertEqual((messages[:2], messages.count("Finished")), (["ClientHello", "ServerHello"], 2), protocol)
            (secured,) = [event for event in found if event["kind"] == "secured"]
            self.assertEqual(secured["details"]["version"], "TLS 1.3")
            self.assertTrue(secured["details"]["group"])
            self.assertTrue(secured["details"]["certificates"])
