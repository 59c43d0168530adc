"""How an operator reaches a running system."""
