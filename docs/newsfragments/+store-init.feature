Store: "emailsys init" or the first "emailsys domain add" creates the store; the daemon never does. A host that only relays needs a domain too, such as its own name.
