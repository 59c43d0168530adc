"""IP addresses are parsed in every spelling, and nothing else is."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.ip import client_network, is_loopback, neighbourhood, read_ip


class IPTests(SynchronousTestCase):
    """What a socket, a configuration or a peer calls an address."""

    def test_one_host_has_one_address_however_it_is_written(self) -> None:
        for text, same in (("192.0.2.1", "::ffff:192.0.2.1"), ("fe80::1", "fe80::1%eth0"), ("::1", "0:0::1")):
            self.assertEqual(read_ip(text), read_ip(same), text)
            self.assertIsNotNone(read_ip(text), text)

    def test_what_is_no_address_is_none(self) -> None:
        for text in ("", "localhost", "192.0.2", "192.0.2.1.", "[192.0.2.1]", "::ffff:192.0.2.256"):
            self.assertIsNone(read_ip(text), text)

    def test_loopback_is_this_machine_in_every_spelling(self) -> None:
        for host in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::1%lo"):
            self.assertTrue(is_loopback(host), host)
        for host in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "fe80::1%eth0", "", "localhost", "0.0.0.0"):
            self.assertFalse(is_loopback(host), host)

    def test_a_client_is_counted_by_its_ipv4_address_or_its_ipv6_site(self) -> None:
        for text, network in (
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3::4%eth0", "2001:db8:1:2::"),
            ("", ""),
        ):
            self.assertEqual(client_network(text), network)

    def test_neighbours_are_in_a_24_or_a_48_network(self) -> None:
        for text, network in (("192.0.2.1", "192.0.2.0"), ("2001:db8:1:2:3::4", "2001:db8:1::"), ("x", "x")):
            self.assertEqual(neighbourhood(text), network)
