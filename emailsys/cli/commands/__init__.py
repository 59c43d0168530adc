"""The commands for operators, a module for each group."""
