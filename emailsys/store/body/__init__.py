"""Bodies: reading their pieces, and the pieces that are damaged."""
