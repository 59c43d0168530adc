"""Mail that an alias forwards, and mail of trusted networks."""

from __future__ import annotations

import re

from twisted.internet.defer import Deferred

from emailsys.config.settings import RoutingSettings
from emailsys.mail.address import parse
from emailsys.testing.memory_peer import MemoryPeer
from tests.fakes.store.queue_house import HOUR, status_of
from tests.fakes.whole_house import WholeHouse
from tests.system.outbound.test_relay import ALICE, BOB, EVE, Systems


class Forwarding(Systems):
    """Eve writes to a local address that forwards to Bob on another host."""

    def setUp(self) -> None:
        super().setUp()
        self.far = WholeHouse(self.net, "mx.far.test", "192.0.2.3", EVE)
        self.home.alias("team@home.test", BOB)

    def forward(self, house: WholeHouse, name: str, target: str) -> None:
        change = house.store.accounts.set_forward(parse(name), [parse(target)], True)
        self.successResultOf(Deferred.fromCoroutine(change))

    def test_forwarded_mail_bears_a_sender_of_ours(self) -> None:
        """The sender is rewritten, so that SPF of far.test does not fail at away.test."""
        self.away = WholeHouse(self.net, "mx.away.test", "192.0.2.2", BOB)
        self.far.submit(EVE, "team@home.test")
        sender = self.found(BOB, self.away)["Return-Path"]
        self.assertRegex(sender, r"<SRS0=[A-Z2-7]{6}=[A-Z2-7]{2}=far\.test=eve@home\.test>")

    def test_a_bounce_of_the_last_host_returns_through_the_rewritten_sender(self) -> None:
        """Bob's mailbox is gone: the bounce of away.test goes to the rewritten address here, then to Eve."""
        self.away = WholeHouse(self.net, "mx.away.test", "192.0.2.2", "carol@away.test")
        self.away.alias(BOB, "bob@nowhere.test")
        self.far.submit(EVE, "team@home.test")
        bounce = self.found(EVE, self.far)
        message, fields = status_of(bounce)
        self.assertEqual(message["Reporting-MTA"], "dns; mx.away.test")
        self.assertEqual(fields["Final-Recipient"], "rfc822; bob@nowhere.test")
        self.assertEqual(bounce["Return-Path"], "<>")

    def test_a_refusal_of_forwarded_mail_is_reported_to_the_original_sender(self) -> None:
        self.scripted(RCPT="550 5.1.1 no such user")
        self.far.submit(EVE, "team@home.test")
        message, fields = status_of(self.found(EVE, self.far))
        self.assertEqual(message["Reporting-MTA"], "dns; mx.home.test")
        self.assertEqual(fields["Original-Recipient"], "rfc822; team@home.test")

    def test_with_srs_switched_off_the_sender_stays(self) -> None:
        self.away = WholeHouse(self.net, "mx.away.test", "192.0.2.2", BOB)
        self.plain = WholeHouse(
            self.net, "mx.plain.test", "192.0.2.4", "dave@plain.test", routing=RoutingSettings(srs=False)
        )
        self.plain.alias("team@plain.test", BOB)
        self.far.submit(EVE, "team@plain.test")
        self.assertEqual(self.found(BOB, self.away)["Return-Path"], f"<{EVE}>")

    def test_a_forward_that_another_system_leads_back_makes_no_loop(self) -> None:
        """Home recognizes the reverse-path that it has rewritten, and forwards the message no more."""
        self.away = WholeHouse(self.net, "mx.away.test", "192.0.2.2", BOB, routing=RoutingSettings(srs=False))
        self.away.alias("round@away.test", ALICE)
        self.forward(self.home, ALICE, "round@away.test")
        self.far.submit(EVE, ALICE)
        self.net.pass_time(HOUR)
        self.assertEqual([*self.home.waiting, *self.away.waiting, *self.far.waiting], [])
        self.assertEqual(len(self.home.maildrop(ALICE)), 2)
        self.assertEqual(self.far.maildrop(EVE), [])

    def test_aliases_that_stand_for_each_other_on_two_systems_end_in_one_bounce(self) -> None:
        self.away = WholeHouse(self.net, "mx.away.test", "192.0.2.2", "carol@away.test")
        self.home.alias("round@home.test", "round@away.test")
        self.away.alias("round@away.test", "round@home.test")
        self.far.submit(EVE, "round@home.test")
        self.net.pass_time(HOUR)
        self.assertEqual([*self.home.waiting, *self.away.waiting, *self.far.waiting], [])
        self.assertIn("goes round in a loop", str(status_of(self.found(EVE, self.far))[1]["Diagnostic-Code"]))


class Relays(Systems):
    """Clients that may relay, and clients that may not."""

    def refused(self, house: WholeHouse, recipient: str) -> str:
        """Return the reply to RCPT for an unauthenticated client."""
        server = MemoryPeer(house.net.hosts["192.0.2.1", 25].buildProtocol(None), self.net)
        server.say(f"EHLO x\r\nMAIL FROM:<{EVE}>\r\nRCPT TO:<{recipient}>\r\n".encode())
        return server.heard().decode().splitlines()[-1]

    def test_strangers_may_not_relay(self) -> None:
        for recipient in (BOB, "bob@[192.0.2.2]", "SRS0=AAAAAA=AA=far.test=eve@away.test"):
            self.assertTrue(self.refused(self.home, recipient).startswith("550 5.7.1"), recipient)
        forged = self.refused(self.home, "SRS0=AAAAAA=AA=away.test=bob@home.test")
        self.assertTrue(re.match(r"550 5\.1\.1", forged), forged)

    def test_a_printer_of_a_trusted_network_may(self) -> None:
        """A client in a trusted network may relay without a login."""
        host = self.scripted()
        self.office = WholeHouse(
            self.net,
            "mx.office.test",
            "192.0.2.5",
            "dave@office.test",
            routing=RoutingSettings(trusted_networks=("192.0.2.7/32",)),
        )
        self.office.receive("printer@office.test", BOB)
        self.assertEqual(len(host.messages), 1)
