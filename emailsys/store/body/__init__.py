"""Bodies: reading their pieces, and skipping damaged ones."""
