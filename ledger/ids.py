"""Names of things. NewTypes cost nothing at run time and stop a height from being used as a view."""

from __future__ import annotations

from typing import NewType

CompanyId = NewType("CompanyId", str)
"""`c` and 26 base32 characters, self-certifying at birth (S17)."""
NodeId = NewType("NodeId", str)
UserId = NewType("UserId", str)
Height = NewType("Height", int)
View = NewType("View", int)
Epoch = NewType("Epoch", int)
MemberIndex = NewType("MemberIndex", int)
"""Position of a member in its epoch, sorted by company id (P5)."""
TxId = NewType("TxId", bytes)
"""32 bytes: the digest every signer signed (S4)."""
BlockId = NewType("BlockId", bytes)
"""32 bytes: hash of the canonical header, without any view (B5)."""
ChainId = NewType("ChainId", bytes)
"""32 bytes: hash of the genesis document (LR10)."""

HASH_BYTES = 32
ZERO_HASH = bytes(HASH_BYTES)
"""Parent of block 0, and the chain id under which proofs of possession are made before a chain exists (LR5, LR10)."""
