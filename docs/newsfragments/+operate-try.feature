Operation: "emailsys try" starts a complete mail system on loopback, sends a message through it, and compares the octets.
