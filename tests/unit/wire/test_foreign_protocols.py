"""Requests of other protocols are told from commands, and from what a person or a broken client types."""

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wire.foreign_protocols import looks_like_request


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
