"""Messages of strangers are taken apart: every octet has its place, and what is wrong has a name."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.message.contents import contents
from emailsys.mail.message.mime import MAX_FIELDS, MAX_LEVELS, MAX_PARTS, Part, parse, parse_header
from emailsys.mail.message.structure import structure

MIXED = (
    b"Subject: one\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n"
    b"--b\r\n\r\nfirst\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--\r\nepilogue --b\r\n--b\r\n"
)


def leaves(root: Part) -> list[bytes]:
    """The bodies of all parts that have no parts."""
    return [part.raw for part in root.walk() if part.is_leaf]


def all_defects(root: Part) -> list[str]:
    """The defects of all parts."""
    return [defect for part in root.walk() for defect in part.defects]


class WellFormed(SynchronousTestCase):
    def test_a_plain_message_is_one_part(self) -> None:
        root = parse(b"Subject: one\r\n\r\nbody\r\n")
        self.assertEqual((root.content_type, root.raw, root.is_leaf), ("text/plain", b"body\r\n", True))
        self.assertEqual(root.header, b"Subject: one\r\n\r\n")
        self.assertEqual(root.decoded_of("subject"), "one")
        self.assertEqual(root.text_of("nothing"), "")
        self.assertEqual(contents(root).attachments, [])

    def test_parts_end_before_the_line_end_of_their_boundary(self) -> None:
        root = parse(MIXED)
        self.assertEqual(leaves(root), [b"first", b"<p>"])
        self.assertEqual([part.number for part in root.walk()], ["1", "1.1", "1.2"])
        self.assertEqual(all_defects(root), [])

    def test_lines_may_end_with_lf_alone(self) -> None:
        self.assertEqual(leaves(parse(MIXED.replace(b"\r\n", b"\n"))), [b"first", b"<p>"])

    def test_a_part_without_body_or_header_is_a_part(self) -> None:
        head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        self.assertEqual(leaves(parse(head + b"--b\r\n\r\n--b\r\nX: y\r\n--b\r\n--b--")), [b"", b"", b""])
        self.assertEqual(leaves(parse(head + b"--b")), [b""])

    def test_a_boundary_with_a_colon_does_not_pass_for_a_field(self) -> None:
        root = parse(
            b'Content-Type: multipart/mixed; boundary="a:b"\r\n\r\n--a:b\r\nX: y\r\n--a:b\r\n\r\ntwo\r\n--a:b--'
        )
        self.assertEqual(leaves(root), [b"", b"two"])

    def test_a_boundary_that_ends_with_dashes_closes_by_two_more(self) -> None:
        root = parse(b"Content-Type: multipart/mixed; boundary=b--\r\n\r\n--b--\r\n\r\none\r\n--b----\r\nepilogue")
        self.assertEqual((leaves(root), all_defects(root)), ([b"one"], []))

    def test_a_message_inside_is_taken_apart(self) -> None:
        root = parse(b"Content-Type: message/rfc822\r\n\r\nSubject: two\r\n\r\nbody")
        self.assertEqual([part.decoded_of("Subject") for part in root.walk()], ["", "two"])
        self.assertEqual(root.parts[0].raw, b"body")

    def test_a_message_inside_with_an_utf8_header_is_taken_apart_and_may_be_encoded(self) -> None:
        """RFC 6532 §3.7."""
        head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/global\r\n"
        root = parse(head + "\r\nSubject: größer\r\n\r\nbody\r\n--b--\r\n".encode())
        self.assertEqual([part.decoded_of("Subject") for part in root.walk()], ["", "", "größer"])
        self.assertEqual(all_defects(root), [])
        root = parse(head + b"Content-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA==\r\n--b--\r\n")
        self.assertEqual((root.parts[0].decoded()[0], all_defects(root)), (b"Subject: x", []))

    def test_a_boundary_that_looks_like_an_encoded_word_is_none(self) -> None:
        """RFC 2047 §5: no encoded word stands in a parameter."""
        octets = b'Content-Type: multipart/mixed; boundary="=?utf-8?q?b?="\r\n\r\n--=?utf-8?q?b?=\r\n\r\none\r\n'
        self.assertEqual(leaves(parse(octets + b"--=?utf-8?q?b?=--\r\n")), [b"one"])

    def test_an_empty_message_in_a_digest_ends_with_its_part(self) -> None:
        """Its header took the line end that belongs to the boundary, so the part around it ended before it did."""
        root = parse(b"Content-Type: multipart/digest; boundary=a\r\n--a\r\n\r\n\r\n--a--\r\n")
        (part,) = root.parts
        (inner,) = part.parts
        self.assertLessEqual(inner.end, part.end)

    def test_parts_of_a_digest_are_messages(self) -> None:
        root = parse(b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\nhi\r\n--b--\r\n")
        self.assertEqual([part.content_type for part in root.walk()][1:], ["message/rfc822", "text/plain"])

    def test_only_the_header_can_be_asked_for(self) -> None:
        root = parse_header(MIXED)
        self.assertEqual((root.parts, root.decoded_of("subject")), ([], "one"))


class Attachments(SynchronousTestCase):
    def kind(self, fields: bytes) -> bool:
        head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        root = parse(head + fields + b"\r\nx\r\n--b--")
        return root.parts[0] in contents(root).attachments

    def test_parts_with_a_disposition_or_a_name_are_attachments(self) -> None:
        self.assertTrue(self.kind(b"Content-Disposition: attachment\r\n"))
        self.assertTrue(self.kind(b"Content-Type: text/plain; name=a.txt\r\n"))
        self.assertTrue(self.kind(b"Content-Type: image/png\r\n"))
        self.assertTrue(self.kind(b"Content-Type: multipart/mixed\r\n"))

    def test_text_and_pictures_within_it_do_not(self) -> None:
        self.assertFalse(self.kind(b"Content-Type: text/html\r\n"))
        self.assertFalse(self.kind(b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n\r\n--c--\r\n"))
        self.assertEqual(len(contents(parse(b"Content-Type: image/png\r\n\r\nx")).attachments), 1)
        self.assertEqual(contents(parse(b"Content-Type: multipart/mixed\r\n\r\nx")).attachments, [])

    def test_a_content_id_makes_a_picture_inline_only_if_the_html_refers_to_it(self) -> None:
        head = b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n"
        picture = b"\r\n--b\r\nContent-Type: image/png; name=a.png\r\nContent-ID: <a@x>\r\n%s\r\npng\r\n--b--\r\n"
        for html, disposition, inline in (
            (b'<img src="cid:a@x">', b"", ["1.2"]),
            (b'<img src="cid:a%40x">', b"Content-Disposition: inline\r\n", ["1.2"]),
            (b"<td background='cid:a@x'>", b"", ["1.2"]),
            (b"<img src=cid:a@x>", b"", ["1.2"]),
            (b"<img src = 'cid:a@x'>", b"", ["1.2"]),
            (b'<p style="background:url(cid:a@x)">', b"", ["1.2"]),
            (b'<p style="background:url(&quot;cid:a@x&quot;)">', b"", ["1.2"]),
            (b"<p>cid:a@x</p>", b"", []),
            (b'<p>The part is "cid:a@x" (cid:a@x).</p>', b"", []),
            (b'<a href="cid:a@x">a</a>', b"", []),
            (b'<img data-src="cid:a@x">', b"", []),
            (b'<img src="cid:b@x">', b"Content-Disposition: inline\r\n", []),
            (b'<img src="cid:a@x">', b"Content-Disposition: attachment\r\n", []),
        ):
            found = contents(parse(head + html + picture % disposition))
            self.assertEqual([part.number for part in found.attachments], ["1.2"], html)
            self.assertEqual([part.number for part in found.inline], inline, html)
            document = picture.replace(b"image/png", b"application/pdf") % disposition
            self.assertEqual(contents(parse(head + html + document)).inline, [], html)


class Malformed(SynchronousTestCase):
    def assert_defect(self, octets: bytes, words: str) -> Part:
        root = parse(octets)
        self.assertTrue(any(words in defect for defect in all_defects(root)), all_defects(root))
        return root

    def test_missing_boundaries_are_named(self) -> None:
        head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        self.assert_defect(head + b"--c\r\n\r\nx", "never comes")
        self.assert_defect(head + b"--b\r\n\r\nx", "closing boundary is missing")
        root = self.assert_defect(b"Content-Type: multipart/mixed\r\n\r\nx", "without a boundary")
        self.assertEqual(root.raw, b"x")

    def test_an_inner_part_that_is_never_closed_ends_with_the_outer_one(self) -> None:
        root = self.assert_defect(
            b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            b"--b\r\n\r\ninner\r\n--a\r\n\r\nouter\r\n--a--\r\n",
            "closing boundary is missing",
        )
        self.assertEqual(leaves(root), [b"inner", b"outer"])

    def test_a_boundary_used_on_two_levels_belongs_to_the_inner_one(self) -> None:
        root = parse(
            b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n"
            b"--a\r\n\r\ninner\r\n--a--\r\n--a\r\n\r\nouter\r\n--a--\r\n"
        )
        self.assertEqual(leaves(root), [b"inner", b"outer"])

    def test_long_boundaries_are_named(self) -> None:
        for length in (71, 190):
            edge = b"x" * length
            octets = (
                b"Content-Type: multipart/mixed; boundary=" + edge + b"\r\n\r\n--" + edge + b"\r\n\r\nhi\r\n--" + edge
            )
            self.assertEqual(leaves(self.assert_defect(octets, "longer than 70")), [b"hi", b""])
        self.assert_defect(b"Content-Type: multipart/mixed; boundary=" + b"x" * 191 + b"\r\n\r\nhi", "not taken apart")

    def test_encoded_containers_are_named(self) -> None:
        encoded = b"\r\nContent-Transfer-Encoding: base64\r\n\r\nxx"
        self.assert_defect(b"Content-Type: message/rfc822" + encoded, "must not be encoded")
        self.assert_defect(b"Content-Type: multipart/mixed; boundary=b" + encoded, "must not be encoded")

    def test_a_type_that_is_none_is_text(self) -> None:
        root = self.assert_defect(b"Content-Type: nonsense\r\n\r\nx", "malformed Content-Type")
        self.assertEqual(root.content_type, "text/plain")
        self.assert_defect(b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\nx", "more than one")
        self.assert_defect(b"Content-Type: a/b;" + b"x" * 70_000 + b"\r\n\r\nx", "too long")

    def test_a_header_that_never_ends_or_ends_oddly_is_kept(self) -> None:
        self.assertEqual(parse(b"Subject: x").decoded_of("subject"), "x")
        root = self.assert_defect(b"Subject: x\r\nHello\r\n", "not a field")
        self.assertEqual(root.raw, b"Hello\r\n")
        self.assertEqual(parse(b"").raw, b"")
        self.assertEqual(parse(b"\n").raw, b"")
        self.assert_defect(b" folded\r\n", "not a field")

    def test_a_from_line_of_an_mbox_hides_no_field(self) -> None:
        """Some delivery agents write it in the middle of the header."""
        line = b"From ann@x Mon Feb  2 10:00:00 2026\r\n"
        root = self.assert_defect(b"Subject: x\r\n" + line + b"To: y\r\n\r\nbody", "From line")
        self.assertEqual((root.text_of("to"), root.raw), ("y", b"body"))
        for octets in (line + b"To: y\r\n\r\nbody", b">" + line + b"To: y\r\n\r\nbody"):
            self.assertEqual((parse(octets).text_of("to"), all_defects(parse(octets))), ("y", []))
        self.assertEqual(parse(b"Subject: x\r\n\r\n" + line).raw, line)

    def test_8_bit_headers_are_read_and_named(self) -> None:
        root = self.assert_defect(b"Subject: Gr\xfc\xdfe\r\n\r\n", "8-bit")
        self.assertEqual(root.decoded_of("subject"), "Grüße")
        self.assertEqual(all_defects(parse("Subject: Grüße\r\n\r\n".encode())), [])

    def test_too_many_fields_and_parts_are_cut(self) -> None:
        root = self.assert_defect(b"X: y\r\n" * (MAX_FIELDS + 5) + b"\r\nbody", "header fields")
        self.assertEqual((len(root.fields), root.raw), (MAX_FIELDS, b"body"))
        many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * (MAX_PARTS + 9)
        self.assertEqual(len(self.assert_defect(many, "more than").parts), MAX_PARTS - 1)

    def test_ten_thousand_nested_parts_are_a_hundred_levels(self) -> None:
        """Neither the stack nor the clock runs out."""
        multiparts = b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(10_000)
        )
        for octets in (multiparts, b"Content-Type: message/rfc822\r\n\r\n" * 10_000):
            root = self.assert_defect(octets, "nested deeper than")
            self.assertEqual(max(part.level for part in root.walk()), MAX_LEVELS - 1)
            self.assertEqual(len(structure(root)), MAX_LEVELS)


class Structure(SynchronousTestCase):
    def test_each_part_tells_what_it_costs(self) -> None:
        rows = structure(
            parse(
                b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\n"
                b"Content-Type: text/html; charset=utf-8\r\n\r\n"
                b'<img src="cid:pic%40x"><img src=\'cid:gone\'>\r\n--b\r\nContent-Type: image/png; name="a.png"\r\n'
                b"Content-ID: <pic@x>\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--b\r\n"
                b"Content-ID: <pic@x>\r\n\r\n\r\n--b--\r\n"
            )
        )
        whole, html, picture, empty = rows
        self.assertEqual((whole.decoded_octets, whole.overhead, whole.links), (None, None, ()))
        self.assertEqual((html.charset, html.links, html.overhead), ("utf-8", ("1.2",), 0.0))
        self.assertEqual(html.defects, ("cid:gone refers to no part",))
        self.assertEqual((picture.raw_octets, picture.decoded_octets, picture.overhead), (4, 3, 33.3))
        self.assertEqual((picture.name, picture.content_id, picture.encoding), ("a.png", "pic@x", "base64"))
        self.assertIsNone(empty.overhead)
