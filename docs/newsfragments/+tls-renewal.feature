TLS: renewed certificates are served after SIGHUP, and once a day anyway; wrong files are named and the old certificate stays.
