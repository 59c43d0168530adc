"""IP addresses are parsed in every spelling, and nothing else is."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.ip import client_network, is_loopback, is_private_use, is_public, neighbourhood, read_ip


class IPTests(SynchronousTestCase):
    """What a socket, a configuration or a peer calls an address."""

    def test_one_host_has_one_address_however_it_is_written(self) -> None:
        for text, same in (("192.0.2.1", "::ffff:192.0.2.1"), ("fe80::1", "fe80::1%eth0"), ("::1", "0:0::1")):
            self.assertEqual(read_ip(text), read_ip(same), text)
            self.assertIsNotNone(read_ip(text), text)

    def test_a_malformed_address_is_none(self) -> None:
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

    def test_what_only_looks_like_an_ipv4_address_is_other_text(self) -> None:
        for text in ("256.0.2.1", "192.0.2.01", "192.0.2.1\n", "192.0.2.\u0661", "127.1", "127.0.0.1.1"):
            self.assertEqual((client_network(text), neighbourhood(text), is_loopback(text)), (text, text, False))
        for text in ("0.0.0.0", "9.19.199.249", "255.250.200.100"):
            self.assertEqual(neighbourhood(text), text[: text.rindex(".")] + ".0")

    def test_public_addresses_are_those_of_the_internet(self) -> None:
        """The networks of examples count, so that a laboratory can play the Internet."""
        for host in (
            "192.0.2.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "::ffff:192.0.2.1", "2001:db8::1",
            "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1",
        ):  # fmt: skip
            self.assertTrue(is_public(host), host)

    def test_addresses_of_this_machine_or_network_are_not_public_in_any_spelling(self) -> None:
        """An IPv6 address that contains an IPv4 address leads to it."""
        for host in (
            "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "10.1.1.1", "172.31.0.1", "192.168.1.1", "169.254.169.254",
            "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "::2", "::1%lo",
            "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1", "fe80::1", "fe80::1%eth0",
            "fec0::1", "fd00::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::808:808", "2001:0:7f00:1::",
            "2002:7f00:1::", "2002:a00:1::5", "", "localhost", "127.1",
        ):  # fmt: skip
            self.assertFalse(is_public(host), host)

    def test_private_use_is_what_an_operator_may_own(self) -> None:
        """RFC 1918, RFC 4193 and RFC 6598."""
        for host in ("10.1.1.1", "172.16.0.1", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fc00::1", "fd00::1"):
            self.assertTrue(is_private_use(host), host)
        for host in ("127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.1", "::1", "::", "fe80::1", "192.0.2.1", "mx"):
            self.assertFalse(is_private_use(host), host)
