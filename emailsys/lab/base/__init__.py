"""What lessons, hosts and attackers of the lab are built of: values, views, sockets, the stage."""
