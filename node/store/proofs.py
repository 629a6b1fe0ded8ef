"""Proofs of results from the chain store: what stands in the state, or what a transaction did, up to a certificate."""

from __future__ import annotations

from ledger.codec import encode
from ledger.proof import ReceiptClaim, ResultProof, StateClaim, state_claim
from ledger.registry.lookup import node_key, nodes
from node.core.messages import NODES_BYTES
from node.store.ledger import ChainStore


def result_proof(
    store: ChainStore, height: int, *, state: tuple[StateClaim, ...] = (), receipt: tuple[ReceiptClaim, ...] = ()
) -> ResultProof | None:
    """Return the proof of one claim about `height`; None while nothing certifies it, or when it is pruned."""
    by = store.certifying_height(height)
    head = None if by is None else store.header(by)
    own, before = store.results(height), store.results(height - 1)
    if head is None or own is None or before is None:
        return None
    links: list[tuple[bytes, bytes]] = []
    for later in range(height + 1, head.header.exec_height + 1):
        result = store.results(later)
        if result is None:
            return None
        links.append((result.state_root, result.receipts_root))
    return ResultProof(
        height=height,
        state=state,
        receipt=receipt,
        previous_exec_root=before.exec_root,
        state_root=own.state_root,
        receipts_root=own.receipts_root,
        links=tuple(links),
        header=head.header_bytes,
        certificate=head.certificate,
    )


def node_proofs(store: ChainStore) -> tuple[ResultProof, ...]:
    """Return a proof for each registered node as of the newest certified state, as many as one message may hold.

    All are about one height, under one certificate. Empty before the first result is certified.
    """
    height = store.certified_height
    view = store.at(height)
    if height < 1 or view is None:
        return ()
    found: list[ResultProof] = []
    size = 0
    for node in nodes(view):
        proof = result_proof(store, height, state=(state_claim(view, node_key(node.node_id)),))
        if proof is None:
            return ()
        size += len(encode(proof))
        if size > NODES_BYTES:
            break
        found.append(proof)
    return tuple(found)
