The checks of ``checks.submission`` see mail that is written in the web face or sent by the HTTP API, too.
