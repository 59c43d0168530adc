"""Parts of lessons, hosts and attackers of the lab: values, views, sockets, the stage."""
