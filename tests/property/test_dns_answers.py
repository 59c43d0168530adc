"""Any input from a name server ends a lookup in time, and a malformed answer never fails a message permanently."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import OutboundSettings
from emailsys.mail.next_hop import NextHop
from emailsys.mail.reply import Reply
from emailsys.net.dns.name_servers import NameServers
from emailsys.net.dns.own_host import OwnHost
from emailsys.net.dns.resolver import Resolver
from tests.fakes.net.memory_net import NAME_SERVER, MemoryNet


def _zone(net: MemoryNet) -> None:
    net.zone.add("away.test", "CNAME", "mail.test")
    net.zone.add("mail.test", "MX", "10 mx1.mail.test")
    net.zone.add("mail.test", "MX", "20 mx2.mail.test")
    net.zone.add("mx1.mail.test", "A", "192.0.2.1")
    net.zone.add("mx2.mail.test", "AAAA", "2001:db8::2")


class Answers(SynchronousTestCase):
    def found(self, bend: Callable[[bytes], bytes]) -> list[str] | Reply:
        """What becomes of a lookup whose answers are bent, within its minute."""
        net = MemoryNet()
        _zone(net)
        net.zone.bend = bend
        settings = OutboundSettings()
        servers = NameServers(net, [NAME_SERVER])
        own_host = OwnHost(["self.test"], [("192.0.2.200", 25)], (), lambda address: False)
        resolver = Resolver(net, servers, settings, own_host, lambda hosts: None)
        lookup = Deferred.fromCoroutine(resolver.hosts(NextHop("away.test")))
        net.pass_time(settings.timeouts.dns + 1)
        found = self.successResultOf(lookup)
        servers.close()
        self.assertEqual(self.flushLoggedErrors(), [])
        return found if isinstance(found, Reply) else [str(host) for host in found]

    def test_unbent_answers_lead_to_the_hosts(self) -> None:
        """What the other tests start from."""
        hosts = ["mx1.mail.test [192.0.2.1]", "mx2.mail.test [IPv6:2001:db8::2]"]
        self.assertEqual(self.found(lambda octets: octets), hosts)

    @given(st.binary(max_size=600))
    def test_random_octets_delay(self, octets: bytes) -> None:
        """Behind the number of the question, as anybody can send them who sees it."""
        found = self.found(lambda answer: answer[:2] + octets)
        assert isinstance(found, Reply), found
        self.assertEqual((found.code, found.enhanced), (451, "4.4.3"))

    @given(st.integers(2, 11), st.binary(max_size=300))
    def test_random_records_behind_a_sound_header_delay(self, records: int, octets: bytes) -> None:
        """The header says that there are some, and so it is no answer without any."""
        header = b"\x81\x80\x00\x01" + bytes([0, records]) + b"\x00\x00\x00\x00"

        def bend(answer: bytes) -> bytes:
            end = answer.index(b"\x00", 12) + 5
            return answer[:2] + header + answer[12:end] + octets

        found = self.found(bend)
        if isinstance(found, Reply):
            self.assertEqual(found.code // 100, 4, found)

    @given(st.floats(0, 1, exclude_max=True))
    def test_an_answer_cut_off_anywhere_delays(self, part: float) -> None:
        """Its end is missing, and so it proves nothing."""
        found = self.found(lambda answer: answer[: int(len(answer) * part)])
        assert isinstance(found, Reply), found
        self.assertEqual((found.code, found.enhanced), (451, "4.4.3"))

    @given(st.integers(0, 2**32), st.integers(1, 8))
    def test_flipped_octets_raise_nothing(self, seed: int, count: int) -> None:
        """Which may well say something else; but they are answered by hosts or a reply, in time."""
        draw = random.Random(seed)

        def bend(answer: bytes) -> bytes:
            bent = bytearray(answer)
            for _ in range(count):
                bent[draw.randrange(2, len(bent))] = draw.randrange(256)
            return bytes(bent)

        found = self.found(bend)
        self.assertTrue(isinstance(found, Reply) or found)
