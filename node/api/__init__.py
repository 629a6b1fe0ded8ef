"""The HTTP interface: one table of operations, one table of problems."""
