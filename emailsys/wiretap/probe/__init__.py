"""A mail server examined as a client sees it: greeting, extensions, TLS, certificates, known weaknesses."""
