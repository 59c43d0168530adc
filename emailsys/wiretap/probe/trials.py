"""Single ClientHellos, each on its own connection, and what the server answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from emailsys.wiretap.probe.connection import Connection, no_tls
from emailsys.wiretap.probe.limits import Deadline, Failure, ProbeError, patiently
from emailsys.wiretap.probe.opening import up_to_tls
from emailsys.wiretap.probe.target import Target
from emailsys.wiretap.tls.client_hello import Offer, client_hello
from emailsys.wiretap.tls.flight import KeyExchange, parse_certificates, parse_key_exchange
from emailsys.wiretap.tls.hello import ServerHello, parse_server_hello
from emailsys.wiretap.tls.names import ALERTS, TLS13, name_in
from emailsys.wiretap.tls.records import MessageReader, RecordReader, RecordType

_SERVER_HELLO: Final = 2
_CERTIFICATE: Final = 11
_SERVER_KEY_EXCHANGE: Final = 12
_SERVER_HELLO_DONE: Final = 14
#: Alerts by which a server says that it has nothing of what was offered.
_REFUSALS: Final = frozenset({"handshake_failure", "protocol_version", "insufficient_security", "illegal_parameter"})


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a server to a ClientHello.

    @ivar hello: None if it did not accept the offer.
    @ivar alert: the alert by which it refused; "" if it closed the connection or sent no TLS.
    """

    hello: ServerHello | None = None
    key_exchange: KeyExchange | None = None
    certificates: tuple[bytes, ...] = ()
    alert: str = ""

    @property
    def refuses_version(self) -> bool:
        """Whether the server says that it does not speak the version at all."""
        return self.alert == "protocol_version"

    @property
    def is_clear(self) -> bool:
        """Whether it is an answer to the offer, and not a fault that may be gone the next time."""
        return self.hello is not None or self.alert in _REFUSALS


#: What there is before the server has answered.
NO_ANSWER: Final = Answer()


class Trials:
    """Sends ClientHellos to one server, each on a new connection."""

    def __init__(self, target: Target, deadline: Deadline) -> None:
        self._target = target
        self._deadline = deadline

    def offer(self, version: int, suites: tuple[int, ...], *, whole: bool = False, **rest: tuple[int, ...]) -> Answer:
        """Offers one version and some suites.

        @param whole: whether the certificates and the key exchange are waited for too (not in TLS 1.3).
        @param rest: other attributes of Offer.
        @raise ProbeError: the server could not be asked.
        """
        offer = replace(Offer(version, suites, server_name=self._target.server_name), **rest)  # type: ignore[arg-type]
        ask = partial(self._ask, offer, whole)
        answer = patiently(self._deadline, ask)
        # Some servers close the connection instead of an alert, some because they are busy.
        return answer if answer.is_clear else patiently(self._deadline, ask)

    def _ask(self, offer: Offer, whole: bool) -> Answer:
        with Connection(self._target, self._deadline) as connection:
            up_to_tls(connection)
            connection.require_silence()
            connection.send_raw(client_hello(offer))
            return _answer(connection, whole and offer.version < TLS13)


def _answer(connection: Connection, whole: bool) -> Answer:
    records, messages, found = RecordReader(), MessageReader(), Answer()
    until = connection.answer_until()
    while not records.flaw and not messages.flaw:
        try:
            octets = connection.receive_raw(until)
        except ProbeError as error:
            if error.failure in (Failure.STALLED, Failure.FLOODED) and found.hello is not None:
                return found
            raise
        if not octets:
            return found
        for record in records.feed(octets):
            if record.type is RecordType.ALERT and len(record.body) == 2:
                # A warning, for example about the name, is no refusal.
                if record.body[0] == 2 or (found.hello is None and record.body[1] != 112):
                    return replace(found, alert=name_in(ALERTS, record.body[1]))
            elif record.type is RecordType.HANDSHAKE:
                found, is_complete = _read(messages, record.body, found, whole)
                if is_complete:
                    return found
        if records.flaw and found.hello is None:
            raise no_tls(octets)
    return found


def _read(messages: MessageReader, fragment: bytes, found: Answer, whole: bool) -> tuple[Answer, bool]:
    for message in messages.feed(fragment):
        hello = found.hello
        if message.type == _SERVER_HELLO:
            found = replace(found, hello=parse_server_hello(message.body))
            if found.hello is None or not whole:
                return found, True
        elif message.type == _CERTIFICATE and hello is not None:
            found = replace(found, certificates=parse_certificates(message.body, hello.version))
        elif message.type == _SERVER_KEY_EXCHANGE and hello is not None:
            found = replace(found, key_exchange=parse_key_exchange(message.body, hello.version, hello.suite))
        elif message.type == _SERVER_HELLO_DONE:
            return found, True
    return found, False
