"""Addresses are parsed by RFC 5321 and RFC 6531, printed, and compared without case."""

import contextlib
import time

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import (
    Address,
    AddressSyntaxError,
    domain_key,
    host_name,
    is_address_literal,
    is_domain,
    is_mail_domain,
    parse,
    parse_foreign,
)


class Parse(SynchronousTestCase):
    def test_addresses_of_rfc_5321_are_parsed_and_printed_unchanged(self) -> None:
        for text, address in {
            "alice@example.test": Address("alice", "example.test"),
            "o'neil+tag@b": Address("o'neil+tag", "b"),
            "a.b.c@x-y.z9": Address("a.b.c", "x-y.z9"),
            '"a b"@c': Address("a b", "c"),
            '"a\\"b\\\\"@c': Address('a"b\\', "c"),
            '"@"@c': Address("@", "c"),
            '""@c': Address("", "c"),
            "a@[192.0.2.1]": Address("a", "[192.0.2.1]"),
            "a@[IPv6:2001:db8::1]": Address("a", "[IPv6:2001:db8::1]"),
            "a@[tag:anything]": Address("a", "[tag:anything]"),
            "j\u00fcrgen@gr\u00fc\u00dfe.test": Address("j\u00fcrgen", "gr\u00fc\u00dfe.test"),
        }.items():
            self.assertEqual(parse(text), address)
            self.assertEqual(str(address), text)

    def test_a_quoted_local_part_that_needs_no_quotes_is_the_same_address(self) -> None:
        self.assertEqual(parse('"ali\\ce"@example.test'), parse("alice@example.test"))

    def test_a_malformed_mailbox_is_refused_with_the_reason(self) -> None:
        for text, why in {
            "": "address without @domain",
            "alice": "address without @domain",
            "@b": "address without a local part",
            "a@": "address without a domain",
            "a..b@c": "malformed local part",
            ".a@c": "malformed local part",
            "a.@c": "malformed local part",
            "a b@c": "malformed local part",
            "a@b@c": "malformed local part",
            '"a"b@c': "malformed local part",
            '"a@c': "malformed local part",
            "a@b..c": "malformed domain",
            "a@b.": "malformed domain",
            "a@-b": "malformed domain",
            "a@b-": "malformed domain",
            "a@b_c": "malformed domain",
            "a@b c": "malformed domain",
            "a@" + "b" * 64: "malformed domain",
            "a@" + ".".join(["b" * 60] * 5): "path longer than 256 octets",
            "a@\u00fc" + "\u00df" * 100: "malformed domain",
            "a@\u2028": "malformed domain",
            "a@[192.0.2]": "malformed address literal",
            "a@[192.0.2.256]": "malformed address literal",
            "a@[IPv6:1:2]": "malformed address literal",
            "a@[IPv6:fe80::1%eth0]": "malformed address literal",
            "a@[192.0.2.1": "malformed address literal",
            "a@[tag:]": "malformed address literal",
        }.items():
            error = self.assertRaises(AddressSyntaxError, parse, text)
            self.assertEqual(str(error), why, text)

    def test_common_but_malformed_addresses_are_accepted_from_others(self) -> None:
        """Mobile carriers gave such addresses away, and hosts of the DNS have such names."""
        for text, printed in (
            ("a..b@docomo.example", '"a..b"@docomo.example'),
            ("a.@docomo.example", '"a."@docomo.example'),
            ("a...@docomo.example", '"a..."@docomo.example'),
            ("root@web_01.example.net", "root@web_01.example.net"),
            ("root@_dmarc.b\u00fccher.example", "root@_dmarc.b\u00fccher.example"),
        ):
            self.assertEqual(str(parse_foreign(text)), printed)
            self.assertEqual(parse_foreign(printed), parse_foreign(text))
            self.assertRaises(AddressSyntaxError, parse, text)
        self.assertIs(parse_foreign("a.b@c").__class__, Address)
        for text in (".a@c", "@c", "a", "a b@c", "a@", "a@b..c", "a@-b", "a@b c", "..@c", "a\x01b@c"):
            self.assertRaises(AddressSyntaxError, parse_foreign, text)

    def test_reading_an_address_of_others_takes_time_in_proportion_to_its_length(self) -> None:
        began = time.process_time()
        for text in ("." * 250, "a." * 125, "a" + "." * 240 + "@", "a" + "." * 240 + " @b", "a@" + "_" * 250):
            with contextlib.suppress(AddressSyntaxError):
                parse_foreign(text)
        self.assertLess(time.process_time() - began, 1.0)

    def test_control_octets_are_refused_inside_quotes_too(self) -> None:
        for octet in (*range(32), 127, *range(0x80, 0xA0)):
            for text in ('"a%sb"@c', '"a\\%sb"@c', "a%sb@c", "a@b%sc"):
                self.assertRaises(AddressSyntaxError, parse, text % chr(octet))

    def test_an_address_fits_into_a_path(self) -> None:
        """256 octets with the angle brackets (RFC 5321 §4.5.3.1.3); a local part may have more than 64 of them."""
        for local in ("a" * 252, "\u00fc" * 126, '"' + "a" * 250 + '"'):
            self.assertEqual(parse(local + "@c").local, local.strip('"'))
            error = self.assertRaises(AddressSyntaxError, parse, local + "@cc")
            self.assertEqual(str(error), "path longer than 256 octets")

    def test_a_domain_has_255_octets_at_most(self) -> None:
        longest = ".".join(["b" * 63] * 4)
        self.assertTrue(is_domain(longest))
        self.assertFalse(is_domain(longest + ".b"))
        # 100 letters of three octets, and 233 octets as A-labels.
        self.assertFalse(is_domain(".".join(["\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57\u6f22\u5b57\u6f22"] * 12)))

    def test_a_domain_that_looks_like_an_ip_address_is_refused(self) -> None:
        """A last label of digits alone is no name of any host (RFC 1123 §2.1)."""
        for text in ("127.0.0.1", "192.0.2", "example.1", "7"):
            self.assertTrue(is_domain(text), text)
            self.assertFalse(is_mail_domain(text), text)
        for text in ("example.org", "1.example", "3com.test", "a.1b", "gr\u00fcn.example", "localhost"):
            self.assertTrue(is_mail_domain(text), text)
        for text in ("", "a b", "[127.0.0.1]", "a..b"):
            self.assertFalse(is_mail_domain(text), text)

    def test_an_address_literal_has_brackets(self) -> None:
        self.assertTrue(is_address_literal("[192.0.2.1]"))
        self.assertFalse(is_address_literal("192.0.2.1"))
        self.assertFalse(is_address_literal("[tag:" + "a" * 300 + "]"))


class Compare(SynchronousTestCase):
    def test_addresses_compare_without_case_and_in_one_form(self) -> None:
        self.assertEqual(parse("Alice@Example.TEST").key, ("alice", "example.test"))
        self.assertEqual(parse("a@GR\u00dcN.test").key, ("a", "xn--grn-ioa.test"))
        self.assertEqual(parse("a@xn--grn-ioa.test").key, parse("a@gr\u00fcn.test").key)
        self.assertEqual(parse("J\u00dcRGEN@b").key, parse("ju\u0308rgen@b").key)

    def test_a_name_that_idna_refuses_is_compared_as_it_stands(self) -> None:
        self.assertEqual(domain_key("\u00fc" * 70), "\u00fc" * 70)

    def test_what_needs_smtputf8(self) -> None:
        self.assertTrue(parse("a@b").is_ascii)
        self.assertFalse(parse("\u00e4@b").is_ascii)
        self.assertFalse(parse("a@\u00fc.test").is_ascii)

    def test_bare_postmaster_is_printed_without_a_domain(self) -> None:
        self.assertEqual(str(Address("Postmaster", "")), "Postmaster")


class HostNameTests(SynchronousTestCase):
    """The name of a next hop, as an operator writes it."""

    def test_containers_and_dns_write_names_their_own_way(self) -> None:
        """Compose names a container mail_relay, and DNS ends a complete name with a dot."""
        for text, name in (("Mail_Relay", "mail_relay"), ("mx_1.example.net", "mx_1.example.net")):
            self.assertEqual(host_name(text), name)
        self.assertEqual(host_name("Smtp.Example.net."), "smtp.example.net")

    def test_what_could_be_an_address_or_is_no_name_is_refused(self) -> None:
        for text in (
            "127.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f.1",
            "fe80::1%eth0",
            "",
            ".",
            "a..",
            "a..b",
            "a b",
            "a:25",
        ):
            self.assertIsNone(host_name(text), text)
