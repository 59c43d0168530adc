Mail client: finds the servers of an address by SRV, autoconfig and a list of providers; each can be set by hand.
