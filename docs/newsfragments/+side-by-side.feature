Web face: a page shows all accounts of a browser side by side. In lists, the arrow keys go from message to message
and Delete deletes; Ctrl+Enter sends. Files that are attached are listed, and can be removed again.
