"""Pure checks of certificates, VIEW-CHANGE, NEW-VIEW and O(V) (P10-P15, P30f, P53-P56).

Every check has two halves: the shape here, and the signatures as a list of `SignatureItem`, because verifying
them is asked for by an effect. Functions return "" or the stable word that says what is wrong; they never raise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from consensus.effects import SignatureItem
from consensus.membership import Membership
from consensus.messages import NewView, PreparedCertificate, PrePrepare, Proposal, ViewChange
from consensus.slots import COMMIT, PRE_PREPARE, PREPARE
from ledger.block import HEADER_LIMIT_BYTES, PROTOCOL_VERSION, Header, block_id, header_codec, list_root
from ledger.certificate import CommitCertificate, Vote, bitmap_indexes, certificate_hash, genesis_certificate
from ledger.codec import encode
from ledger.crypto.ed25519 import SIGNATURE_BYTES
from ledger.crypto.hashing import Tag, signing_digest
from ledger.errors import LedgerError
from ledger.evidence import ITEMS_MAX, split_bodies
from ledger.ids import HASH_BYTES

VIEW_CHANGE: Final = "view-change"
NEW_VIEW: Final = "new-view"
KINDS: Final[Mapping[str, Tag]] = {
    PRE_PREPARE: Tag.SIG_PRE_PREPARE,
    PREPARE: Tag.SIG_PREPARE,
    COMMIT: Tag.SIG_COMMIT,
    VIEW_CHANGE: Tag.SIG_VIEW_CHANGE,
    NEW_VIEW: Tag.SIG_NEW_VIEW,
}
"""Domains of P10: a signature made for one kind never verifies as another."""

HEADERS_KEPT: Final = 64
"""Parsed headers that are kept, of 2 KiB at most: those of the window, each read about four times (performance E16)."""
NUMBER_MAX: Final = 1 << 62
"""Largest view or height that is looked at. Far above anything reachable, and sums of two still fit the wire (B12)."""


def signing_digest_of(kind: str, chain_id: bytes, body: bytes) -> bytes:
    """Return the 32 bytes that are signed for `body`; `kind` is a key of `KINDS` (P10)."""
    return signing_digest(KINDS[kind], chain_id, body)


def view_change_body(message: ViewChange) -> bytes:
    """Return the signed body: all fields but the signature (P11)."""
    return encode((message.epoch, message.sender, message.view, message.base, message.prepared))


def new_view_body(message: NewView) -> bytes:
    """Return the signed body: all fields but the signature (P11)."""
    return encode((message.epoch, message.sender, message.view, message.view_changes, message.reproposals))


def number(value: int) -> bool:
    """Tell whether a height or view is one we look at."""
    return 0 <= value < NUMBER_MAX


def vote_shape(vote: Vote, epoch: int) -> str:
    """Check ranges and lengths of a vote of this epoch."""
    if vote.epoch != epoch:
        return "wrong_epoch"
    if not (0 <= vote.view < NUMBER_MAX and 0 < vote.height < NUMBER_MAX):
        return "number_out_of_range"
    if len(vote.block_id) != HASH_BYTES:
        return "bad_block_id"
    return ""


def parse_header(data: bytes) -> Header | None:
    """Return the canonical header, or None. A proposal is looked at several times, so the last headers are kept."""
    return _parse_header(data) if len(data) <= HEADER_LIMIT_BYTES else None


@lru_cache(maxsize=HEADERS_KEPT)
def _parse_header(data: bytes) -> Header | None:
    try:
        header = header_codec.decode(data)
    except LedgerError:
        return None
    if not (0 < header.height < NUMBER_MAX and number(header.epoch) and number(header.time_ms)):
        return None
    if not (number(header.exec_height) and number(header.last_cert_height) and number(header.tx_count)):
        return None
    return header if header.size_bytes >= 0 else None


# certificates


def commit_certificate(certificate: CommitCertificate, members: Membership, genesis_id: bytes) -> str:
    """Check a commit certificate but for its signatures. Height 0 is the genesis certificate and nothing else (P53)."""
    vote = certificate.vote
    members = members.at(vote.height)
    if vote.height == 0:
        return "" if certificate == genesis_certificate(genesis_id, members.epoch) else "bad_genesis_certificate"
    return vote_shape(vote, members.epoch) or _signers(certificate.signers, certificate.signatures, members)


def prepared_certificate(certificate: PreparedCertificate, members: Membership) -> str:
    """Check a prepared certificate but for its signatures (P14, P15, P53)."""
    problem = vote_shape(certificate.vote, members.epoch)
    problem = problem or _signers(certificate.signers, certificate.signatures, members)
    if problem:
        return problem
    if not 0 <= certificate.primary < members.n:
        return "bad_primary"
    if not int.from_bytes(certificate.signers, "little") >> certificate.primary & 1:
        return "primary_did_not_sign"
    header = parse_header(certificate.header)
    if header is None:
        return "bad_header"
    if block_id(certificate.header) != certificate.vote.block_id:
        return "header_of_another_block"
    if header.height != certificate.vote.height or header.epoch != certificate.vote.epoch:
        return "header_of_another_slot"
    return ""


def _signers(signers: bytes, signatures: tuple[bytes, ...], members: Membership) -> str:
    """Check that a bitmap names exactly q members and each has a signature (P14, B11)."""
    found = bitmap_indexes(signers, members.n)
    if found is None:
        return "bad_bitmap"
    if len(found) != members.q or len(signatures) != members.q:
        return "wrong_number_of_signatures"
    if any(len(signature) != SIGNATURE_BYTES for signature in signatures):
        return "bad_signature_length"
    return ""


def commit_items(certificate: CommitCertificate) -> Iterable[SignatureItem]:
    """Yield the signatures to verify; the shape was checked."""
    vote = certificate.vote
    body = encode(vote)
    for signer, signature in zip(_indexes(certificate.signers), certificate.signatures, strict=False):
        yield SignatureItem(COMMIT, body, vote.epoch, signer, signature)


def prepared_items(certificate: PreparedCertificate) -> Iterable[SignatureItem]:
    """Yield the signatures to verify; the one of `primary` is a PRE-PREPARE signature (P15)."""
    vote = certificate.vote
    body = encode(vote)
    for signer, signature in zip(_indexes(certificate.signers), certificate.signatures, strict=False):
        kind = PRE_PREPARE if signer == certificate.primary else PREPARE
        yield SignatureItem(kind, body, vote.epoch, signer, signature)


def _indexes(signers: bytes) -> list[int]:
    mask = int.from_bytes(signers, "little")
    return [index for index in range(8 * len(signers)) if mask >> index & 1]


# proposals


def proposal_shape(message: PrePrepare, members: Membership, genesis_id: bytes) -> str:
    """Check what a PRE-PREPARE says about itself, before any signature (P13, P30f)."""
    header = parse_header(message.proposal.header)
    if header is None:
        return "bad_header"
    vote = message.vote
    if header.height != vote.height or header.epoch != vote.epoch:
        return "header_of_another_slot"
    if block_id(message.proposal.header) != vote.block_id:
        return "header_of_another_block"
    if not header.tx_count <= len(message.proposal.tx_ids) <= header.tx_count + ITEMS_MAX:
        return "wrong_number_of_ids"
    last = message.proposal.last_certificate
    if last.vote.height != header.last_cert_height:
        return "wrong_last_certificate"
    return commit_certificate(last, members, genesis_id)


def bound(proposal: Proposal, header: Header) -> bool:
    """Tell whether ids and last certificate are those of the header, so that a block id names one proposal.

    The ids of the evidence stand behind those of the transactions.
    """
    if any(len(one) != HASH_BYTES for one in proposal.tx_ids):
        return False
    transactions, evidence = split_bodies(proposal.tx_ids, header.tx_count)
    return (
        len(transactions) == header.tx_count
        and certificate_hash(proposal.last_certificate) == header.last_cert_hash
        and list_root(transactions) == header.tx_root
        and list_root(evidence) == header.evidence_root
    )


@dataclass(frozen=True, slots=True)
class HeaderRules:
    """What every header of this epoch must say, and the caps (P30f)."""

    chain_id: bytes
    members_hash: bytes
    params_hash: bytes
    members: int
    max_block_bytes: int
    max_block_txs: int
    window: int


def header_problem(header: Header, rules: HeaderRules) -> str:
    """Check a header against the constants of the chain and the epoch (P30f); that it is of this epoch is known."""
    if header.version != PROTOCOL_VERSION:
        return "wrong_version"
    if header.chain_id != rules.chain_id:
        return "wrong_chain"
    if header.members_hash != rules.members_hash:
        return "wrong_members"
    if header.params_hash != rules.params_hash:
        return "wrong_parameters"
    if not 0 <= header.proposer < rules.members:
        return "unknown_proposer"
    if header.size_bytes > rules.max_block_bytes or header.tx_count > rules.max_block_txs:
        return "too_large"
    if not header.height - rules.window <= header.last_cert_height <= header.height - 1:
        return "wrong_last_certificate_height"
    return ""


# view change


def view_change(message: ViewChange, members: Membership, genesis_id: bytes, window: int) -> str:
    """Check a VIEW-CHANGE but for its signatures (P53); its view was seen to be one we look at."""
    if message.epoch != members.epoch:
        return "wrong_epoch"
    if not 0 <= message.sender < members.n:
        return "unknown_sender"
    if len(message.signature) != SIGNATURE_BYTES:
        return "bad_signature_length"
    base = message.base.vote.height
    if base < members.first_height - 1:
        return "base_before_epoch"
    problem = commit_certificate(message.base, members, genesis_id)
    if problem:
        return problem
    if len(message.prepared) > window:
        return "too_many_entries"
    last = base
    for entry in message.prepared:
        if not last < entry.vote.height <= base + window:
            return "entry_height"
        if entry.vote.view >= message.view:
            return "entry_view"
        problem = prepared_certificate(entry, members)
        if problem:
            return problem
        last = entry.vote.height
    return ""


def view_change_items(message: ViewChange) -> Iterable[SignatureItem]:
    """Yield all signatures of a VIEW-CHANGE, its own first."""
    yield SignatureItem(VIEW_CHANGE, view_change_body(message), message.epoch, message.sender, message.signature)
    yield from commit_items(message.base)
    for entry in message.prepared:
        yield from prepared_items(entry)


@dataclass(frozen=True, slots=True)
class Opening:
    """O(V): the base certificate and, ascending from base+1, the blocks to propose again (P55)."""

    base: CommitCertificate
    entries: tuple[PreparedCertificate, ...]

    def reproposals(self) -> tuple[tuple[int, bytes], ...]:
        """Return O as NEW-VIEW carries it."""
        return tuple((entry.vote.height, entry.vote.block_id) for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two certificates that cannot both exist unless more than f members lie (P55)."""

    detail: str


def opening(view_changes: tuple[ViewChange, ...]) -> Opening | Contradiction:
    """Return O(V), the same on every replica that is given the same V (P55). V is not empty."""
    base = view_changes[0].base
    for change in view_changes[1:]:
        if change.base.vote.height > base.vote.height:
            base = change.base
    for change in view_changes:
        if change.base.vote.height == base.vote.height and change.base.vote.block_id != base.vote.block_id:
            return Contradiction(f"two commit certificates at height {base.vote.height}")
    previous, height = base.vote.block_id, base.vote.height + 1
    chosen: list[PreparedCertificate] = []
    while True:
        candidates = [entry for change in view_changes for entry in change.prepared if entry.vote.height == height]
        if not candidates:
            break
        best = candidates[0]
        for entry in candidates[1:]:
            if entry.vote.view > best.vote.view:
                best = entry
        for entry in candidates:
            if entry.vote.view == best.vote.view and entry.vote.block_id != best.vote.block_id:
                return Contradiction(f"two prepared certificates at height {height} in view {best.vote.view}")
        header = parse_header(best.header)
        if header is None or header.parent_id != previous:
            break  # a broken link proves that nothing from here on was committed
        chosen.append(best)
        previous, height = best.vote.block_id, height + 1
    return Opening(base, tuple(chosen))


def new_view(message: NewView, members: Membership, genesis_id: bytes, window: int) -> str:
    """Check a NEW-VIEW of this epoch but for its signatures and O(V) (P56)."""
    if not 0 < message.view < NUMBER_MAX:
        return "number_out_of_range"
    if message.sender != members.collector(message.view):
        return "not_the_collector"
    if len(message.signature) != SIGNATURE_BYTES:
        return "bad_signature_length"
    if len(message.view_changes) != members.q:
        return "wrong_number_of_view_changes"
    last = -1
    for change in message.view_changes:
        if change.sender <= last:
            return "senders_not_ascending"
        if change.view != message.view:
            return "view_change_for_another_view"
        problem = view_change(change, members, genesis_id, window)
        if problem:
            return problem
        last = change.sender
    return ""


def new_view_items(message: NewView) -> Iterable[SignatureItem]:
    """Yield the signatures of V; the collector's own is `new_view_own_item`."""
    for change in message.view_changes:
        yield from view_change_items(change)


def new_view_own_item(message: NewView) -> SignatureItem:
    """Return the collector's signature."""
    return SignatureItem(NEW_VIEW, new_view_body(message), message.epoch, message.sender, message.signature)
