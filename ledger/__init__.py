"""What is agreed on: records, hashes, signatures, proofs and the state transition.

Door: `ledger.transition.apply_block(state, block, runtime) -> BlockResult`.

This package is pure and imports nothing of ours. Every byte that is hashed, signed, sent or stored
is made by `ledger.codec` and `ledger.crypto`.
"""
