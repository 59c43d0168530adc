"""Play a script as the server: `S:` lines are sent to our client, `C:` lines are what it must send.

The actions in addition to those of `tests.dialogue.script`:

- ``-- send WORDS``: pass a message to the connection pool. Each word with an @ is a recipient, ``key=value`` an
  argument of `tests.fakes.net.memory_hosts.transmission`, ``8bit`` and ``utf8`` are its flags.
- ``-- hop WORDS``: before the first send, the next hop's policy: ``tls=required``, ``login``, ``implicit``,
  ``lmtp``.
- ``-- set KEY=VALUE``: before the first send, an outbound setting.
- ``-- outcome KIND TEXT``: the outcome of the next recipient, in the order of sends and recipients. The text is its
  code, enhanced code and words, ``...`` in it stands for any text; ``!`` before KIND means in doubt.
- ``-- pending``: there is no further outcome yet.
- ``-- handshake``: the TLS handshake completes. ``-- refuse``: the next connection is refused.
- ``-- connect``: the client opens another connection, and the script continues on it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred

from emailsys.config.settings import OutboundSettings
from emailsys.mail.next_hop import HostLogin, TLSPolicy
from emailsys.mail.transmission import Outcome
from tests.dialogue.script import Script, Step, matches, octets
from tests.fakes.net.memory_hosts import HOP, MemoryHosts, MemoryServer, transmission

_FLAGS = {"8bit": "eight_bit", "utf8": "smtputf8"}


def shown(outcome: Outcome) -> str:
    """Returns an outcome as scripts write it."""
    doubt = "!" if outcome.in_doubt else ""
    words = (f"{doubt}{outcome.kind.value}", str(outcome.reply.code), outcome.reply.enhanced, outcome.reply.text)
    return " ".join(word for word in words if word)


class Play:
    """One script that is being played."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._hop = HOP
        self._settings = OutboundSettings(messages_per_connection=1000)
        self._hosts: MemoryHosts | None = None
        self._server: MemoryServer | None = None
        self._sends: list[Deferred[Sequence[Outcome]]] = []
        self._decided: list[Outcome] = []
        self._next_outcome = 0

    @property
    def hosts(self) -> MemoryHosts:
        if self._hosts is None:
            self._hosts = MemoryHosts(self._settings)
        return self._hosts

    @property
    def server(self) -> MemoryServer:
        if self._server is None:
            self._server = self.hosts.connect()
        return self._server

    def run(self) -> None:
        """Play the script to its end."""
        said = b""
        for step in self._script.steps:
            if step.kind in ("S:", "S>"):
                said += octets(Step(step.number, "C" + step.kind[1], step.text))
                continue
            if said:
                sending, said = said, b""
                self.server.say(sending)
            if step.kind == "C:":
                line = self.server.line()
                self._check(step, matches(step.text, line), f"the client said {line!r}")
            else:
                self._act(step)
        if said:
            self.server.say(said)

    def _check(self, step: Step, good: bool, instead: str) -> None:
        if not good:
            raise AssertionError(f"{self._script.name}, line {step.number}: wanted {step.text!r}, {instead}")

    def _act(self, step: Step) -> None:
        word, _, rest = step.text.partition(" ")
        getattr(self, f"_do_{word}")(step, rest)

    def _do_send(self, step: Step, rest: str) -> None:
        recipients: list[str] = []
        arguments: dict[str, Any] = {}
        for word in rest.split():
            key, equals, value = word.partition("=")
            if word in _FLAGS:
                arguments[_FLAGS[word]] = True
            elif equals and "@" not in key:
                arguments[key] = {"sender": None}.get(key) if value == "<>" else _bytes_or_text(key, value)
            else:
                recipients.append(word)
        self._sends.append(self.hosts.send(transmission(*recipients, **arguments), self._hop))
        _ = self._sends[-1].addCallback(self._decided.extend)

    def _do_hop(self, step: Step, rest: str) -> None:
        for word in rest.split():
            if word.startswith("tls="):
                self._hop = dataclasses.replace(self._hop, tls=TLSPolicy(word[4:]))
            elif word == "login":
                self._hop = dataclasses.replace(self._hop, login=HostLogin("alice", "secret"))
            elif word == "implicit":
                self._hop = dataclasses.replace(self._hop, implicit_tls=True)
            elif word == "lmtp":
                self._hop = dataclasses.replace(self._hop, lmtp=True)

    def _do_set(self, step: Step, rest: str) -> None:
        key, _, value = rest.partition("=")
        changed: dict[str, Any] = {key: int(value)}
        self._settings = dataclasses.replace(self._settings, **changed)

    def _do_outcome(self, step: Step, rest: str) -> None:
        left = self._decided[self._next_outcome :]
        self._check(step, bool(left), "nothing is decided")
        self._next_outcome += 1
        self._check(step, matches(rest, shown(left[0]).encode()), f"it is {shown(left[0])!r}")

    def _do_pending(self, step: Step, rest: str) -> None:
        left = [shown(outcome) for outcome in self._decided[self._next_outcome :]]
        self._check(step, not left, f"decided is {left!r}")

    def _do_silence(self, step: Step, rest: str) -> None:
        heard = self.server.heard()
        self._check(step, not heard, f"the client said {heard!r}")

    def _do_closed(self, step: Step, rest: str) -> None:
        self.server.settle()
        heard = self.server.heard()
        self._check(step, self.server.lost and not heard, f"the client goes on, said {heard!r}")

    def _do_hang(self, step: Step, rest: str) -> None:
        self.server.lose(error.ConnectionDone())

    def _do_handshake(self, step: Step, rest: str) -> None:
        self.server.handshake()

    def _do_hello(self, step: Step, rest: str) -> None:
        self.server.settle()
        said = "x25519" if self.hosts.x25519_only else "usual"
        self._check(step, said == rest, f"it is {said!r}")

    def _do_refuse(self, step: Step, rest: str) -> None:
        self.hosts.refuse()

    def _do_connect(self, step: Step, rest: str) -> None:
        self._check(step, self.hosts.attempts > 0, "no connection is asked for")
        self._server = self.hosts.connect()

    def _do_advance(self, step: Step, rest: str) -> None:
        self.hosts.reactor.advance(float(rest))
        if self._server is not None:
            self._server.settle()

    def _do_segment(self, step: Step, rest: str) -> None:
        """Do nothing: the octets before this step were already sent."""


def _bytes_or_text(key: str, value: str) -> object:
    return value.encode().decode("unicode_escape").encode("latin-1") if key == "body" else value
