"""Votes of one kind for one (view, height): one place per signer, sets of signers as integers (P138, SIM4).

A signer has exactly one place. Its first vote takes it, a different second one only makes evidence (P124).
A vote from its signer's own channel may wait unverified (P17); signatures are asked for only when the votes
at hand could decide, and only as many as are still needed (P18).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from consensus.messages import Commit, Prepare, PrePrepare
from ledger.errors import InvariantViolated

SignedVote: TypeAlias = PrePrepare | Prepare | Commit


@dataclass(slots=True)
class Tally:
    """`held`, `valid`, `asked` and `accused` are masks of signers; `blocks` maps a block id to the mask holding it."""

    votes: list[SignedVote | None]
    held: int = 0
    valid: int = 0
    asked: int = 0
    accused: int = 0
    blocks: dict[bytes, int] = field(default_factory=dict)
    decided: bytes = b""

    def put(self, signer: int, message: SignedVote, verified: bool) -> None:
        """Take the free place of `signer`."""
        bit = 1 << signer
        self.votes[signer] = message
        self.held |= bit
        if verified:
            self.valid |= bit
        block_id = message.vote.block_id
        self.blocks[block_id] = self.blocks.get(block_id, 0) | bit

    def confirm(self, signers: int) -> None:
        """The signatures of the votes at these places are good; `signers` is a mask."""
        self.asked &= ~signers
        self.valid |= signers

    def free(self, signer: int) -> None:
        """The signature was bad: the place is free for the true vote (P18)."""
        message = self.votes[signer]
        if message is None:
            raise InvariantViolated(f"place {signer} is free already")
        bit = 1 << signer
        self.votes[signer] = None
        self.held &= ~bit
        self.asked &= ~bit
        self.valid &= ~bit
        block_id = message.vote.block_id
        mask = self.blocks.get(block_id, 0) & ~bit
        if mask:
            self.blocks[block_id] = mask
        else:
            self.blocks.pop(block_id, None)

    def verified(self, block_id: bytes) -> int:
        """Return the mask of signers whose verified vote is for `block_id`."""
        return self.blocks.get(block_id, 0) & self.valid

    def wanted(self, block_id: bytes, q: int) -> int:
        """Return the mask of signers to verify now: empty unless q votes for `block_id` are possible (P18)."""
        holders = self.blocks.get(block_id, 0)
        if holders.bit_count() < q:
            return 0
        missing = q - (holders & (self.valid | self.asked)).bit_count()
        open_places = holders & ~self.valid & ~self.asked
        chosen = 0
        while missing > 0 and open_places:
            low = open_places & -open_places
            chosen |= low
            open_places ^= low
            missing -= 1
        return chosen

    def waiting(self) -> int:
        """Return the mask of signers whose vote is here but neither verified nor being verified."""
        return self.held & ~self.valid & ~self.asked

    def reaches(self, block_id: bytes, q: int) -> bool:
        """Tell, once for this tally, that q verified votes are for `block_id`."""
        if self.decided or self.verified(block_id).bit_count() < q:
            return False
        self.decided = block_id
        return True

    def signatures(self, block_id: bytes, q: int, always: int = -1) -> tuple[tuple[int, bytes], ...]:
        """Return exactly q (signer, signature) of verified votes for `block_id`, ascending; `always` is among them."""
        mask = self.verified(block_id)
        chosen: list[int] = [always] if always >= 0 else []
        for signer in indexes(mask):
            if len(chosen) == q:
                break
            if signer != always:
                chosen.append(signer)
        found: list[tuple[int, bytes]] = []
        for signer in sorted(chosen):
            message = self.votes[signer]
            if message is None:
                raise InvariantViolated(f"place {signer} is counted and free")
            found.append((signer, message.signature))
        return tuple(found)


def tally(n: int) -> Tally:
    """Return an empty tally for n members."""
    return Tally(votes=[None] * n)


def indexes(mask: int) -> list[int]:
    """Return the ascending positions of the bits of `mask`.

    >>> indexes(0b1011)
    [0, 1, 3]
    """
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
