"""Make `twistd emailsys` known; nothing else happens here."""

from twisted.application.service import ServiceMaker

emailsys = ServiceMaker(
    "emailsys",
    "emailsys.daemon",
    "A mail system: SMTP, submission, a durable store, POP3 and TLS.",
    "emailsys",
)
