"""Results that can be checked offline: a state value, its absence, or a receipt, up to a certified header.

A result at height h is proven by: the proof under state_root(h) or receipts_root(h); the chained execution roots
from h up to the height a header names (`exec_root`, architecture section 6); that header; and its commit
certificate. Whoever holds the consensus keys of the epoch needs nothing else and trusts nobody (S20).

Door: `verify_result`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.block import (
    HEADER_LIMIT_BYTES,
    PROTOCOL_VERSION,
    Header,
    block_id,
    exec_root,
    header_codec,
    list_proof,
    list_root,
    list_root_from_proof,
)
from ledger.certificate import (
    CERTIFICATE_LIMIT_BYTES,
    CommitCertificate,
    Verify,
    verify_commit_certificate,
)
from ledger.codec import Codec, Natural, Wire, encode
from ledger.crypto.ed25519 import verify_strict
from ledger.errors import Malformed
from ledger.ids import HASH_BYTES
from ledger.merkle import PROOF_LIMIT_BYTES, ProvableView, StateProof, prove, root_from_proof
from ledger.receipt import Receipt, receipt_codec

LINKS_MAX: Final = 8
"""Execution roots between a result and the header that certifies it (`exec_lag` at most)."""


class StateClaim(Wire, frozen=True):
    """The value of `key`, or that there is none."""

    key: bytes
    proof: StateProof


class ReceiptClaim(Wire, frozen=True):
    """The canonical receipt of transaction `index` of the block at the proof's height (LR6)."""

    receipt: bytes
    index: Natural
    count: Natural
    siblings: tuple[bytes, ...]


class ResultProof(Wire, frozen=True):
    """What happened at `height`, and why. Exactly one of `state` and `receipt` holds one claim.

    `state_root` and `receipts_root` are those of `height`, `previous_exec_root` that of the height before;
    `links` are (state_root, receipts_root) of the heights after it, up to the one the header names.
    """

    height: Natural
    state: tuple[StateClaim, ...]
    receipt: tuple[ReceiptClaim, ...]
    previous_exec_root: bytes
    state_root: bytes
    receipts_root: bytes
    links: tuple[tuple[bytes, bytes], ...]
    header: bytes
    certificate: CommitCertificate


class InclusionProof(Wire, frozen=True):
    """That transaction `tx_id` stands at `index` of a certified block (LR6)."""

    tx_id: bytes
    index: Natural
    siblings: tuple[bytes, ...]
    header: bytes
    certificate: CommitCertificate


class BlockProof(Wire, frozen=True):
    """A certified block by the ids of its transactions: what stood where, without what was asked."""

    header: bytes
    certificate: CommitCertificate
    tx_ids: tuple[bytes, ...]


RESULT_LIMIT_BYTES: Final = PROOF_LIMIT_BYTES + 256 * 1024 + HEADER_LIMIT_BYTES + CERTIFICATE_LIMIT_BYTES
result_codec: Codec[ResultProof] = Codec(ResultProof, "result proof", RESULT_LIMIT_BYTES)
block_codec: Codec[BlockProof] = Codec(BlockProof, "block proof", RESULT_LIMIT_BYTES)
inclusion_codec: Codec[InclusionProof] = Codec(InclusionProof, "inclusion proof", RESULT_LIMIT_BYTES)


def state_claim(view: ProvableView, key: bytes) -> StateClaim:
    """Return the claim about `key` under the state root of `view`."""
    return StateClaim(key, prove(view, key))


def receipt_claim(receipts: Sequence[Receipt], index: int) -> ReceiptClaim:
    """Return the claim about receipt `index` of a block's `receipts`."""
    leaves = [encode(receipt) for receipt in receipts]
    return ReceiptClaim(leaves[index], index, len(leaves), list_proof(leaves, index))


def inclusion_proof(
    tx_ids: Sequence[bytes], index: int, header: bytes, certificate: CommitCertificate
) -> InclusionProof:
    """Return the proof that transaction `index` of `tx_ids` is in the block."""
    return InclusionProof(tx_ids[index], index, list_proof(tx_ids, index), header, certificate)


def verify_result(
    proof: ResultProof, keys: Sequence[bytes], chain_id: bytes, verify: Verify = verify_strict, *, about: bytes = b""
) -> str:
    """Return "" if the claim holds under the epoch's consensus `keys` (by index), else the first check that fails.

    `about` is the state key or transaction id that was asked for. A proof of absence holds for any other absent key
    in the same place too, so whoever asked a question passes it here.
    """
    problem = _claim_problem(proof) or _other_claim(proof, about)
    if problem:
        return problem
    header = certified_header(proof.header, proof.certificate, keys, chain_id, verify)
    if isinstance(header, str):
        return header
    if len(proof.links) > LINKS_MAX:
        return f"{len(proof.links)} execution links, at most {LINKS_MAX} are allowed"
    if header.exec_height != proof.height + len(proof.links):
        return f"the header names height {header.exec_height}, the links lead to {proof.height + len(proof.links)}"
    root = exec_root(proof.previous_exec_root, proof.state_root, proof.receipts_root)
    for state_root, receipts_root in proof.links:
        if len(state_root) != HASH_BYTES or len(receipts_root) != HASH_BYTES:
            return "an execution link has a wrong length"
        root = exec_root(root, state_root, receipts_root)
    return "" if root == header.exec_root else "the execution roots do not lead to the one in the header"


def verify_inclusion(
    proof: InclusionProof, keys: Sequence[bytes], chain_id: bytes, verify: Verify = verify_strict
) -> str:
    """Return "" if the transaction is in the certified block, else the first check that fails."""
    header = certified_header(proof.header, proof.certificate, keys, chain_id, verify)
    if isinstance(header, str):
        return header
    if len(proof.tx_id) != HASH_BYTES or any(len(sibling) != HASH_BYTES for sibling in proof.siblings):
        return "a hash of the transaction proof has a wrong length"
    root = list_root_from_proof(proof.tx_id, proof.index, header.tx_count, proof.siblings)
    return "" if root == header.tx_root else "the transaction does not lead to the transaction root"


def verify_block(proof: BlockProof, keys: Sequence[bytes], chain_id: bytes, verify: Verify = verify_strict) -> str:
    """Return "" if the block is certified and holds exactly these transactions, else the first check that fails."""
    header = certified_header(proof.header, proof.certificate, keys, chain_id, verify)
    if isinstance(header, str):
        return header
    if len(proof.tx_ids) != header.tx_count or any(len(tx_id) != HASH_BYTES for tx_id in proof.tx_ids):
        return f"{len(proof.tx_ids)} transactions are listed, the header counts {header.tx_count}"
    return "" if list_root(proof.tx_ids) == header.tx_root else "the transactions do not lead to the transaction root"


def proven_value(proof: ResultProof) -> bytes | None:
    """Return the value of a verified state claim; None is proven absence. Call `verify_result` first."""
    found = proof.state[0].proof.found
    return found[0] if found else None


def proven_receipt(proof: ResultProof) -> Receipt:
    """Return the receipt of a verified receipt claim. Call `verify_result` first."""
    return receipt_codec.decode(proof.receipt[0].receipt)


def _claim_problem(proof: ResultProof) -> str:
    for name, value in (
        ("previous execution root", proof.previous_exec_root),
        ("state root", proof.state_root),
        ("receipts root", proof.receipts_root),
    ):
        if len(value) != HASH_BYTES:
            return f"the {name} has a wrong length"
    if len(proof.state) + len(proof.receipt) != 1:
        return "a proof makes exactly one claim"
    if proof.state:
        if root_from_proof(proof.state[0].key, proof.state[0].proof) != proof.state_root:
            return "the state proof does not lead to the state root"
        return ""
    claim = proof.receipt[0]
    if any(len(sibling) != HASH_BYTES for sibling in claim.siblings):
        return "a hash of the receipt proof has a wrong length"
    if list_root_from_proof(claim.receipt, claim.index, claim.count, claim.siblings) != proof.receipts_root:
        return "the receipt does not lead to the receipts root"
    try:
        receipt_codec.decode(claim.receipt)
    except Malformed as error:
        return str(error)
    return ""


def _other_claim(proof: ResultProof, about: bytes) -> str:
    if not about:
        return ""
    named = proof.state[0].key if proof.state else proven_receipt(proof).tx_id
    return "" if named == about else "the proof is about something else than was asked"


def certified_header(
    raw: bytes, certificate: CommitCertificate, keys: Sequence[bytes], chain_id: bytes, verify: Verify
) -> Header | str:
    """Return the header if the certificate proves it on this chain, else what is wrong. All signatures are checked."""
    try:
        header = header_codec.decode(raw)
    except Malformed as error:
        return str(error)
    if header.version != PROTOCOL_VERSION:
        return f"the header has version {header.version}, known is {PROTOCOL_VERSION}"
    if header.chain_id != chain_id:
        return "the header is of another chain"
    vote = certificate.vote
    if vote.block_id != block_id(raw) or vote.height != header.height or vote.epoch != header.epoch:
        return "the certificate is about another block"
    return verify_commit_certificate(certificate, keys, chain_id, verify) or header
