"""Scanner, syntax tree and parser of the contract language."""
