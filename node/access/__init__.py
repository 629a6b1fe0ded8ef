"""Where the node asks `ledger.access.decide`: one gate for routes and reads, one filter for feeds."""
