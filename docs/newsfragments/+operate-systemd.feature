Operation: a hardened systemd unit, and a guide from the DNS to the first upgrade.
