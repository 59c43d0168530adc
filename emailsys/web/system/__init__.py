"""Pages for operators: status, queue, directory, routes, check of the store, and the wire."""
