"""Which hosts are this one."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.next_hop import Host, NextHop
from emailsys.net.dns.name_servers import system_name_servers
from emailsys.net.dns.own_host import OwnHost, is_local_address


class OwnHostTests(SynchronousTestCase):
    """Which hosts are this one."""

    def test_names_are_compared_without_case_and_final_dot(self) -> None:
        """As DNS does."""
        own_host = OwnHost(["Mail.Example."], [])
        self.assertTrue(own_host.is_name("mail.example"))
        self.assertFalse(own_host.is_name("example"))

    def test_an_address_is_ours_where_we_listen_on_that_port(self) -> None:
        """A test's sink on another port of this machine is another host."""
        own_host = OwnHost([], [("192.0.2.1", 25), ("*", 2525)], ["198.51.100.1"], lambda a: a == "192.0.2.9")
        self.assertTrue(own_host.is_address("192.0.2.1", 25))
        self.assertFalse(own_host.is_address("192.0.2.1", 26))
        self.assertTrue(own_host.is_address("192.0.2.9", 2525))
        self.assertFalse(own_host.is_address("192.0.2.9", 25))
        self.assertTrue(own_host.is_address("198.51.100.1", 25))
        self.assertFalse(own_host.is_address("198.51.100.1", 26))

    def test_the_kernel_knows_which_addresses_are_local(self) -> None:
        """No octet is sent."""
        self.assertTrue(is_local_address("127.0.0.1"))
        self.assertTrue(is_local_address("::1"))
        self.assertFalse(is_local_address("192.0.2.1"))
        self.assertFalse(is_local_address("not an address"))

    def test_the_systems_name_servers_are_read(self) -> None:
        """And where the file names none, this machine is asked."""
        path = Path(self.mktemp())
        self.assertEqual(system_name_servers(path), (("127.0.0.1", 53),))
        path.write_text("# comment\nsearch example\nnameserver 192.0.2.53\nnameserver\nnameserver 2001:db8::53\n")
        self.assertEqual(system_name_servers(path), (("192.0.2.53", 53), ("2001:db8::53", 53)))

    def test_a_host_is_shown_with_its_port_only_where_that_is_not_25(self) -> None:
        """And a next hop that is no domain in brackets, as people write it."""
        self.assertEqual(str(Host("", "192.0.2.1", 2525)), "[192.0.2.1]:2525")
        self.assertEqual(str(NextHop("smart.example", 587, False)), "[smart.example]:587")
        self.assertEqual(str(NextHop("example.net")), "example.net")
