DSN is offered only to authenticated clients and to hosts of `routing.trusted_networks`. Other clients could have notices with their text sent to a victim; their DSN parameters are refused with 555.
