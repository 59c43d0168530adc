"""Servers are found by the address: autoconfiguration, SRV records and guesses."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.accounts.autoconfig import MAX_OCTETS, servers_of
from emailsys.client.accounts.discovery import Discovery, with_login
from emailsys.client.accounts.values import (
    Auth,
    Security,
)
from emailsys.mail.address import parse
from tests.unit.client.accounts.test_accounts import ALICE, POP3

AUTOCONFIG = b"""<?xml version="1.0"?><clientConfig version="1.1"><emailProvider id="example.org">
<incomingServer type="imap"><hostname>imap.example.org</hostname><port>993</port><socketType>SSL</socketType>
<username>%EMAILADDRESS%</username><authentication>plain</authentication></incomingServer>
<incomingServer type="pop3"><hostname>pop.%EMAILDOMAIN%</hostname><port>110</port><socketType>STARTTLS</socketType>
<username>%EMAILLOCALPART%</username><authentication>OAuth2</authentication></incomingServer>
<incomingServer type="pop3"><hostname>pop.example.org</hostname><port>995</port><socketType>SSL</socketType>
<username>%EMAILADDRESS%</username><authentication>OAuth2</authentication>
<authentication>password-cleartext</authentication></incomingServer>
<incomingServer type="pop3"><hostname>pop.example.org</hostname><port>110</port><socketType>plain</socketType>
<authentication>plain</authentication></incomingServer>
<outgoingServer type="smtp"><hostname>smtp.example.org</hostname><port>465</port><socketType>SSL</socketType>
<authentication>plain</authentication></outgoingServer></emailProvider></clientConfig>"""


class DiscoveryTests(SynchronousTestCase):
    """Discovery of the servers of an address."""

    def setUp(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.records: dict[str, Sequence[tuple[int, int, int, str]]] = {}
        self.asked: list[str] = []

    async def get(self, url: str) -> bytes | None:
        self.asked.append(url)
        return self.documents.get(url)

    async def look_up(self, name: str) -> Sequence[tuple[int, int, int, str]]:
        return self.records.get(name, ())

    def discover(self, address: str, network: bool = True) -> list[str]:
        discovery = Discovery(Clock(), network=network, get=self.get, look_up=self.look_up)
        self.found = self.successResultOf(Deferred.fromCoroutine(discovery.discover(parse(address))))
        return [one.source for one in self.found]

    def test_a_known_provider_needs_no_lookup(self) -> None:
        sources = self.discover("alice@GMAIL.com")
        self.assertEqual((len(sources), self.asked), (2, []))
        self.assertEqual(str(self.found[0].pop3[0]), "pop.gmail.com:995")
        self.assertIn("app password", self.found[0].advice)

    def test_every_provider_of_the_list_can_be_read(self) -> None:
        for domain in ("outlook.com", "icloud.com", "proton.me", "posteo.de", "t-online.de", "163.com", "ya.ru"):
            self.discover(f"a@{domain}")
            self.assertIn("known providers", self.found[0].source)

    def test_autoconfig_is_read_with_implicit_tls_first(self) -> None:
        self.documents["https://example.org/.well-known/autoconfig/mail/config-v1.1.xml"] = AUTOCONFIG
        self.assertEqual(self.discover("alice@example.org")[0], "autoconfig at example.org")
        first, second = self.found[0].pop3
        self.assertEqual((str(first), first.auth, first.username), (f"{POP3}", Auth.PASSWORD, "alice@example.org"))
        self.assertEqual((second.security, second.auth, second.username), (Security.STARTTLS, Auth.TOKEN, "alice"))
        self.assertEqual(str(self.found[0].smtp[0]), "smtp.example.org:465")

    def test_a_document_that_is_none_or_explodes_offers_nothing(self) -> None:
        bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><clientConfig>&b;</clientConfig>'
        for octets in (
            b"",
            b"<html>",
            b"\xff\xfe",
            bomb,
            b"x" * (MAX_OCTETS + 1),
            AUTOCONFIG.replace(b"995", b"x")[:-9],
        ):
            self.assertEqual(servers_of(octets, ALICE), ((), ()))

    def test_values_that_are_no_servers_are_left_out(self) -> None:
        for old, new in ((b">995<", b">99999<"), (b">995<", b"> <"), (b">pop.example.org<", b">a b<")):
            pop3, _ = servers_of(AUTOCONFIG.replace(old, new), ALICE)
            self.assertEqual([server.port for server in pop3], [110])

    def test_srv_records_are_taken_in_their_order_and_foreign_names_are_reported(self) -> None:
        self.records = {
            "_pop3s._tcp.example.org": [(20, 0, 995, "second.example.org"), (10, 0, 995, "first.example.org.")],
            "_pop3._tcp.example.org": [(0, 0, 0, ".")],
            "_submission._tcp.example.org": [(0, 1, 587, "smtp.provider.example")],
        }
        self.assertEqual(self.discover("alice@example.org")[0], "the SRV records of example.org")
        self.assertEqual([server.host for server in self.found[0].pop3], ["first.example.org", "second.example.org"])
        self.assertEqual(self.found[0].smtp[0].security, Security.STARTTLS)
        self.assertEqual(self.found[0].unproven, {"smtp.provider.example"})

    def test_without_answers_names_are_guessed_and_never_without_tls(self) -> None:
        (source,) = self.discover("alice@example.org")
        self.assertIn("guess", source)
        self.assertEqual(len(self.asked), 3)
        self.assertEqual(str(self.found[0].pop3[0]), "pop.example.org:995")
        self.assertNotIn(Security.NONE, {one.security for one in self.found[0].pop3 + self.found[0].smtp})
        self.asked.clear()
        self.assertEqual((len(self.discover("alice@example.org", network=False)), self.asked), (1, []))

    def test_discovered_settings_can_be_overridden(self) -> None:
        self.discover("alice@example.org")
        changed = with_login(self.found[0], "other", Auth.TOKEN)
        self.assertEqual({(one.username, one.auth) for one in changed.pop3 + changed.smtp}, {("other", Auth.TOKEN)})
