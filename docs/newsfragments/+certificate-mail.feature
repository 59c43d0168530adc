The postmaster of the default domain gets a message if a certificate expires within 14 days, has expired or cannot be served.
