The networks from which accounts log in survive a restart: during an attack, an owner in such a network logs in as before, and does
not wait like a stranger. The store keeps account, network and day for 90 days.
