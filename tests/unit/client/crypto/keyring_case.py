"""A keyring of gpg for tests, made once for each process: small keys in a folder of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.crypto.gpg import Gpg
from emailsys.client.crypto.opening import Opener

GPG: Final = shutil.which("gpg")
HEAD: Final = b"From: Bob <bob@b.test>\r\nTo: alice@a.test\r\nSubject: [...]\r\nMIME-Version: 1.0\r\n"
# A pinentry that enters the passphrase of lock.
_PINENTRY: Final = """#!/bin/sh
echo OK
while read -r line; do
  case $line in GETPIN*) echo "D secret" ;; esac
  echo OK
  case $line in BYE*) exit ;; esac
done
"""


class Keyring:
    """Keys: alice and bob are the user's own, and eve is not certified. old has expired, lost was revoked.

    mallory is certified, but not for his other name, bob. The secret key of lock has a passphrase that the agent does
    not know. away was removed.
    """

    def __init__(self) -> None:
        # The path of the agent's socket has a limit of 108 octets.
        self.home = Path(tempfile.mkdtemp(prefix="g-"))
        atexit.register(self._remove)
        pinentry = self.home / "pinentry"
        pinentry.write_text(_PINENTRY, "ascii")
        pinentry.chmod(0o700)
        (self.home / "gpg-agent.conf").write_text(f"pinentry-program {pinentry}\n", "ascii")
        self.gpg = Gpg(GPG or "gpg", self.home)
        for name in ("alice", "bob", "eve", "mallory", "lost", "away"):
            self._make(f"{name.capitalize()} <{name}@{name[0]}.test>")
        long_ago = f"{datetime.now(UTC) - timedelta(days=400):%Y%m%dT%H%M%S}"
        self._make("Old <old@o.test>", "1d", "--faked-system-time", f"{long_ago}!")
        self._make("Lock <lock@l.test>", "never", passphrase="secret")
        self.keys = {one.users[0].text.split()[0].lower(): one.fingerprint for one in self.gpg.public_keys()}
        doubted = "".join(f"{self.keys[name]}:2:\n" for name in ("eve", "mallory"))
        self.run("--import-ownertrust", data=doubted.encode())
        # Alice certified who mallory is, who has taken another name since then.
        mallory = self.keys["mallory"]
        self.run("--yes", "--local-user", self.keys["alice"], "--quick-lsign-key", mallory)
        self.run("--quick-add-uid", mallory, "Bob <bob@b.test>")
        self.run("--quick-set-primary-uid", mallory, "Bob <bob@b.test>")
        revocation = (self.home / "openpgp-revocs.d" / f"{self.keys['lost']}.rev").read_text("utf-8")
        self.lost_signature = self.sign(b"hi\r\n", "lost")
        self.old_signature = self.sign(b"hi\r\n", "old", "--faked-system-time", f"{long_ago}!")
        self.away_signature = self.sign(b"hi\r\n", "away")
        self.for_away = self.encrypt(b"\r\nhi\r\n", "away")
        self.run("--yes", "--delete-secret-and-public-key", self.keys["away"])
        self.end_agent()
        self.run("--import", data=revocation.replace(":-----BEGIN", "-----BEGIN").encode())
        self.gpg = Gpg(GPG or "gpg", self.home)

    def run(self, *arguments: str, data: bytes = b"") -> bytes:
        """Run gpg, and return its output."""
        words = [GPG or "gpg", "--homedir", str(self.home), "--batch", "--quiet", "--no-tty", *arguments]
        done = subprocess.run(words, input=data, capture_output=True, check=False)
        if done.returncode not in (0, 2):
            raise AssertionError(done.stderr.decode())
        return done.stdout

    def _make(self, user: str, expires: str = "never", *options: str, passphrase: str = "") -> None:
        phrase = ("--pinentry-mode", "loopback", "--passphrase", passphrase)
        self.run(*options, *phrase, "--quick-generate-key", user, "ed25519", "cert,sign", expires)
        listing = self.run(*options, "--with-colons", "--list-keys", f"={user}").decode()
        fingerprint = next(line.split(":")[9] for line in listing.split("\n") if line.startswith("fpr"))
        self.run(*options, *phrase, "--quick-add-key", fingerprint, "cv25519", "encr", expires)

    def sign(self, data: bytes, name: str, *options: str) -> bytes:
        """Return a detached signature."""
        return self.run(*options, "--armor", "--local-user", self.keys[name], "--detach-sign", data=data)

    def clear_sign(self, text: bytes, name: str) -> bytes:
        """Return a text with its signature."""
        return self.run("--local-user", self.keys[name], "--clear-sign", data=text)

    def encrypt(self, data: bytes, name: str, *options: str) -> bytes:
        """Encrypt for a key."""
        always = ("--armor", "--trust-model", "always", "--recipient", self.keys[name])
        return self.run(*always, *options, "--encrypt", data=data)

    def end_agent(self) -> None:
        """End the agent, and let another begin, which knows no passphrase."""
        self._kill_agent()
        # One that is about to end still takes connections, and finds no key for them.
        while b"OK" in self._ask_agent("--no-autostart"):
            pass
        self._ask_agent()

    def _kill_agent(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False)

    def _ask_agent(self, *options: str) -> bytes:
        asked = ["gpg-connect-agent", "--homedir", str(self.home), *options, "GETINFO pid", "/bye"]
        return subprocess.run(asked, check=False, capture_output=True).stdout

    def _remove(self) -> None:
        self._kill_agent()
        shutil.rmtree(self.home, ignore_errors=True)


def keyring() -> Keyring:
    """Return the keyring of this process."""
    return _keyring(os.getpid())


@cache
def _keyring(process: int) -> Keyring:
    return Keyring()


class KeyringCase(SynchronousTestCase):
    """A test with a keyring of gpg."""

    if GPG is None:
        skip = "gpg is not installed"

    def setUp(self) -> None:
        """Make the keyring, if this process has none yet."""
        self.keyring = keyring()
        self.now = datetime.now(UTC)
        self.opener = Opener(self.keyring.gpg, lambda: self.now)


def signed(part: bytes, signature: bytes, micalg: str = "pgp-sha512", head: bytes = HEAD, more: bytes = b"") -> bytes:
    """Return a multipart/signed message (RFC 3156 §5)."""
    return (
        head
        + f'Content-Type: multipart/signed; protocol="application/pgp-signature"; micalg={micalg}; '.encode()
        + b"boundary=s\r\n\r\n--s\r\n"
        + part
        + b"\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\n"
        + signature.replace(b"\n", b"\r\n")
        + b"\r\n"
        + more
        + b"--s--\r\n"
    )


def encrypted(data: bytes, head: bytes = HEAD, boundary: bytes = b"e", more: bytes = b"") -> bytes:
    """Return a multipart/encrypted message (RFC 3156 §4)."""
    return (
        head
        + b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=' + boundary
        + b"\r\n\r\n--" + boundary + b"\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--" + boundary
        + b"\r\nContent-Type: application/octet-stream\r\n\r\n" + data.replace(b"\n", b"\r\n")
        + b"\r\n" + more + b"--" + boundary + b"--\r\n"
    )  # fmt: skip
