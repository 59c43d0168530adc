Requests on the control socket are checked field by field: an unknown command, an unknown field or a value that is not allowed gets an error that names it.
