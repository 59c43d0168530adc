Outbound: mail for a host that is down or silent does not delay mail for other hosts.
