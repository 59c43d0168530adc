"""Postfix and Dovecot, tuned: smtpd, LMTP to Dovecot, maildir, POP3, and SASL by Dovecot."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.suite.servers import ACCOUNTS, DOMAIN, PASSWORD, Certificate, Server, listens
from tests.live.programs import dovecot, postfix
from tests.live.programs.lab import wait_for
from tests.ports import free_ports

_OWNER: Final = "mail"
_MASTER: Final = Path("/usr/share/postfix/master.cf.dist")
_MAIN: Final = """compatibility_level = 3.6
queue_directory = {folder}/spool
command_directory = /usr/sbin
daemon_directory = {daemons}
data_directory = {folder}/data
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.{domain}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = texthash:{folder}/postfix/accounts
virtual_transport = lmtp:unix:{folder}/run/lmtp
message_size_limit = 104857600
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtpd_tls_cert_file = {chain}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = {folder}/run/auth-client
alias_maps =
alias_database =
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
in_flow_delay = 0
default_process_limit = 200
"""
_SUBMISSION: Final = """  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
"""
_DOVECOT: Final = """base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = pop3 lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <{chain}
ssl_key = <{key}
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_format = %Ln
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {uid}
mail_gid = {gid}
mail_location = maildir:{folder}/mail/%n
mail_max_userip_connections = 10000
default_client_limit = 20000
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%n {folder}/dovecot/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%n allow_all_users=yes
}}
service pop3-login {{
  service_count = 0
  process_min_avail = 2
  process_limit = 2
  client_limit = 6000
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service pop3 {{
  process_limit = 6000
  service_count = 1000
  process_min_avail = 4
}}
service lmtp {{
  process_min_avail = 2
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener auth-client {{
    mode = 0666
  }}
}}
"""


def why_not() -> str:
    """Return why they cannot be compared here; "" if they can."""
    return dovecot.why_not() or postfix.why_not()


class PostfixDovecot(Server):
    """Both of them. Passwords are compared in plain text, which costs less than a hash."""

    name = "postfix-dovecot"

    def __init__(self, folder: Path, certificate: Certificate) -> None:
        self._folder = folder
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        self.ports = dict(zip(("smtp", "submission", "pop3", "pop3s"), free_ports(4), strict=True))
        owner = pwd.getpwnam(_OWNER)
        for name in ("spool", "data", "run", "state", "mail", "postfix", "dovecot"):
            (folder / name).mkdir(parents=True)
        os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
        os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
        values = {"folder": folder, "domain": DOMAIN, "chain": certificate.chain, "key": certificate.key}
        names = [f"user{number}" for number in range(ACCOUNTS)]
        config = folder / "postfix"
        (config / "main.cf").write_text(_MAIN.format(**values, daemons=postfix.DAEMONS))
        (config / "accounts").write_text("".join(f"{name}@{DOMAIN} x\n" for name in names))
        (config / "master.cf").write_text(self._services())
        for found in (Path("/etc/postfix/postfix-files"), Path("/etc/postfix/dynamicmaps.cf")):
            if found.exists():
                shutil.copy(found, config / found.name)
        (folder / "dovecot" / "users").write_text("".join(f"{name}:{{PLAIN}}{PASSWORD}\n" for name in names))
        text = _DOVECOT.format(**values, **self.ports, uid=owner.pw_uid, gid=owner.pw_gid)
        (folder / "dovecot" / "dovecot.conf").write_text(text)
        self._start()

    def _services(self) -> str:
        """Return Postfix's own list of services, without chroot, and with our ports for its listeners."""
        lines = []
        for line in _MASTER.read_text().splitlines():
            fields = line.split()
            if not fields or line.startswith(("#", " ")) or fields[1] == "inet":
                continue
            lines.append(" ".join([*fields[:4], "n", *fields[5:]]))
        lines.append("postlog unix-dgram n - n - 1 postlogd")
        lines += [f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd" for name in ("smtp", "submission")]
        seen: dict[str, str] = {}
        for line in lines:
            seen.setdefault(" ".join(line.split()[:2]), line)
        return "\n".join(seen.values()) + "\n" + _SUBMISSION

    def _start(self) -> None:
        assert dovecot.DOVECOT is not None
        config = str(self._folder / "postfix")
        command = [dovecot.DOVECOT, "-F", "-c", str(self._folder / "dovecot" / "dovecot.conf")]
        self._processes = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
        subprocess.run(["/usr/sbin/postfix", "-c", config, "check"], check=True, capture_output=True)
        command = [str(postfix.DAEMONS / "master"), "-c", config, "-d"]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self._processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment))
        for port in self.ports.values():
            wait_for(partial(listens, port))

    @property
    def roots(self) -> Sequence[int]:
        return [one.pid for one in self._processes]

    def close(self) -> None:
        for one in self._processes:
            one.send_signal(signal.SIGTERM)
        for one in self._processes:
            one.wait(30)
