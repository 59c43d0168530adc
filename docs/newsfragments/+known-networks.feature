The networks from which accounts log in survive a restart: during an attack, an owner in such a network logs in as
before, and does not wait like an unauthenticated client. The store keeps account, network and the day of the last login
for 90 days. A new password deletes the networks of its account.
