"""Values of mail, no I/O, no Twisted, no clock."""
