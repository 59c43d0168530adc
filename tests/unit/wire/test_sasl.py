"""PLAIN and LOGIN yield credentials, and base64 is decoded strictly."""

import base64

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wire.sasl import Credentials, Exchange, SaslCancelled, SaslSyntaxError, decode_base64, exchange_for


def begun(mechanism: bytes) -> Exchange:
    exchange = exchange_for(mechanism)
    assert exchange is not None
    return exchange


class Plain(SynchronousTestCase):
    def test_an_initial_response_is_enough(self) -> None:
        got = begun(b"plain").start(base64.b64encode(b"\0alice@example.test\0secret"))
        self.assertEqual(got, Credentials(b"alice@example.test", b"secret"))

    def test_without_an_initial_response_an_empty_challenge_requests_it(self) -> None:
        exchange = begun(b"PLAIN")
        self.assertEqual(exchange.start(None), b"")
        self.assertEqual(exchange.respond(base64.b64encode(b"\0a\0b")), Credentials(b"a", b"b"))

    def test_the_authorization_identity_is_returned(self) -> None:
        for octets, itself in ((b"\0a\0b", True), (b"A\0a\0b", True), (b"root\0a\0b", False)):
            got = begun(b"PLAIN").start(base64.b64encode(octets))
            assert isinstance(got, Credentials)
            self.assertIs(got.acts_as_itself, itself)

    def test_a_response_without_two_nuls_is_malformed(self) -> None:
        for octets in (b"", b"alice", b"\0alice", b"\0a\0b\0c"):
            self.assertRaises(SaslSyntaxError, begun(b"PLAIN").start, base64.b64encode(octets))
        self.assertRaises(SaslSyntaxError, begun(b"PLAIN").start, b"=")


class Login(SynchronousTestCase):
    def test_the_prompts_for_name_and_password_have_no_trailing_nul(self) -> None:
        exchange = begun(b"Login")
        self.assertEqual(exchange.start(None), b"VXNlcm5hbWU6")
        self.assertEqual(exchange.respond(b"YWxpY2U="), b"UGFzc3dvcmQ6")
        self.assertEqual(exchange.respond(b"c2VjcmV0"), Credentials(b"alice", b"secret"))

    def test_the_name_may_come_with_the_command(self) -> None:
        exchange = begun(b"LOGIN")
        self.assertEqual(exchange.start(b"YWxpY2U="), b"UGFzc3dvcmQ6")
        self.assertEqual(exchange.respond(b""), Credentials(b"alice", b""))

    def test_a_nul_is_malformed(self) -> None:
        self.assertRaises(SaslSyntaxError, begun(b"LOGIN").start, base64.b64encode(b"a\0b"))


class Common(SynchronousTestCase):
    def test_a_star_cancels(self) -> None:
        for mechanism in (b"PLAIN", b"LOGIN"):
            exchange = begun(mechanism)
            exchange.start(None)
            self.assertRaises(SaslCancelled, exchange.respond, b"*")

    def test_base64_is_decoded_strictly(self) -> None:
        for text in (b"YQ", b"YQ=", b"Y!Q==", b"YQ==YQ==", b" YQ==", b"YQ==\0", b"====", b"Y", b"\xff\xff\xff\xff"):
            self.assertRaises(SaslSyntaxError, decode_base64, text)
        self.assertEqual(decode_base64(b"YQ=="), b"a")

    def test_mechanisms_that_need_plain_text_secrets_do_not_exist(self) -> None:
        for name in (b"CRAM-MD5", b"", b"PLAIN2", b"\xffPLAIN"):
            self.assertIsNone(exchange_for(name))

    def test_a_password_is_not_printed(self) -> None:
        self.assertNotIn("secret", repr(Credentials(b"a", b"secret")))
