"""A real Dovecot of a test's own: private folders, loopback ports, POP3, TLS, LMTP, and SASL for Postfix."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.live.programs.installed import REAL_CLOCK
from tests.live.programs.postfix import banner
from tests.ports import free_ports

DOVECOT: Final = shutil.which("dovecot", path=os.environ.get("PATH", "") + ":/usr/sbin")
#: Whose mail it is: nobody's.
OWNER: Final = 65534


def why_not() -> str:
    """Why no Dovecot can be run here; "" where one can."""
    if DOVECOT is None:
        return "needs Dovecot, which is not installed (dovecot-pop3d)"
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "needs root, without which Dovecot does not start"
    return ""


class Dovecot:
    """`maildir` has the mail of each user in a maildir of that name; `sasl` is the socket that logs in for others.

    `lmtp` is the socket, and `lmtp_port` the port, that take mail for the users.
    """

    def __init__(self, folder: Path, chain: Path, key: Path, passwords: Mapping[str, str]) -> None:
        """@param folder: is made, and has to be removed by the caller."""
        folder.mkdir(mode=0o755)
        self._folder = folder
        self.maildir = folder / "mail"
        self.sasl = folder / "sasl"
        self.lmtp = folder / "lmtp"
        self.pop3, self.pop3s, self.lmtp_port = free_ports(3)
        for user in passwords:
            for part in ("cur", "new", "tmp"):
                (self.maildir / user / part).mkdir(parents=True)
        self.own()
        users = folder / "users"
        users.write_text("".join(f"{user}:{{PLAIN}}{password}\n" for user, password in passwords.items()))
        self._config = folder / "dovecot.conf"
        self._config.write_text(
            f"""protocols = pop3 lmtp
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
listen = 127.0.0.1
mail_location = maildir:{self.maildir}/%u
ssl = required
ssl_cert = <{chain}
ssl_key = <{key}
first_valid_uid = 1
auth_mechanisms = plain login
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = {users}
}}
userdb {{
  driver = static
  args = uid={OWNER} gid={OWNER} home={folder}
}}
service auth {{
  unix_listener {self.sasl} {{
    mode = 0666
  }}
}}
service lmtp {{
  unix_listener {self.lmtp} {{
    mode = 0666
  }}
  inet_listener lmtp {{
    port = {self.lmtp_port}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {self.pop3}
  }}
  inet_listener pop3s {{
    port = {self.pop3s}
    ssl = yes
  }}
}}
"""
        )

    def own(self) -> None:
        """Give the mail to whose it is; files that a test put there, too."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        for path in (self.maildir, *self.maildir.rglob("*")):
            os.chown(path, OWNER, OWNER)

    async def start(self, reactor: Any) -> str:
        """Return its banner once it listens."""
        assert DOVECOT is not None
        # It clears the environment of its processes. If its first one had another clock than these (`.ci/at`), it would
        # take new connections only after three minutes.
        self._process = subprocess.Popen(  # noqa: ASYNC220 -- it is only started
            [DOVECOT, "-F", "-c", str(self._config)], stderr=subprocess.PIPE, env={**os.environ, **REAL_CLOCK}
        )
        return await banner(reactor, self.pop3, self._alive)

    def _alive(self) -> None:
        assert self._process.poll() is None, self._process.communicate()

    def stop(self) -> None:
        """
        @raise AssertionError: it did not end well.
        """
        self._process.terminate()
        _, said = self._process.communicate(timeout=20)
        assert self._process.returncode == 0, said
