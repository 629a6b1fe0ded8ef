"""Off-chain finance: files in, objects out; no network, no clock."""
