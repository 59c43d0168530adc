"""HTTP API: a table of operations, from which requests are checked and the OpenAPI document is made."""
