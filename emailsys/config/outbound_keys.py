"""Configuration keys for outbound mail, with their allowed values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emailsys.config.settings import AddressOrder
from emailsys.config.values import (
    Read,
    a_boolean,
    a_count,
    a_domain,
    a_duration,
    a_file_name,
    a_fingerprint,
    a_host_name,
    a_next_hop,
    a_number,
    a_size,
    an_account_name,
    an_ip_address,
    ip_addresses,
    mail_domains,
    name_servers,
    networks,
    one_of,
    senders,
    some_text,
)
from emailsys.mail.next_hop import TLSPolicy

QUEUE: Final[Mapping[str, Read]] = {
    "first_retry": a_duration(minimum=1),
    "retry_growth": a_number(minimum=1, maximum=10),
    "max_retry": a_duration(minimum=1),
    "retry_jitter": a_number(minimum=0, maximum=0.5),
    "warn_after": a_duration(minimum=1, maximum=30 * 86400),
    "give_up_after": a_duration(minimum=1, maximum=30 * 86400),
    "max_deliveries": a_count(minimum=1, maximum=10_000),
    "max_per_next_hop": a_count(minimum=1, maximum=1000),
    "recipients_per_delivery": a_count(minimum=1, maximum=1000),
    "max_leased": a_count(minimum=10, maximum=100_000),
    # Leases are renewed after a third of this time, by a clock of seconds.
    "lease": a_duration(minimum=30, maximum=86400),
    "first_pause": a_duration(minimum=1),
    "max_pause": a_duration(minimum=1),
    "poll": a_duration(minimum=1, maximum=3600),
    "stop_grace": a_duration(minimum=0, maximum=3600),
    "max_returned": a_size(minimum=1024, maximum=256 * 1024),
    "max_notices_per_hour": a_count(minimum=0, maximum=1_000_000),
}
ROUTING: Final[Mapping[str, Read]] = {
    "trusted_networks": networks,
    "relay_domains": mail_domains,
    "srs": a_boolean,
    "srs_domain": a_domain,
}
ROUTE: Final[Mapping[str, Read]] = {
    "host": a_next_hop,
    "port": a_count(minimum=1, maximum=65535),
    "recipient_domain": a_domain,
    "sender_domain": a_domain,
    "tls": one_of(TLSPolicy),
    "implicit_tls": a_boolean,
    "certificate_name": a_host_name,
    "certificate_fingerprint": a_fingerprint,
    "username": some_text,
    "password_file": a_file_name,
    "secret_file": a_file_name,
    "user": an_account_name,
    "time_limit": a_duration(minimum=1, maximum=3600),
}
SENDING: Final[Mapping[str, Read]] = {
    "messages_per_hour": a_count(minimum=0, maximum=100_000_000),
    "messages_per_day": a_count(minimum=0, maximum=100_000_000),
    "recipients_per_hour": a_count(minimum=0, maximum=100_000_000),
    "recipients_per_day": a_count(minimum=0, maximum=100_000_000),
    "unlimited": senders,
}
OUTBOUND: Final[Mapping[str, Read]] = {
    "enabled": a_boolean,
    "tls": one_of(TLSPolicy),
    "clear_after_failed_tls": a_boolean,
    "session_tickets": a_boolean,
    "ca_file": a_file_name,
    "nameservers": name_servers,
    "address_order": one_of(AddressOrder),
    "allow_private": a_boolean,
    "own_addresses": ip_addresses,
    "source_ipv4": an_ip_address(4),
    "source_ipv6": an_ip_address(6),
    "connections_per_host": a_count(minimum=1, maximum=1000),
    "idle_connections": a_count(minimum=0, maximum=100_000),
    "idle_timeout": a_duration(minimum=0, maximum=3600),
    "messages_per_connection": a_count(minimum=1, maximum=1_000_000),
    "hosts_per_attempt": a_count(minimum=1, maximum=100),
}
# RFC 5321 §4.5.3.2 gives minimum values; a test system may use shorter ones.
TIMEOUTS: Final[Mapping[str, Read]] = dict.fromkeys(
    ("connect", "handshake", "greeting", "command", "data", "block", "final", "quit", "dns"),
    a_duration(minimum=0.1, maximum=3600),
)
