"""Header sections are found, counted and completed; nothing is touched without a rule that says so."""

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.message.headers import HeaderSection, fields_end, header_end

ORDINARY = b"Subject: one\r\nTo: a,\r\n\tb\r\n"


class HeaderEnd(SynchronousTestCase):
    def test_a_header_section_ends_at_the_first_empty_line(self) -> None:
        self.assertEqual(header_end(ORDINARY + b"\r\nbody: x\r\n\r\n"), len(ORDINARY))
        self.assertEqual(header_end(b"\r\nbody"), 0)

    def test_a_line_that_is_no_field_ends_it_only_where_there_is_no_empty_line(self) -> None:
        """What reads the message later may skip such a line, and believe the fields behind it."""
        for strange in (b"From bob Mon Jan 1\r\n", b"Hello you\r\n", b": x\r\n"):
            head = strange + ORDINARY + strange + ORDINARY
            self.assertEqual(header_end(head + b"\r\nbody"), len(head))
        self.assertEqual(fields_end(ORDINARY + b"Hello you\r\nmore\r\n"), len(ORDINARY))
        self.assertEqual(fields_end(b"Hello\r\nmore: x\r\n"), 0)
        self.assertEqual(fields_end(b" Hello: x\r\n"), 0)
        self.assertEqual(fields_end(ORDINARY), len(ORDINARY))
        self.assertEqual(fields_end(b""), 0)

    def test_the_end_of_a_header_section_is_unknown_before_the_empty_line(self) -> None:
        for octets in (b"", ORDINARY, ORDINARY + b"Hello\r\n", ORDINARY + b"\r"):
            self.assertIsNone(header_end(octets))

    def test_the_search_for_the_end_goes_on_where_it_stopped(self) -> None:
        for known in range(len(ORDINARY) + 1):
            self.assertEqual(header_end(ORDINARY + b"\r\nbody", known), len(ORDINARY))


class Hops(SynchronousTestCase):
    def test_received_fields_are_counted_in_any_case(self) -> None:
        head = (
            b"Received: a\r\nRECEIVED: b\r\n\tReceived: no\r\nreceived \t: c\r\nReceived-SPF: no\r\nX-Received: no\r\n"
        )
        self.assertEqual(HeaderSection(head).count_received(), 3)
        self.assertEqual(HeaderSection(b"Subject: Received: x\r\n").count_received(), 0)


class Missing(SynchronousTestCase):
    def test_an_existing_date_and_message_id_are_kept(self) -> None:
        self.assertEqual(HeaderSection(b"Date: x\r\nmessage-ID : y\r\n").missing_fields("d", "m"), b"")
        self.assertEqual(HeaderSection(b"DATE\t: x\r\n").missing_fields("d", "m"), b"Message-ID: <m>\r\n")

    def test_a_missing_date_and_message_id_are_added(self) -> None:
        self.assertEqual(HeaderSection(b"").missing_fields("d", "m"), b"Date: d\r\nMessage-ID: <m>\r\n")
        self.assertEqual(
            HeaderSection(b"Resent-Date: x\r\nIn-Reply-To: Message-ID: y\r\n").missing_fields("d", "m").count(b"\r\n"),
            2,
        )


class Values(SynchronousTestCase):
    def test_all_fields_of_a_name_are_found_with_their_folding(self) -> None:
        section = HeaderSection(b"FROM: a\r\nX-From: b\r\n From: c\r\nfrom \t:d\r\n\te\r\nFrom-A: f\r\nFrom:\r\n")
        self.assertEqual(section.values(b"from"), [b" a", b"d\r\n\te", b""])
        self.assertEqual(section.values(b"sender"), [])

    def test_the_last_line_may_lack_its_end(self) -> None:
        self.assertEqual(HeaderSection(b"From: a").values(b"from"), [b" a"])


class MessageIdentifiers(SynchronousTestCase):
    def test_a_field_is_found_in_any_case_and_folded(self) -> None:
        for field in (b"Message-ID: <a@b>", b"MESSAGE-ID:<a@b> ", b"message-id :\r\n\t<a@b>\r\n "):
            self.assertEqual(
                HeaderSection(b"Subject: one\r\n" + field + b"\r\nTo: bob\r\n").message_id(), "<a@b>", field
            )

    def test_a_malformed_message_id_is_none(self) -> None:
        for field in (b"X-Message-ID: <a@b>", b"Message-ID:", b"Message-ID: <\xff@b>", b"Message-ID: <a b@c>"):
            self.assertEqual(HeaderSection(ORDINARY + field + b"\r\n").message_id(), "", field)
        self.assertEqual(HeaderSection(ORDINARY).message_id(), "")


class Results(SynchronousTestCase):
    def cleaned(self, *fields: bytes) -> list[bytes]:
        head = b"".join(field + b"\r\n" for field in (b"Subject: one", *fields, b"To: bob"))
        kept = (
            HeaderSection(head)
            .without_claims_of("Mx.Example.test")
            .removeprefix(b"Subject: one\r\n")
            .removesuffix(b"To: bob\r\n")
        )
        return kept.split(b"\r\n")[:-1]

    def test_fields_that_claim_to_be_ours_are_removed_whole(self) -> None:
        for ours in (
            b"Authentication-Results: mx.example.test; spf=pass",
            b"AUTHENTICATION-RESULTS:MX.EXAMPLE.TEST 1; none",
            b"Authentication-Results: mx.example.test.; none",
            b"Authentication-Results: (" + b"x" * 3000 + b") mx.example.test; spf=pass",
            b"Authentication-Results: " + b"x" * 3000,
            b"Authentication-Results :\r\n mx.example.test;\r\n\tspf=pass\r\n dkim=pass",
            b'Authentication-Results: "mx.example.test"; none',
            b"Authentication-Results: (a (nested) \\) comment) mx.example.test; none",
            b"Authentication-Results: mx.example.test(comment); none",
            b"Authentication-Results: mx.ex\\ample.test; none",
            b"ARC-Authentication-Results: i=1; mx.example.test; spf=pass",
            b"ARC-authentication-results:\r\n i = 12 ; (x) MX.example.test; none",
            b"Received-SPF: pass (mx.example.test: domain of a@b.test designates 192.0.2.1) client-ip=192.0.2.1;",
            b"Received-SPF: Pass client-ip=192.0.2.1; helo=x.test;\r\n receiver=mx.Example.test;",
            b'received-spf: pass (x) receiver="mx.example.test"; helo=x.test',
            b"Return-Path: <ceo@example.test>",
            b"return-path :\r\n <>",
        ):
            self.assertEqual(self.cleaned(ours), [], ours)

    def test_fields_of_others_stay_octet_for_octet(self) -> None:
        for theirs in (
            b"Authentication-Results: other.test; spf=pass",
            b"Authentication-Results: amx.example.test; none",
            b"Authentication-Results: mx.example.testing; none",
            b"Authentication-Results: other.test (mx.example.test); none",
            b"Authentication-Results: ) other.test; none",
            b"Authentication-Results:",
            b"Authentication-Results: \\",
            b"ARC-Authentication-Results: i=1; other.test; spf=pass",
            b"ARC-Seal: i=1; mx.example.test",
            b"Received-SPF: pass (other.test: domain of mx.example.test designates) receiver=other.test;",
            b"Received-SPF: none",
            b"X-Return-Path: <a@b.test>",
            b"Return-Path-Not: <a@b.test>",
            b"X-Authentication-Results: mx.example.test; none",
            b"Authentication-Results-Old: mx.example.test; none",
        ):
            self.assertEqual(self.cleaned(theirs), [theirs])

    def test_a_head_without_them_is_the_same_object(self) -> None:
        self.assertIs(HeaderSection(ORDINARY).without_claims_of("mx.example.test"), ORDINARY)
