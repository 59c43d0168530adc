"""Queue, routes and other hosts in the configuration file: what they load to, and what is said of wrong ones."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.consistency import probable_mistakes
from emailsys.config.loader import ConfigError, load, parse
from emailsys.config.settings import (
    AddressOrder,
    OutboundSettings,
    OutboundTimeouts,
    QueueSettings,
    RouteSettings,
    SendingSettings,
    Settings,
)
from emailsys.config.toml_text import render
from emailsys.mail.next_hop import TLSPolicy, read_destination
from emailsys.mail.pipe import Pipe
from emailsys.policy.next_hop import host_route

ROUTE = """
[[routing.routes]]
host = "Smtp.Example.net"
port = 587
recipient_domain = "Example.com"
tls = "verified"
username = "we"
password_file = "password"
[[routing.routes]]
host = "[192.0.2.1]"
sender_domain = "example.org"
implicit_tls = true
certificate_name = "other.example.net"
"""


class Reading(SynchronousTestCase):
    def read(self, text: str, folder: str = "/etc") -> Settings:
        return parse(text, f"{folder}/emailsys.toml", Path("/srv"), machine="mx.example.org")

    def problems(self, text: str) -> str:
        with self.assertRaises(ConfigError) as caught:
            self.read(text)
        return str(caught.exception)


class PlaintextAuth(Reading):
    def test_networks_that_may_log_in_without_tls_are_warned_of(self) -> None:
        settings = self.read(
            '[smtp]\nplaintext_auth_networks = ["172.18.0.0/16"]\n[pop3]\nplaintext_auth_networks = []\n'
        )
        self.assertEqual(settings.smtp.plaintext_auth_networks, ("172.18.0.0/16",))
        self.assertIn(
            "smtp.plaintext_auth_networks: 172.18.0.0/16; passwords of its clients can be read on the way",
            list(probable_mistakes(settings)),
        )


class Sending(Reading):
    def test_senders_are_named_as_they_are_counted(self) -> None:
        text = '[sending]\nrecipients_per_hour = 0\nunlimited = ["News@Example.org", "@Example.org", "192.0.2.0/24"]\n'
        expected = SendingSettings(
            recipients_per_hour=0, unlimited=("news@example.org", "@example.org", "192.0.2.0/24")
        )
        self.assertEqual(self.read(text).sending, expected)

    def test_an_hour_that_allows_more_than_the_day_is_odd(self) -> None:
        told = list(probable_mistakes(self.read("[sending]\nrecipients_per_hour = 5000\nmessages_per_day = 10\n")))
        self.assertEqual(told, ["sending.recipients_per_hour: 5000 is above recipients_per_day, 2000, which limits it"])

    def test_a_malformed_sender_is_named(self) -> None:
        for wrong in ('["not a sender"]', '["a b@example.org"]', '"news@example.org"', "[1]"):
            self.assertIn("sending.unlimited: found", self.problems(f"[sending]\nunlimited = {wrong}\n"))


class Queue(Reading):
    def test_seconds_are_possible_for_a_lab(self) -> None:
        settings = self.read('[queue]\nfirst_retry = 1\nretry_growth = 1.5\nwarn_after = "5s"\ngive_up_after = "1m"\n')
        expected = QueueSettings(first_retry=1.0, retry_growth=1.5, warn_after=5.0, give_up_after=60.0)
        self.assertEqual(settings.queue, expected)

    def test_what_is_wrong_is_named(self) -> None:
        said = self.problems('[queue]\nretry_growth = 0.5\nretry_jitter = "a lot"\nlease = true\nmax_retri = 1\n')
        self.assertIn("queue.retry_growth: found 0.5; allowed: a number from 1 to 10", said)
        self.assertIn('queue.retry_jitter: found "a lot"; allowed: a number from 0 to 0.5', said)
        self.assertIn("queue.lease", said)
        self.assertIn("did you mean max_retry?", said)

    def test_an_interval_that_would_have_to_shrink_is_refused(self) -> None:
        said = self.problems('[queue]\nmax_retry = "1m"\nfirst_pause = "1h"\n')
        self.assertIn('queue.max_retry: found "1m"; allowed: a duration of at least queue.first_retry ("5m")', said)
        self.assertIn('queue.max_pause: found "15m"; allowed: a duration of at least queue.first_pause ("1h")', said)

    def test_a_schedule_that_is_seldom_meant_is_told(self) -> None:
        settings = self.read('[queue]\ngive_up_after = "1m"\nretry_growth = 1\nmax_deliveries = 5\n')
        told = list(probable_mistakes(settings))
        for words in (
            'queue.warn_after: "4h" is not less than give_up_after, "1m"; senders get no warning of a delay',
            'queue.give_up_after: "1m"; RFC 5321 recommends 4 to 5 days',
            'queue.first_retry: "5m" is not less than give_up_after, "1m"',
            "queue.retry_growth: 1; the intervals do not grow",
            "queue.max_per_next_hop: 20 is above max_deliveries, 5",
        ):
            self.assertTrue(any(line.startswith(words) for line in told), (words, told))
        defaults = self.read("")
        self.assertEqual(list(probable_mistakes(defaults)), [])


class Routing(Reading):
    def folder(self) -> str:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        for name, mode in (("password", 0o644), ("closed", 0o600)):
            (folder / name).write_text("geheim\n")
            (folder / name).chmod(mode)
        return str(folder)

    def test_routes_have_their_password_from_a_file_beside_the_configuration(self) -> None:
        folder = self.folder()
        first, second = self.read(ROUTE, folder).routing.routes
        self.assertEqual(
            first,
            RouteSettings(
                "smtp.example.net",
                587,
                recipient_domain="example.com",
                tls=TLSPolicy.VERIFIED,
                username="we",
                password_file=Path(folder) / "password",
                password="geheim",
            ),
        )
        self.assertEqual(
            (second.host, second.sender_domain, second.tls), ("[192.0.2.1]", "example.org", TLSPolicy.OPPORTUNISTIC)
        )
        self.assertNotIn("geheim", repr(first))

    def test_what_is_shown_loads_to_the_same_and_tells_no_password(self) -> None:
        settings = self.read(
            '[routing]\ntrusted_networks = ["192.0.2.0/24"]\nsrs_domain = "example.org"\n' + ROUTE, self.folder()
        )
        shown = render(settings)
        self.assertNotIn("geheim", shown)
        self.assertEqual(self.read(shown).routing, settings.routing)

    def test_the_host_of_a_route_may_be_an_address_in_any_spelling(self) -> None:
        """A name of numbers is no host name, and no file with one passes."""
        for text, host in (
            ("127.0.0.1", "[127.0.0.1]"),
            ("[127.0.0.1]", "[127.0.0.1]"),
            ("2001:DB8::1", "[IPv6:2001:db8::1]"),
            ("[2001:db8::1]", "[IPv6:2001:db8::1]"),
            ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
            ("::ffff:192.0.2.1", "[192.0.2.1]"),
            ("Smtp.Example", "smtp.example"),
            ("LMTP:127.0.0.1", "lmtp:[127.0.0.1]"),
            ("lmtp:Store.Example", "lmtp:store.example"),
            ("lmtp:/run/Dovecot/lmtp", "lmtp:/run/Dovecot/lmtp"),
        ):
            (route,) = self.read(f'[[routing.routes]]\nhost = "{text}"\n').routing.routes
            self.assertEqual((route.host, route.port), (host, 24 if host.startswith("lmtp:") else 25))
        for text in (
            "127.1",
            "[tag:x]",
            "[smtp.example]",
            "fe80::1%eth0",
            "192.0.2.256",
            "/run/lmtp",
            "lmtp:",
        ):
            said = self.problems(f'[[routing.routes]]\nhost = "{text}"\n')
            self.assertIn(f'routing.routes[1].host: found "{text}"; allowed: the name of a host', said)

    def test_a_webhook_has_a_secret_and_nothing_else(self) -> None:
        folder = self.folder()
        hook = '[[routing.routes]]\nhost = "https://app.example:8443/mail"\nrecipient_domain = "app.example"\n'
        settings = self.read(f'{hook}secret_file = "closed"\n', folder)
        [route] = settings.routing.routes
        self.assertEqual((route.port, route.secret), (8443, "geheim"))
        self.assertNotIn("geheim", repr(route) + render(settings))
        self.assertEqual(str(host_route(route).next_hop), "https://app.example:8443/mail")
        self.assertEqual([], [line for line in probable_mistakes(settings) if line.startswith("routing")])
        [line] = [line for line in probable_mistakes(self.read(hook)) if line.startswith("routing")]
        self.assertIn("secret_file: not set", line)
        for key in ("port = 25", 'tls = "none"', 'username = "we"\npassword_file = "closed"'):
            with self.assertRaises(ConfigError):
                self.read(f"{hook}{key}\n", folder)
        for text in ("http://app.example/", "https://we:pw@app.example/"):
            self.assertIn("allowed: a URL of HTTPS", self.problems(f'[[routing.routes]]\nhost = "{text}"\n'))
        with self.assertRaises(ConfigError) as caught:
            self.read('[[routing.routes]]\nhost = "a.example"\nsecret_file = "closed"\n', folder)
        self.assertIn("secret_file only with a URL", str(caught.exception))

    def test_a_command_has_a_user_and_a_time_limit_and_nothing_else(self) -> None:
        command = "[[routing.routes]]\nhost = \"pipe:/usr/local/bin/tickets --key 'a b' ${recipient}\"\n"
        settings = self.read(f'{command}user = "tickets"\ntime_limit = "30s"\n')
        self.assertEqual(self.read(render(settings)).routing, settings.routing)
        [route] = settings.routing.routes
        hop = host_route(route).next_hop
        self.assertEqual(str(hop), "pipe:/usr/local/bin/tickets")
        expected = Pipe("/usr/local/bin/tickets --key 'a b' ${recipient}", "tickets", 30.0)
        self.assertEqual((hop.pipe, hop.destination), (expected, route.host))
        self.assertEqual([], [line for line in probable_mistakes(settings) if line.startswith("routing")])
        for key in ("port = 26", 'tls = "required"', 'certificate_name = "a.example"'):
            with self.assertRaises(ConfigError) as caught:
                self.read(f"{command}{key}\n")
            self.assertIn("sender_domain, user, time_limit, for a command", str(caught.exception))
        for key in ('user = "tickets"', 'time_limit = "30s"'):
            with self.assertRaises(ConfigError) as caught:
                self.read(f'[[routing.routes]]\nhost = "a.example"\n{key}\n')
            self.assertIn("only with pipe:", str(caught.exception))
        for text in ("pipe:tickets", "pipe:/bin/x ${user}", "pipe:"):
            self.assertIn("allowed: a command on one line", self.problems(f'[[routing.routes]]\nhost = "{text}"\n'))

    def test_the_name_of_a_socket_fits_into_its_address(self) -> None:
        self.assertEqual(read_destination("lmtp:/" + "x" * 106), "lmtp:/" + "x" * 106)
        for path in ("/" + "x" * 107, "/" + "ä" * 54, "/run/\x1b[2J"):
            self.assertIsNone(read_destination(f"lmtp:{path}"))

    def test_a_socket_has_neither_tls_nor_a_login(self) -> None:
        socket = '[[routing.routes]]\nhost = "lmtp:/run/lmtp"\n'
        for line in ('tls = "required"', "implicit_tls = true", 'tls = "verified"'):
            said = self.problems(f"{socket}{line}\n")
            self.assertIn('routing.routes[1].host: found "lmtp:/run/lmtp"; allowed: a host: a socket has', said)

    def test_nobody_is_trusted_by_default(self) -> None:
        routing = self.read("").routing
        self.assertEqual((routing.trusted_networks, routing.relay_domains, routing.routes), ((), (), ()))
        self.assertTrue(routing.srs)
        self.assertIn("routing.relay_domains", self.problems('[routing]\nrelay_domains = ["no domain"]\n'))

    def test_a_password_is_not_waited_for_at_a_pipe(self) -> None:
        """Nor read from a device without an end."""
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        pipe = Path(self.mktemp()).absolute()
        os.mkfifo(pipe)
        for name in (str(pipe), "/dev/zero"):
            route = f'[[routing.routes]]\nhost = "a.test"\nusername = "we"\npassword_file = "{name}"\n'
            self.assertRegex(self.problems(route), "password_file: found .*; allowed: .* a text file that can be read")

    def test_wrong_routes_are_named(self) -> None:
        said = self.problems(
            '[routing]\ntrusted_networks = ["192.0.2.1/24"]\nsrs_domain = "-"\n'
            "[[routing.routes]]\nport = 25\n"
            '[[routing.routes]]\nhost = "a b"\ntls = "maybe"\nusername = "we"\n'
            '[[routing.routes]]\nhost = "a.test"\nusername = ""\npassword_file = "is-not-there"\n'
        )
        for part in (
            'routing.trusted_networks: found "192.0.2.1/24"; allowed: a list of networks without host bits',
            'routing.srs_domain: found "-"',
            "routing.routes[1].host: found nothing",
            'routing.routes[2].host: found "a b"',
            '"opportunistic" or "required" or "verified"',
            "routing.routes[2].password_file: found nothing",
            "routing.routes[3].username",
            "is-not-there",
        ):
            self.assertIn(part, said)
        self.assertIn("[[routing.routes]]", self.problems('[routing]\nroutes = "a.test"\n'))
        self.assertIn("a list of networks", self.problems('[routing]\ntrusted_networks = "192.0.2.1"\n'))

    def test_routes_that_contradict_themselves_or_each_other_are_refused(self) -> None:
        folder = self.folder()
        text = (
            '[[routing.routes]]\nhost = "a.example"\ntls = "none"\nimplicit_tls = true\n'
            '[[routing.routes]]\nhost = "b.example"\npassword_file = "password"\n'
        )
        with self.assertRaises(ConfigError) as caught:
            self.read(text, folder)
        said = str(caught.exception)
        self.assertIn('routing.routes[1].tls: found "none"; allowed: another policy if implicit_tls is true', said)
        self.assertIn("routing.routes[2]: found the same domains as routing.routes[1]; allowed: one route", said)
        self.assertIn("routing.routes[2].password_file: found ", said)

    def test_settings_that_expose_mail_or_passwords_are_warned_of(self) -> None:
        routes = (
            '[[routing.routes]]\nhost = "a.example"\nport = 465\nusername = "we"\npassword_file = "password"\n'
            'tls = "required"\n'
            '[[routing.routes]]\nhost = "b.example"\nrecipient_domain = "b.example"\ncertificate_name = "c.example"\n'
            '[[routing.routes]]\nhost = "d.example"\nrecipient_domain = "d.example"\ntls = "none"\nusername = "we"\n'
            'password_file = "closed"\n'
        )
        networks = '[routing]\ntrusted_networks = ["0.0.0.0/0", "192.0.2.0/24", "2001:db8::/32"]\n'
        others = '[outbound]\nsource_ipv6 = "::1"\naddress_order = "ipv4-only"\n[outbound.timeouts]\nfinal = "1m"\n'
        settings = self.read(networks + routes + others, self.folder())
        told = list(probable_mistakes(settings))
        for words in (
            "routing.trusted_networks: 0.0.0.0/0; all its hosts may send to any address",
            'routing.routes[1].tls: "required"; a login implies "verified": a host without a valid certificate',
            'routing.routes[2].certificate_name: it has no effect without tls = "verified"',
            'routing.routes[3].tls: "none"; no password is sent without TLS, so mail waits',
            "routing.routes[1].implicit_tls: false; hosts expect TLS from the first octet on port 465",
            "routing.routes[1].password_file: ",
            'outbound.source_ipv6: has no effect with address_order = "ipv4-only"',
            'outbound.timeouts: RFC 5321 requires more in final ("1m")',
        ):
            self.assertTrue(any(line.startswith(words) for line in told), (words, told))
        self.assertEqual(len(told), 8, told)

    def test_a_login_or_a_pinned_certificate_implies_a_verified_host(self) -> None:
        """By default; whatever a file says instead, `NextHop.is_verified` decides."""
        pin = ":".join(["0F"] * 32)
        text = (
            '[[routing.routes]]\nhost = "a.example"\nusername = "we"\npassword_file = "password"\n'
            f'[[routing.routes]]\nhost = "b.example"\ncertificate_fingerprint = "{pin}"\n'
            'recipient_domain = "b.example"\n'
            '[[routing.routes]]\nhost = "c.example"\nrecipient_domain = "c.example"\n'
        )
        settings = self.read(text, self.folder())
        tls = [route.tls for route in settings.routing.routes]
        self.assertEqual(tls, [TLSPolicy.VERIFIED, TLSPolicy.VERIFIED, TLSPolicy.OPPORTUNISTIC])
        self.assertEqual(settings.routing.routes[1].certificate_fingerprint, "0f" * 32)
        said = self.problems('[[routing.routes]]\nhost = "a.example"\ncertificate_fingerprint = "0F:0F"\n')
        self.assertIn("certificate_fingerprint: found", said)
        self.assertIn("64 hexadecimal digits", said)


OUTBOUND = """
[outbound]
enabled = false
tls = "verified"
clear_after_failed_tls = false
ca_file = "ca.pem"
nameservers = ["192.0.2.53", "127.0.0.1:5353", "[2001:db8::53]:54", "2001:db8::54"]
address_order = "ipv6-only"
own_addresses = ["192.0.2.9"]
source_ipv4 = "192.0.2.1"
source_ipv6 = "2001:DB8::1"
connections_per_host = 3
idle_timeout = 0
[outbound.timeouts]
connect = "2s"
final = 0.5
"""


class Outbound(Reading):
    def test_all_of_it_may_be_changed(self) -> None:
        outbound = self.read(OUTBOUND).outbound
        self.assertEqual(
            outbound,
            OutboundSettings(
                enabled=False,
                timeouts=OutboundTimeouts(connect=2.0, final=0.5),
                tls=TLSPolicy.VERIFIED,
                clear_after_failed_tls=False,
                ca_file=Path("/etc/ca.pem"),
                nameservers=(("192.0.2.53", 53), ("127.0.0.1", 5353), ("2001:db8::53", 54), ("2001:db8::54", 53)),
                address_order=AddressOrder.IPV6_ONLY,
                own_addresses=("192.0.2.9",),
                source_ipv4="192.0.2.1",
                source_ipv6="2001:db8::1",
                connections_per_host=3,
                idle_timeout=0.0,
            ),
        )

    def test_what_is_shown_loads_to_the_same(self) -> None:
        for settings in (self.read(OUTBOUND), self.read("")):
            self.assertEqual(self.read(render(settings)), settings)

    def test_mail_leaves_by_default_but_not_without_a_configuration(self) -> None:
        self.assertTrue(self.read("").outbound.enabled)
        self.assertFalse(load(None, Path("/srv")).outbound.enabled)

    def test_what_is_wrong_is_named(self) -> None:
        said = self.problems(
            '[outbound]\nnameservers = ["dns.example.net"]\nown_addresses = ["here"]\nsource_ipv4 = "2001:db8::1"\n'
            'source_ipv6 = "x"\naddress_order = "ipv5"\nhosts_per_attempt = 0\n'
            '[outbound.timeouts]\nconnect = "soon"\nfinall = 3\n'
        )
        for part in (
            'outbound.nameservers: found "dns.example.net"',
            'outbound.own_addresses: found "here"',
            'outbound.source_ipv4: found "2001:db8::1"; allowed: an IPv4 address',
            'outbound.source_ipv6: found "x"; allowed: an IPv6 address',
            '"ipv4-first" or "ipv6-first" or "ipv4-only" or "ipv6-only"',
            "outbound.hosts_per_attempt: found 0",
            'outbound.timeouts.connect: found "soon"',
            "did you mean final?",
        ):
            self.assertIn(part, said)
        for servers in ('"127.0.0.1"', '["127.0.0.1:0"]', "[53]"):
            self.assertIn("a list of name servers", self.problems(f"[outbound]\nnameservers = {servers}\n"))
        self.assertIn("a list of IP addresses", self.problems('[outbound]\nown_addresses = "192.0.2.1"\n'))
