"""The command `lab`: lessons at the terminal, for a projector and as pages."""
