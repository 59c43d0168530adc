"""Opening and closing of an SMTP client session, without I/O: greeting, EHLO, STARTTLS, login and QUIT."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque

from emailsys.mail.reply import Reply
from emailsys.wire.smtp.client_commands import Extensions, extensions_of, login_lines
from emailsys.wire.smtp.client_events import BeginTLS, Event, Goodbye, LoggedIn, Ready, Step
from emailsys.wire.smtp.client_transaction import Transaction
from emailsys.wire.smtp.replies import ReplyReader

_Expected = tuple[Step, Transaction | None, int]


def confused(step: Step, said: str) -> Reply:
    """Return the outcome for an unexpected reply.

    @param said: the unexpected input.
    """
    return Reply(451, "4.5.0", f"the host does not speak SMTP: in place of {step.value} came {said}")


class Opening:
    """The part of a session that concerns the connection. The subclass adds transactions."""

    def __init__(self, hostname: str, lmtp: bool = False) -> None:
        """@param hostname: our name in EHLO. @param lmtp: whether the server speaks LMTP (RFC 2033)."""
        self._hostname = hostname
        self._lmtp = lmtp
        self._reader = ReplyReader()
        self._events: deque[Event] = deque()
        self._out: list[bytes] = []
        self._expected: deque[_Expected] = deque([(Step.GREETING, None, 0)])
        # RFC 2033 §4.1: LHLO has the semantics of EHLO, and there is no HELO.
        self._hello = b"LHLO" if lmtp else b"EHLO"
        self._login: list[bytes] = []
        self._chunking = False
        self._pipelining = False
        self._ready = False
        #: Whether the session is over.
        self.ended = False
        #: The extensions that the server offers now.
        self.extensions = Extensions()
        #: TLS version and cipher suite, "" without TLS.
        self.tls = ""

    def take(self) -> bytes:
        """Return the octets to send."""
        out = self._out
        if not out:
            return b""
        octets = out[0] if len(out) == 1 else b"".join(out)
        self._out = []
        return octets

    def starttls(self) -> None:
        """Ask for TLS (RFC 3207). Ends in BeginTLS or Unusable."""
        self._ready = False
        self._say(b"STARTTLS\r\n", Step.STARTTLS)

    def tls_began(self, tls: str) -> None:
        """Continue after a TLS handshake. Everything learned before it is discarded (RFC 3207 §4.2).

        @param tls: version and cipher suite.
        """
        self.tls = tls
        self.extensions = Extensions()
        if not self._expected:
            self._say_hello(self._hello)

    def login(self, username: str, password: str, *, token: bool = False, in_clear: bool = False) -> None:
        """Log in by PLAIN or LOGIN. Ends in LoggedIn or Unusable.

        @param token: whether the password is a bearer token, for XOAUTH2.
        @param in_clear: whether the login may be sent without TLS.
        """
        self._ready = False
        lines = login_lines(self.extensions.mechanisms, username, password, token)
        if not self.tls and not in_clear:
            self._give_up(Reply(454, "4.7.11", "the login would go in the clear: no TLS"), False)
        elif not lines:
            wanted = "XOAUTH2" if token else "PLAIN or LOGIN"
            self._give_up(Reply(454, "4.7.4", f"the server offers no login by {wanted}"), False)
        else:
            self._login = lines[1:]
            self._say(lines[0], Step.AUTH)

    def quit(self) -> None:
        """Send QUIT. Call only when idle. Ends in Goodbye or Unusable."""
        self._ready = False
        self._say(b"QUIT\r\n", Step.QUIT)

    def _say(self, octets: bytes, step: Step, transaction: Transaction | None = None, index: int = 0) -> None:
        self._out.append(octets)
        self._expected.append((step, transaction, index))

    def _say_hello(self, verb: bytes) -> None:
        self._hello = verb
        self._say(b"%s %s\r\n" % (verb, self._hostname.encode("ascii")), Step.HELLO)

    def _session_replied(self, step: Step, reply: Reply) -> None:
        ok = 200 <= reply.code < 300
        if step is Step.GREETING:
            if reply.code == 220:
                self._say_hello(self._hello)
            elif reply.is_refusal:
                # RFC 7504 §4: 521 means that the host never accepts mail. Other 5xx greetings report problems.
                self._give_up(reply, True, permanent=reply.code == 521)
            else:
                self._give_up(confused(step, f"code {reply.code}"), False)
        elif step is Step.HELLO:
            self._hello_replied(reply)
        elif step is Step.STARTTLS:
            self._starttls_replied(reply)
        elif step is Step.AUTH:
            if reply.code == 334 and self._login:
                self._say(self._login.pop(0), Step.AUTH)
            elif reply.code == 235:
                self._login = []
                self._ready = True
                self._events.append(LoggedIn())
            elif reply.is_refusal:
                self._give_up(reply, True)
            else:
                self._give_up(confused(step, f"code {reply.code}"), False)
        elif step is Step.QUIT:
            self.ended = True
            self._events.append(Goodbye())
        elif not ok:  # RSET has no reason to fail (RFC 5321 §4.1.1.5)
            self._give_up(reply if reply.is_refusal else confused(step, f"code {reply.code}"), reply.is_refusal)

    def _hello_replied(self, reply: Reply) -> None:
        if reply.code == 250:
            self.extensions = Extensions() if self._hello == b"HELO" else extensions_of(reply)
            self._pipelining = "PIPELINING" in self.extensions
            # With LMTP the number of final replies is known only after those to RCPT, and BDAT would not wait for them.
            self._chunking = self._pipelining and not self._lmtp and "CHUNKING" in self.extensions
            self._ready = True
            self._events.append(Ready(self.extensions))
        elif 500 <= reply.code < 600 and self._hello == b"EHLO" and not self.tls:
            # RFC 5321 §3.2: if a server does not support EHLO, use HELO.
            self._say_hello(b"HELO")
        elif reply.is_refusal:
            self._give_up(reply, True, permanent=reply.code >= 500)
        else:
            self._give_up(confused(Step.HELLO, f"code {reply.code}"), False)

    def _starttls_replied(self, reply: Reply) -> None:
        if reply.code != 220:
            self._give_up(reply, True, tls_refused=True)
        elif self._reader.waiting:
            # Octets after the reply may come from an attacker, and would be read as if received over TLS
            # (CVE-2021-33515 and similar).
            self._reader.discard()
            self._give_up(
                Reply(454, "4.7.5", "octets in the clear behind the reply to STARTTLS: somebody is in between"), False
            )
        else:
            self._events.append(BeginTLS())

    @abstractmethod
    def _give_up(self, reply: Reply, from_remote: bool, *, tls_refused: bool = False, permanent: bool = False) -> None:
        """End the session with that reply, and settle open transactions."""
