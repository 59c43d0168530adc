"""Attacks on the upgrade from plaintext to TLS: plaintext is never executed later, and all state is discarded."""

from __future__ import annotations

import base64

from twisted.internet import reactor
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.fakes.net.attacker import Attacker
from tests.fakes.net.tls_house import TLSHouse, tls12

ALICE = base64.b64encode(b"\0alice@example.test\0alice")


class AttackTestCase(TestCase):
    """A system on loopback, and a client that breaks the protocol."""

    cleartext = False
    handshake_timeout = 30.0

    def setUp(self) -> None:
        self.house = TLSHouse(reactor, self.cleartext, self.handshake_timeout)
        self.attackers: list[Attacker] = []
        self.addCleanup(self.close)

    async def close(self) -> None:
        await self.house.close(*self.attackers)
        self.assertEqual(self.house.telemetry.exceptions, [])

    async def connect(self, factory: ServerFactory, implicit_tls: bool = False) -> Attacker:
        attacker = await self.house.attack(factory, implicit_tls)
        self.attackers.append(attacker)
        return attacker

    async def starttls(self, attacker: Attacker, injected: bytes = b"") -> None:
        """Send STARTTLS with octets behind it in the same segment, then a valid handshake."""
        await self.ask_tls(attacker, injected)
        attacker.begin_tls()
        await attacker.secured()

    async def ask_tls(self, attacker: Attacker, injected: bytes = b"") -> None:
        """Send HELO and STARTTLS, and read up to the server's 220."""
        attacker.inject(b"HELO evil\r\nSTARTTLS\r\n" + injected)
        heard = await attacker.hears(b"220 2.0.0 ready to start TLS\r\n")
        self.assertEqual(heard.count(b"\r\n"), 2, heard)

    async def stls(self, attacker: Attacker, injected: bytes = b"") -> None:
        attacker.inject(b"STLS\r\n" + injected)
        await attacker.hears(b"+OK begin TLS\r\n")
        attacker.begin_tls()
        await attacker.secured()

    async def reply(self, attacker: Attacker, command: bytes) -> bytes:
        """Return the only reply line to a command, and assert that nothing else arrives."""
        attacker.say(command + b"\r\n")
        line = await attacker.hears(b"\r\n")
        self.assertEqual(attacker.heard, b"")
        return line.removesuffix(b"\r\n")


class SMTPInjectionTests(AttackTestCase):
    """CVE-2011-0411 and similar attacks: RFC 3207 §4.2."""

    async def test_commands_behind_starttls_in_one_segment_are_dropped(self) -> None:
        """The first reply within TLS answers the first command within TLS."""
        attacker = await self.connect(self.house.receive)
        await self.starttls(
            attacker,
            b"EHLO evil\r\nMAIL FROM:<mallory@evil.example>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
            b"Subject: injected\r\n\r\nx\r\n.\r\n",
        )
        self.assertEqual(await self.reply(attacker, b"NOOP"), b"250 2.0.0 OK")
        self.assertEqual(await self.reply(attacker, b"MAIL FROM:<>"), b"503 5.5.1 EHLO or HELO first")
        (dropped,) = self.house.telemetry.of("smtp-plaintext-dropped")
        self.assertTrue(dropped["ip"])
        self.assertEqual(self.house.store.messages, [])

    async def test_half_a_command_in_the_clear_is_not_completed_within_tls(self) -> None:
        """The injected beginning of a line does not become part of the victim's first line."""
        attacker = await self.connect(self.house.receive)
        await self.starttls(attacker, b"VRFY ")
        self.assertEqual(await self.reply(attacker, b"NOOP"), b"250 2.0.0 OK")

    async def test_plaintext_that_follows_in_its_own_segment_ends_the_connection(self) -> None:
        """The TLS layer receives the plaintext as an invalid record."""
        attacker = await self.connect(self.house.receive)
        await self.ask_tls(attacker)
        attacker.begin_tls(b"EHLO evil\r\nMAIL FROM:<mallory@evil.example>\r\n")
        await attacker.gone()
        self.assertEqual(self.house.telemetry.counters["smtp-login"], 0)

    async def test_a_login_behind_starttls_is_dropped(self) -> None:
        """Otherwise an attacker could log in the victim's session as himself, and read what the victim sends."""
        attacker = await self.connect(self.house.submission)
        await self.starttls(attacker, b"EHLO evil\r\nAUTH PLAIN " + ALICE + b"\r\n")
        self.assertTrue((await self.reply(attacker, b"MAIL FROM:<alice@example.test>")).startswith(b"503 5.5.1"))
        self.assertEqual(self.house.hashing.asked, [])

    async def test_a_transaction_begun_in_the_clear_is_forgotten(self) -> None:
        """Sender and recipients from before TLS are discarded."""
        attacker = await self.connect(self.house.receive)
        for command in (b"HELO evil", b"MAIL FROM:<mallory@evil.example>", b"RCPT TO:<alice@example.test>"):
            self.assertTrue((await self.reply(attacker, command)).startswith(b"250"))
        await self.starttls(attacker)
        self.assertEqual(await self.reply(attacker, b"DATA"), b"503 5.5.1 EHLO or HELO first")

    async def test_the_name_of_the_clear_is_not_in_the_received_field(self) -> None:
        """The Received field has the name from the EHLO within TLS."""
        attacker = await self.connect(self.house.receive)
        await self.reply(attacker, b"HELO evil.example")
        await self.starttls(attacker)
        for command in (b"HELO good.example", b"MAIL FROM:<carol@example.org>", b"RCPT TO:<bob@example.test>"):
            self.assertTrue((await self.reply(attacker, command)).startswith(b"250"))
        await self.reply(attacker, b"DATA")
        await self.reply(attacker, b"Subject: x\r\n\r\nx\r\n.")
        body = self.house.store.messages[-1].body
        self.assertIn(b"from good.example", body)
        self.assertIn(b"TLSv1.3", body)
        self.assertNotIn(b"evil", body)

    async def test_a_chunk_of_the_clear_is_no_part_of_a_later_message(self) -> None:
        """BDAT is sent before TLS, and BDAT LAST within TLS."""
        attacker = await self.connect(self.house.receive)
        for command in (b"HELO evil", b"MAIL FROM:<>", b"RCPT TO:<alice@example.test>", b"BDAT 7\r\nSubje"):
            self.assertTrue((await self.reply(attacker, command)).startswith(b"250"))
        await self.starttls(attacker)
        self.assertTrue((await self.reply(attacker, b"BDAT 0 LAST")).startswith(b"503"))
        self.assertEqual(self.house.store.abandoned, 1)

    async def test_a_second_starttls_is_refused_and_changes_nothing(self) -> None:
        """TLS within TLS is not supported."""
        attacker = await self.connect(self.house.receive)
        await self.starttls(attacker)
        await self.reply(attacker, b"HELO good.example")
        self.assertEqual(await self.reply(attacker, b"STARTTLS"), b"503 5.5.1 TLS is already active")
        self.assertTrue((await self.reply(attacker, b"MAIL FROM:<>")).startswith(b"250"))

    async def test_a_message_cut_off_within_tls_is_not_accepted(self) -> None:
        """A truncation attack: the records end without close_notify in the middle of DATA."""
        attacker = await self.connect(self.house.receive)
        await self.starttls(attacker)
        for command in (b"HELO good", b"MAIL FROM:<>", b"RCPT TO:<alice@example.test>", b"DATA"):
            await self.reply(attacker, command)
        attacker.say(b"Subject: half\r\n\r\nPay bob 10")
        attacker.cut()
        await attacker.gone()
        while self.house.receive.sessions:
            await deferLater(reactor, 0)
        self.assertEqual(self.house.store.messages, [])
        self.assertEqual(self.house.store.abandoned, 1)

    async def test_noise_in_place_of_a_handshake_affects_no_other_connection(self) -> None:
        """Neither the log nor other connections are affected."""
        good = await self.connect(self.house.receive)
        for noise in (b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01\x00\x02", b"GET / HTTP/1.0\r\n\r\n", bytes(3000)):
            attacker = await self.connect(self.house.receive)
            await self.ask_tls(attacker)
            attacker.inject(noise)
            if not noise.startswith(b"\x16"):
                await attacker.gone()
        self.assertEqual(await self.reply(good, b"NOOP"), b"250 2.0.0 OK")
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_tls_1_2_is_served_too(self) -> None:
        """The cipher suite fits the RSA certificate."""
        attacker = await self.connect(self.house.receive)
        await self.ask_tls(attacker)
        attacker.begin_tls(context=tls12(b"ECDHE-RSA-AES256-GCM-SHA384"))
        await attacker.secured()
        self.assertEqual(await self.reply(attacker, b"NOOP"), b"250 2.0.0 OK")


class ClearLoginTests(AttackTestCase):
    """Logins without TLS, where loopback clients may use them, end at STARTTLS."""

    cleartext = True

    async def test_an_smtp_login_of_the_clear_is_forgotten(self) -> None:
        """MAIL requires another login."""
        attacker = await self.connect(self.house.submission)
        await self.reply(attacker, b"HELO evil")
        attacker.inject(b"EHLO evil\r\n")
        self.assertIn(b"250-STARTTLS\r\n", await attacker.hears(b"250 AUTH PLAIN LOGIN\r\n"))
        self.assertTrue((await self.reply(attacker, b"AUTH PLAIN " + ALICE)).startswith(b"235"))
        await self.starttls(attacker)
        await self.reply(attacker, b"HELO evil")
        self.assertEqual(
            await self.reply(attacker, b"MAIL FROM:<alice@example.test>"), b"530 5.7.0 log in first (AUTH)"
        )

    async def test_a_user_of_the_clear_is_forgotten(self) -> None:
        """USER, STLS, PASS: the client must send USER again within TLS (RFC 2595 §4)."""
        attacker = await self.connect(self.house.pop3)
        self.assertTrue((await self.reply(attacker, b"USER alice@example.test")).startswith(b"+OK"))
        await self.stls(attacker)
        self.assertTrue((await self.reply(attacker, b"PASS alice")).startswith(b"-ERR"))
        self.assertEqual(self.house.hashing.asked, [])


class POP3InjectionTests(AttackTestCase):
    """CVE-2021-38370 and similar attacks on STLS: RFC 2595 §4, RFC 7817."""

    async def test_commands_behind_stls_in_one_segment_are_dropped(self) -> None:
        """Otherwise a victim would be logged in to the account of the attacker."""
        attacker = await self.connect(self.house.pop3)
        await self.stls(attacker, b"USER alice@example.test\r\nPASS alice\r\nDELE 1\r\nQUIT\r\n")
        self.assertTrue((await self.reply(attacker, b"STAT")).startswith(b"-ERR"))
        self.assertEqual(self.house.hashing.asked, [])

    async def test_half_a_command_in_the_clear_is_not_completed_within_tls(self) -> None:
        """The injected "USER mallory" line does not swallow the victim's line."""
        attacker = await self.connect(self.house.pop3)
        await self.stls(attacker, b"USER mallory")
        self.assertTrue((await self.reply(attacker, b"USER alice@example.test")).startswith(b"+OK"))
        self.assertTrue((await self.reply(attacker, b"PASS alice")).startswith(b"+OK"))

    async def test_plaintext_that_follows_in_its_own_segment_ends_the_connection(self) -> None:
        """The TLS layer receives the plaintext as an invalid record."""
        attacker = await self.connect(self.house.pop3)
        attacker.inject(b"STLS\r\n")
        await attacker.hears(b"+OK begin TLS\r\n")
        attacker.begin_tls(b"USER alice@example.test\r\nPASS alice\r\n")
        await attacker.gone()
        self.assertEqual(self.house.hashing.asked, [])

    async def test_stls_within_tls_or_after_login_is_refused(self) -> None:
        """RFC 2595 §4: STLS is valid only in the authorization state."""
        attacker = await self.connect(self.house.pop3)
        await self.stls(attacker)
        self.assertTrue((await self.reply(attacker, b"STLS")).startswith(b"-ERR"))
        await self.reply(attacker, b"USER alice@example.test")
        self.assertTrue((await self.reply(attacker, b"PASS alice")).startswith(b"+OK"))
        self.assertTrue((await self.reply(attacker, b"STLS")).startswith(b"-ERR"))

    async def test_a_session_cut_off_within_tls_deletes_nothing(self) -> None:
        """The records end without QUIT and without close_notify. The maildrop is free for the next login."""
        attacker = await self.connect(self.house.pop3, implicit_tls=True)
        attacker.begin_tls()
        await attacker.hears(b"\r\n")
        for command in (b"USER alice@example.test", b"PASS alice", b"DELE 1"):
            self.assertTrue((await self.reply(attacker, command)).startswith(b"+OK"))
        attacker.cut()
        await attacker.gone()
        while self.house.pop3.sessions:
            await deferLater(reactor, 0)
        maildrop = await self.house.store.maildrops.open(self.house.alice.account_id)
        self.assertEqual(len(maildrop.listMessages()), 1)
        maildrop.release()


class ImplicitTLSTests(AttackTestCase):
    """Ports 465 and 995: no plaintext at all (RFC 8314)."""

    async def test_implicit_tls_sends_no_greeting_before_the_handshake(self) -> None:
        """Plaintext is an invalid record: the server sends no greeting and accepts no login."""
        for factory in (self.house.submission, self.house.pop3):
            attacker = await self.connect(factory, implicit_tls=True)
            attacker.inject(b"EHLO evil\r\nAUTH PLAIN " + ALICE + b"\r\n")
            heard = await attacker.gone()
            self.assertNotIn(b"220", heard)
            self.assertNotIn(b"+OK", heard)
        self.assertEqual(self.house.hashing.asked, [])

    async def test_a_login_and_a_mail_within_tls(self) -> None:
        """A login and a message within TLS. The session has the negotiated parameters."""
        client = await self.connect(self.house.submission, implicit_tls=True)
        client.begin_tls()
        await client.hears(b"\r\n")
        client.say(b"EHLO good\r\n")
        heard = await client.hears(b"250 AUTH PLAIN LOGIN\r\n")
        self.assertNotIn(b"STARTTLS", heard)
        self.assertTrue((await self.reply(client, b"AUTH PLAIN " + ALICE)).startswith(b"235"))
        self.assertTrue((await self.reply(client, b"MAIL FROM:<bob@example.test>")).startswith(b"553 5.7.1"))
        self.assertTrue((await self.reply(client, b"MAIL FROM:<alice@example.test>")).startswith(b"250"))
        self.assertTrue((await self.reply(client, b"RCPT TO:<carol@example.org>")).startswith(b"250"))
        self.assertTrue((await self.reply(client, b"RCPT TO:<bob+tag@[127.0.0.1]>")).startswith(b"250"))
        (login,) = self.house.telemetry.of("smtp-login")
        self.assertRegex(str(login["tls"]), r"^TLSv1\.3 TLS_")


class HandshakeTimeoutTests(AttackTestCase):
    """A client that begins TLS and then sends nothing, or little, is disconnected in time."""

    handshake_timeout = 0.1

    async def test_silence_after_starttls_and_stls_is_ended(self) -> None:
        """This includes a ClientHello that never ends."""
        for begun in (b"", b"\x16\x03\x01\x02\x00\x01"):
            attacker = await self.connect(self.house.receive)
            await self.ask_tls(attacker)
            attacker.inject(begun)
            self.assertEqual(await attacker.gone(), b"")
            attacker = await self.connect(self.house.pop3)
            attacker.inject(b"STLS\r\n")
            await attacker.hears(b"+OK begin TLS\r\n")
            attacker.inject(begun)
            self.assertEqual(await attacker.gone(), b"")

    async def test_silence_on_a_port_of_implicit_tls_is_ended(self) -> None:
        """The connection ends before any greeting."""
        for factory in (self.house.submission, self.house.pop3):
            attacker = await self.connect(factory, implicit_tls=True)
            self.assertEqual(await attacker.gone(), b"")

    async def test_a_client_hello_pipelined_behind_starttls_is_dropped_with_the_plaintext(self) -> None:
        """A client must wait for 220 (RFC 3207 §4): octets before it could be an attacker's."""
        attacker = await self.connect(self.house.receive)
        attacker.begin_tls(b"HELO evil\r\nSTARTTLS\r\n")
        await attacker.gone()
        self.assertEqual(len(self.house.telemetry.of("smtp-plaintext-dropped")), 1)
