Replies over TLS are encrypted and sent within one turn of the reactor: RETR over TLS takes about an eighth less CPU, and RETR of 10 MiB with lines that begin with dots as well.
