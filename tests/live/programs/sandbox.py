"""Command blocks typed by root on a throw-away copy of this machine.

The copy is an overlay of the root file system in namespaces of its own: what commands install, configure and start is
gone with them. It has no network but its loopback. Packages come from the environment of the tests.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from emailsys.platforms.users import is_root
from tests.live.programs.command_blocks import CHECKOUT, Block
from tests.live.programs.installed import REAL_CLOCK

HERE: Final = Path(__file__).parent
# Seconds for all blocks of one document on a machine that is busy with other tests.
PATIENCE: Final = 600.0
# What a person types when a program asks, by the end of what it has printed.
_ANSWERS: Final = (
    (re.compile(rb"(?i)(?:password|again|repeat)[^\n]*: ?$"), b"correct horse battery\n"),
    (re.compile(rb"\[y/N\]:? ?$"), b"y\n"),
    (re.compile(rb"\[s\]end, [^\n]*: ?$"), b"s\n"),
    (re.compile(rb"(?i)ctrl-c[^\n]*\n$"), b"\x03"),
)
_PREAMBLE: Final = r"""
export HOME=/root LC_ALL=C.UTF-8 TERM=dumb PYTHONPATH=/srv/depended PYTHONDONTWRITEBYTECODE=1
export PIP_NO_INDEX=1 PIP_NO_DEPS=1 PIP_NO_BUILD_ISOLATION=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
unset EMAILSYS_CONFIG EMAILSYS_STATE XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_RUNTIME_DIR
export PATH=/usr/local/sbin:/usr/local/bin:$BASE:/usr/sbin:/usr/bin:/sbin:/bin
# What emailsys depends on, without the emailsys of the tests.
mkdir /srv/depended
for path in /srv/packages/*; do
  case ${path##*/} in *emailsys*) ;; *) ln -s "$path" /srv/depended/ ;; esac
done
install /srv/sandbox/systemctl.sh /usr/local/sbin/systemctl
printf '#!/bin/sh\n# No mirror is reached from here; the packages are on this machine.\n' > /usr/local/sbin/apt
chmod +x /usr/local/sbin/apt
for name in mail.example.org elsewhere.example; do echo "127.0.0.1 $name" >> /etc/hosts; done
echo 'nameserver 127.0.0.1' > /etc/resolv.conf
# The copy begins without an emailsys, whatever this machine has.
rm -rf /etc/emailsys /opt/emailsys* /var/lib/emailsys /var/log/emailsys ~/.config/emailsys ~/.local/*/emailsys
# A daemon in the foreground is one in another terminal: it goes on while the next block is typed.
emailsys() {
  case $1 in
    serve)
      command emailsys "$@" </dev/null >>/run/serve.log 2>&1 &
      for _ in $(seq 600); do (: </dev/tcp/127.0.0.1/25) 2>/dev/null && return; sleep 0.1; done
      cat /run/serve.log; return 1 ;;
    *) command emailsys "$@" ;;
  esac
}
set -eo pipefail
trap 'echo "@@@ exit status $? of: $BASH_COMMAND"' ERR
cd /root
"""


def why_not() -> str:
    """Why there is no sandbox on this machine; "" where there is."""
    if not is_root():
        return "only root can make an overlay"
    if shutil.which("unshare") is None:
        return "needs unshare, which is not installed"
    with tempfile.TemporaryDirectory() as folder:
        probe = (
            'mount -t tmpfs tmpfs "$0" && mkdir "$0/u" "$0/w" "$0/m" && '
            'mount -t overlay overlay -o "lowerdir=/,upperdir=$0/u,workdir=$0/w" "$0/m"'
        )
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", probe, folder]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return "" if done.returncode == 0 else "this machine allows no overlay in a namespace"


class BlockFailed(AssertionError):
    """A command of a block failed; the message has its place and all that was printed."""


def _copy_checkout(folder: Path) -> None:
    """The files of the checkout as they are now, as a repository that can be cloned."""
    folder.mkdir()
    listed = ["git", "-C", str(CHECKOUT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = [name for name in subprocess.check_output(listed).split(b"\0") if (CHECKOUT / os.fsdecode(name)).is_file()]
    pack = ["tar", "-C", str(CHECKOUT), "--null", "-T", "-", "-cf", str(folder / "all.tar")]
    subprocess.run(pack, input=b"\0".join(names), check=True)
    subprocess.run(["tar", "-C", str(folder), "-xf", str(folder / "all.tar")], check=True)
    (folder / "all.tar").unlink()
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "As it is now"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)


def type_blocks(
    blocks: Sequence[Block], before: Mapping[int, str] | None = None, replace: Sequence[tuple[str, str]] = ()
) -> str:
    """Type the blocks one after the other into one shell.

    @param before: shell that prepares what a block needs, by the block's index; what no document can say.
    @param replace: placeholders of the documents, and what is typed in their place.
    @return: all that was printed.
    @raise BlockFailed: a command failed, or hung.
    """
    with tempfile.TemporaryDirectory(prefix="emailsys-sandbox-") as name:
        folder = Path(name)
        _copy_checkout(folder / "source")
        shutil.copy(HERE / "systemctl.sh", folder / "source.systemctl")
        scripts = folder / "scripts"
        scripts.mkdir()
        shutil.move(str(folder / "source"), str(scripts / "source"))
        shutil.move(str(folder / "source.systemctl"), str(scripts / "systemctl.sh"))
        python = Path(sys.base_prefix)
        # A service user must be able to run this Python, which may lie in a home folder.
        opened = " ".join(str(parent) for parent in python.parents)
        lines = [f"chmod o+rx {opened}", f"BASE={python / 'bin'}", _PREAMBLE, "git config --global safe.directory '*'"]
        for index, block in enumerate(blocks):
            text = block.text
            for placeholder, typed in (("URL-OF-THIS-REPOSITORY", "/srv/sandbox/source"), *replace):
                text = text.replace(placeholder, typed)
            lines += [(before or {}).get(index, ""), f"echo '@@@ {block.document}:{block.line}'", text]
        lines.append("echo '@@@ done'")
        (scripts / "run").write_text("\n".join(lines), "utf-8")
        overlay = folder / "overlay"
        overlay.mkdir()
        namespaces = ("--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
        packages = sysconfig.get_path("purelib")
        inside = ["/bin/bash", str(HERE / "sandbox.sh"), str(overlay), packages, str(scripts)]
        printed = _converse(["setsid", "--ctty", "--wait", "unshare", *namespaces, *inside])
    if "@@@ done" not in printed:
        raise BlockFailed(printed)
    return printed


def _converse(command: Sequence[str]) -> str:
    """Run a command on a terminal and answer what it asks."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    ours, theirs = pty.openpty()
    environment = {**os.environ, **REAL_CLOCK}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    printed = b""
    unanswered = 0
    deadline = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1.0)[0]:
                # The full screen of the mail client has drawn itself: leave it.
                if b"\x1b[?1049h" in printed[unanswered:]:
                    os.write(ours, b"q")
                    unanswered = len(printed)
                continue
            try:
                octets = os.read(ours, 65536)
            except OSError:
                break
            if not octets:
                break
            printed += octets.replace(b"\r\n", b"\n")
            for pattern, answer in _ANSWERS:
                if pattern.search(printed[unanswered:]):
                    os.write(ours, answer)
                    unanswered = len(printed)
        else:
            printed += b"\n@@@ it hangs\n"
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return printed.decode("utf-8", "replace")
