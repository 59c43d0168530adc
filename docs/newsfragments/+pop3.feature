POP3: serves maildrops by RFC 1939 with UIDL, TOP, CAPA, STLS, AUTH and UTF8, pipelined, with exact octet counts.
