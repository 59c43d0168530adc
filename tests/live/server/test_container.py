"""The steps of Containerfile, without an engine: from an empty volume to a message, on a read-only root."""

from __future__ import annotations

import json
import re
import shlex
import unittest
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.command_blocks import CHECKOUT, Block
from tests.live.programs.sandbox import type_blocks, why_not

_PORT = 2525
# Like `podman run` and `podman exec`: a process tree and mounts of its own, no name for the user, no HOME.
_RUN = r"""
as_user="setpriv --reuid %(uid)s --regid %(gid)s --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
variables="PATH=$PATH PYTHONPATH=/srv/depended PYTHONDONTWRITEBYTECODE=1 %(environment)s"
cat > /run/start <<END
mount --make-rprivate /
mount -t tmpfs -o mode=2775,uid=%(uid)s,gid=%(gid)s tmpfs %(volume)s
mount -t proc proc /proc
mount -o remount,bind,ro /
cd /
exec $as_user env -i $variables %(command)s
END
unshare --mount --pid --fork --kill-child sh /run/start < /dev/null > /run/log 2>&1 &
container=$!
for _ in $(seq 600); do
  (: </dev/tcp/127.0.0.1/%(port)s) 2>/dev/null && break
  kill -0 $container || { cat /run/log; exit 1; }
  sleep 0.1
done
main=$(cat /proc/$container/task/$container/children)
inside() { nsenter --target $main --mount --pid --root --wd=/ $as_user env -i $variables "$@"; }
health() { inside %(health)s; }
inside id
inside touch /written || echo "@@ root is read-only"
inside ls -ld %(state)s
health > /dev/null || echo "@@ unhealthy without a store"
inside emailsys init
inside emailsys domain add example.org --postmaster alice@example.org
echo 'correct horse battery' | inside emailsys user add alice@example.org --password-stdin
TIMEFORMAT='@@ health in %%R s'
time health
inside python3 -c 'import http.client as h
for path in ("/healthz", "/readyz"):
    c = h.HTTPConnection("127.0.0.1", 9100, timeout=30); c.request("GET", path)
    print("@@", path, c.getresponse().status)'
inside python3 -c 'import smtplib
with smtplib.SMTP("127.0.0.1", %(port)s, timeout=60) as c:
    c.sendmail("eve@elsewhere.example", ["alice@example.org"], "Subject: into the container\r\n\r\nHello.\r\n")'
inside emailsys trace alice@example.org
kill -%(stop)s $main
wait $container && echo "@@ ended in order"
cat /run/log
"""


@unittest.skipIf(bool(why_not()), why_not())
class ContainerTests(SynchronousTestCase):
    def test_a_message_reaches_a_container(self) -> None:
        steps = [line.split(None, 1) for line in _lines(CHECKOUT / "Containerfile")]
        # The group of the user, root's, may not enter every folder above this Python.
        opened = 'above=$BASE; while [ "$above" != / ]; do'
        build = [f'{opened} chmod g+rx "$above"; above=$(dirname "$above"); done', "cd /srv/sandbox/source"]
        environment: list[str] = []
        said: dict[str, str] = {}
        for name, text in steps:
            if name == "COPY":
                *sources, target = shlex.split(text)
                build += [f"mkdir -p {target}"]
                build += [
                    f"cp -a {source}{'/.' if Path(CHECKOUT, source).is_dir() else ''} {target}" for source in sources
                ]
            elif name == "RUN":
                build.append(text)
            elif name == "ENV":
                environment.append(shlex.quote(text))
            else:
                said[name] = text
        compose = (CHECKOUT / "compose.yaml").read_text("utf-8")
        environment += [f"{name}={value}" for name, value in re.findall(r'(EMAILSYS_\w+): "(\w+)"', compose)]
        inner = [port.rpartition(":")[2] for port in re.findall(r'"(\d+:\d+)"', compose)]
        self.assertLessEqual({str(_PORT), *inner}, set(said["EXPOSE"].split()))
        self.assertIn(f'volumes: ["mail:{said["VOLUME"]}"]', compose)
        uid, gid = said["USER"].split(":")
        health = said["HEALTHCHECK"].partition("CMD ")[2]
        run = _RUN % {
            "uid": uid,
            "gid": gid,
            "volume": said["VOLUME"],
            "state": f"{said['VOLUME']}/emailsys",
            "environment": " ".join(environment),
            "command": shlex.join(json.loads(said["CMD"])),
            "health": shlex.join(json.loads(health)),
            "stop": said["STOPSIGNAL"].removeprefix("SIG"),
            "port": _PORT,
        }
        page = (CHECKOUT / "docs" / "containers.md").read_text("utf-8")
        commands = re.findall(r"exec mail (emailsys .*)", page)
        self.assertEqual([command for command in commands if f"{command} " not in run.replace("\n", " ")], [])
        self.assertEqual(len(commands), 4)
        blocks = [Block("Containerfile", 1, "sh", "\n".join(build), ""), Block("run", 1, "sh", run, "")]
        printed = type_blocks(blocks)
        for words in (
            f"uid={uid} gid={gid}(root)",
            "@@ root is read-only",
            "@@ unhealthy without a store",
            "@@ /healthz 200",
            "@@ /readyz 200",
            "alice@example.org",
            "@@ ended in order",
        ):
            self.assertIn(words, printed)
        self.assertRegex(printed, r"drwx--S---|drwx------")
        # Each line of the log is JSON.
        log = printed.partition("@@ ended in order\n")[2].partition("@@@")[0].strip().splitlines()
        self.assertIn("stopped", [json.loads(line)["event"] for line in log])
        print(re.findall(r"@@ (health in .*)", printed), end=" ")


def _lines(path: Path) -> list[str]:
    """The instructions of a Containerfile."""
    text = path.read_text("utf-8").replace("\\\n", "")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
