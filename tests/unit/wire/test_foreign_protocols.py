"""Requests of other protocols are told from commands, and from what a person or a broken client types."""

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wire.foreign_protocols import TLS, begins_foreign, foreign_protocol, looks_like_request


class RequestLines(SynchronousTestCase):
    def test_requests_of_http_sip_and_rtsp_are_recognized(self) -> None:
        for line in (
            b"GET / HTTP/1.1",
            b"post http://x/ http/1.0",
            b"GET /",
            b"PUT\t/x\tHTTP/1.1",
            b"CONNECT mx.example.test:25",
            b"MKCOL /a HTTP/1.1",
            b"PRI * HTTP/2.0",
            b"OPTIONS sip:nm SIP/2.0",
            b"MESSAGE sip:a@b SIP/2.0",
            b"PLAY rtsp://a/b RTSP/1.0",
            b"REQMOD icap://a/b ICAP/1.0",
        ):
            self.assertTrue(looks_like_request(line), line)

    def test_responses_and_header_fields_are_recognized(self) -> None:
        for line in (b"HTTP/1.1 200 OK", b"SIP/2.0 100 Trying", b"Host: x", b"content-type: text/plain", b"Origin: x"):
            self.assertTrue(looks_like_request(line), line)

    def test_other_lines_are_not(self) -> None:
        for line in (
            b"",
            b"   ",
            b"STAT",
            b"USER host: x",
            b"EXPN list",
            b"helo client",
            b"see HTTP/1.1",
            b"HTTP/1.1",
            b"the file is in and/or 7/8",
            b"Subject: HTTP/1.1 and mail",
        ):
            self.assertFalse(looks_like_request(line), line)

    def test_a_line_of_spaces_takes_no_time(self) -> None:
        """It is looked at once."""
        self.assertFalse(looks_like_request(b"x" + b" " * 1_000_000 + b"y"))


class FirstLines(SynchronousTestCase):
    """The first line of a program that was set to the wrong port, or of somebody who looks for other services."""

    def test_the_protocol_is_named(self) -> None:
        for line, name in (
            (b"SSH-2.0-OpenSSH_9.6", "SSH"),
            (b"*1", "Redis"),
            (b"$4", "Redis"),
            (b"set key 0 900 5", "memcached"),
            (b"cas key 0 0 12 7 noreply", "memcached"),
            (b"a001 CAPABILITY", "IMAP"),
            (b"1 LOGIN ann secret", "IMAP"),
            (b". logout", "IMAP"),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 25", "the PROXY protocol"),
            (b"CAP LS 302", "IRC"),
            (b"@RSYNCD: 31.0", "rsync"),
            (b"<?xml version='1.0'?>", "XML"),
            (b'{"id": 1, "method": "mining.subscribe"}', "JSON"),
            (b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0", "a binary protocol"),
            (b"\x16\x03\x01\x02\0\x01", TLS),
        ):
            self.assertEqual(foreign_protocol(line, is_first=True), name, line)
            self.assertEqual(foreign_protocol(line, is_first=False), TLS if name is TLS else None, line)

    def test_what_has_no_line_end_is_told_by_its_first_octets(self) -> None:
        for octets, name in (
            (b"\x16\x03\x03", TLS),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", "a binary protocol"),
            (b"\x80\x2e\x01\0\x02", "a binary protocol"),
            (b"<stream:stream to='x'>", "XML"),
            (b'[{"op":', "JSON"),
            (b"\x16", None),
            (b"S", None),
            (b"{", None),
        ):
            self.assertEqual(begins_foreign(octets, is_first=True), name, octets)

    def test_what_a_person_types_is_none_of_them(self) -> None:
        for line in (
            b"",
            b"hello",
            b"PING",
            b"info",
            b"stats",
            b"set",
            b"helo there",
            b"a login",
            b"EXPN login",
            b"NOOP\0",
            b"\x1b[A",
            b"\xff\xfb\x1f",
            b"*",
            b"$ telnet mx 25",
            b"{",
            b"proxy",
            b"\xef\xbb\xbfEHLO client",
        ):
            self.assertIsNone(foreign_protocol(line, is_first=True), line)
