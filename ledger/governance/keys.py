"""Proofs of possession and root signatures that travel in payloads (S7, S22, S23, S26).

Every digest binds the chain and begins with a word for its use, so that no signature serves two purposes: possession
of a key under domain `pop`, statements of root policies and old keys about membership under domain `join`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey, is_valid_public_key, verify_strict
from ledger.crypto.hashing import Tag, signing_digest
from ledger.genesis import KeyProof
from ledger.governance.records import JoinRequest
from ledger.governance.refusal import need, short
from ledger.registry.lookup import Getter, read_key
from ledger.registry.records import RootPolicy, company_id, node_id, user_id

ROOT_KEYS_MAX: Final = 16
"""Keys of a root policy, as in genesis."""


def possession_digest(chain: bytes, kind: str, owner: str, public_key: bytes) -> bytes:
    """Return what proves possession of a key on a running chain; in genesis the chain is 32 zero bytes (S7, LR10)."""
    return signing_digest(Tag.SIG_POP, chain, encode((kind, owner, public_key)))


def prove_possession(chain: bytes, kind: str, owner: str, key: SigningKey) -> KeyProof:
    """Return the proof that `owner` holds `key` on this chain; kind is `root`, `consensus` or `user`."""
    return KeyProof(kind, owner, key.public_key, key.sign(possession_digest(chain, kind, owner, key.public_key)))


def ready_digest(chain: bytes, node: str, height: int, block: bytes) -> bytes:
    """Return what the consensus key signs to say: this node holds block `block` at `height` (S22.8)."""
    return signing_digest(Tag.SIG_POP, chain, encode(("ready", node, height, block)))


def join_digest(chain: bytes, request: bytes) -> bytes:
    """Return what root keys sign to ask for membership (S22.3)."""
    return signing_digest(Tag.SIG_JOIN, chain, encode(("join", request)))


def leave_digest(chain: bytes, company: str) -> bytes:
    """Return what root keys sign to leave (S26)."""
    return signing_digest(Tag.SIG_JOIN, chain, encode(("leave", company)))


def rotate_digest(chain: bytes, node: str, public_key: bytes) -> bytes:
    """Return what the old key or the root keys sign for the next consensus key of a node (S23)."""
    return signing_digest(Tag.SIG_JOIN, chain, encode(("rotate", node, public_key)))


def replace_digest(chain: bytes, company: str, request: bytes) -> bytes:
    """Return what new root keys, and old ones that consent, sign for new keys of a company (S28)."""
    return signing_digest(Tag.SIG_JOIN, chain, encode(("replace", company, request)))


def endorse_digest(chain: bytes, proposal: bytes, company: str) -> bytes:
    """Return what root keys sign to back their company's approval of an expulsion (S26)."""
    return signing_digest(Tag.SIG_JOIN, chain, encode(("endorse", proposal, company)))


def check_root(root: RootPolicy, signatures: Sequence[tuple[bytes, bytes]], digest: bytes, what: str) -> None:
    """Raise `Refused` unless at least m distinct keys of the policy signed, and nobody else did."""
    seen: list[bytes] = []
    for key, signature in signatures:
        need(key in root.keys, "bad_proof", "S26", f"{what}: {short(key)} is no root key of the company")
        need(key not in seen, "bad_proof", "S26", f"{what}: root key {short(key)} signs twice")
        good = verify_strict(key, signature, digest)
        need(good, "bad_proof", "S26", f"{what}: the signature of root key {short(key)} does not verify; sign again")
        seen.append(key)
    need(
        len(seen) >= root.m,
        "bad_proof",
        "S26",
        f"{what}: {len(seen)} root signatures, the policy needs {root.m}; ask more officers to sign",
    )


def check_fresh(reader: Getter, key: bytes, what: str) -> None:
    """Raise `Refused` unless the key is a good point that nobody has registered, ever (S7, S16, S22.4)."""
    need(
        is_valid_public_key(key),
        "bad_proof",
        "S7",
        f"{what}: {short(key)} is no point of the prime-order group; make a new key",
    )
    known = read_key(reader, key)
    if known is not None:
        need(
            False,
            "key_in_use",
            "S22",
            f"{what}: key {short(key)} belongs to {known.kind} {short(known.owner)}; make a new key",
        )


def check_request(reader: Getter, chain: bytes, request: JoinRequest, company: str = "") -> None:
    """Raise `Refused` unless each signing key is fresh, serves one use, and was shown to be held (S7, S16, S22).

    The keys are those of `company`; of the one that the root policy names, if it is left out.
    """
    owner = company or company_id(request.root)
    needed = [("root", owner, key) for key in request.root.keys]
    needed.append(("consensus", node_id(request.consensus_key), request.consensus_key))
    needed += [("user", user_id(owner, user.public_key), user.public_key) for user in request.users]
    seen: list[bytes] = []
    for kind, _, key in needed:
        check_fresh(reader, key, f"{kind} key")
        need(key not in seen, "key_in_use", "S16", f"{kind} key {short(key)} stands in the request twice")
        seen.append(key)
    given = [(proof.kind, proof.owner, proof.public_key) for proof in request.proofs]
    need(
        given == sorted(needed),
        "bad_proof",
        "S7",
        f"{len(given)} proofs of possession; one for each of {len(needed)} signing keys is needed, sorted",
    )
    for proof in request.proofs:
        digest = possession_digest(chain, proof.kind, proof.owner, proof.public_key)
        good = verify_strict(proof.public_key, proof.signature, digest)
        need(good, "bad_proof", "S7", f"the proof of {proof.kind} key {short(proof.public_key)} does not verify")
