"""The report of a probe: what the server said, what was agreed on, what it accepts, and findings with verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field

from emailsys.wiretap.conversation import Conversation, Event, Json, Role
from emailsys.wiretap.explain import reply
from emailsys.wiretap.probe.offers import Accepted, Groups
from emailsys.wiretap.probe.opening import Opening
from emailsys.wiretap.probe.target import Target
from emailsys.wiretap.tls.handshake import Handshake
from emailsys.wiretap.tls.names import GROUPS, VERSIONS, name_in
from emailsys.wiretap.tls.suites import suite
from emailsys.wiretap.verdict import Finding, Verdict, worst


@dataclass(slots=True)
class Report:
    """The findings about a server. They grow while the probe runs.

    @ivar error: why the probe ended early; "" if it did not.
    @ivar began: seconds since 1970.
    """

    target: Target
    began: float
    seconds: float = 0.0
    clear: Opening | None = None
    secured: Opening | None = None
    handshake: Handshake | None = None
    path: tuple[str, ...] = ()
    versions: dict[int, Accepted] = field(default_factory=dict)
    groups: Groups | None = None
    findings: list[Finding] = field(default_factory=list)
    error: str = ""
    was_reached: bool = False
    events: list[Event] = field(default_factory=list)
    peer: str = ""
    local: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict."""
        return worst(self.findings)

    @property
    def is_complete(self) -> bool:
        """Whether each test came to a result."""
        return not self.error and all(finding.verdict is not Verdict.UNTESTED for finding in self.findings)

    def add(self, *findings: Finding) -> None:
        """Adds findings."""
        self.findings += findings

    def conversation(self) -> Conversation:
        """Returns the first connection as a conversation."""
        return Conversation(
            "probe",
            str(self.target.protocol),
            Role.CLIENT,
            self.began,
            self.peer or str(self.target),
            self.local,
            self.target.host,
            True,
            events=tuple(self.events),
        )

    def to_json(self) -> dict[str, Json]:
        """Returns the report as JSON."""
        groups = self.groups
        return {
            "host": self.target.host,
            "port": self.target.port,
            "protocol": str(self.target.protocol),
            "name": self.target.name,
            "addresses": list(self.target.addresses),
            "verdict": str(self.verdict),
            "complete": self.is_complete,
            "error": self.error,
            "seconds": round(self.seconds, 3),
            "greeting": self.clear.greeting if self.clear else self.secured.greeting if self.secured else "",
            "extensions": _explained(self.target, self.clear),
            "extensions_after_tls": _explained(self.target, self.secured),
            "handshake": self.handshake.details() if self.handshake else None,
            "path": list(self.path),
            "versions": {
                VERSIONS[version]: [suite(code).openssl or suite(code).name for code in accepted.suites]
                for version, accepted in self.versions.items()
            },
            "groups": [] if groups is None else [name_in(GROUPS, code) for code in groups.groups],
            "dhe_bits": [] if groups is None else list(groups.primes),
            "findings": [finding.to_json() for finding in self.findings],
            "conversation": self.conversation().to_json(),
        }


def explained_extensions(target: Target, opening: Opening) -> list[tuple[str, str]]:
    """Returns each extension with what it means."""
    command = "CAPA" if target.protocol.is_pop3 else "EHLO"
    prefix = "" if target.protocol.is_pop3 else "250-"
    return [
        (line, reply(str(target.protocol), f"{prefix}{line}", command, is_first=False).meaning)
        for line in opening.extensions
    ]


def _explained(target: Target, opening: Opening | None) -> list[Json]:
    if opening is None:
        return []
    return [{"line": line, "meaning": meaning} for line, meaning in explained_extensions(target, opening)]
