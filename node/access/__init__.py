"""Where the node asks `ledger.access.decide`: views, enforcement, feeds."""
