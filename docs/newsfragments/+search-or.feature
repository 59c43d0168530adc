Searches of the mail client have `OR`, `NOT` and parentheses: `(from:alice OR from:bob) -tag:done`, or shorter
`from:(alice OR bob)`. A search with an unfinished part says what is missing.
