"""Hashing, signatures and sealing primitives. Pure: no randomness, no clock, no files (S11).

Door: `ledger.crypto.hashing.H` and `ledger.crypto.ed25519.verify_strict`.
"""
