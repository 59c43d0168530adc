"""DNS for outbound mail: the resolver, its name servers, and which hosts are this one."""
