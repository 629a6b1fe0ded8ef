"""Length-prefixed, domain-separated hashing.

`lp` (S1) puts a four-byte big-endian length before every element, so that two different lists never
give the same bytes. `H` (S2) is SHA-256 over `lp` with a tag in front; tags are one closed enum, so two
meanings never share a tag.
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import Final

PREFIX: Final = b"hansa/v1/"


def lp(*parts: bytes) -> bytes:
    """Return each part with its four-byte big-endian length before it (S1)."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class Tag(Enum):
    """Every use of the hash function, closed. A new use is a new member (S2)."""

    # identities (S17, S18)
    ID_COMPANY = "id/company"
    ID_NODE = "id/node"
    ID_USER = "id/user"
    ID_SERVICE = "id/service"
    LEGAL = "legal"
    ENDPOINT = "endpoint"
    # chain (LR4-LR10)
    GENESIS = "genesis"
    PARAMS = "params"
    MEMBERS = "members"
    BLOCK = "block"
    CERTIFICATE = "certificate"
    TX = "tx"
    ENVELOPE = "envelope"
    EVIDENCE = "evidence"
    EXEC = "exec"
    ROTATION = "rotation"
    CONTRACT = "contract"
    CONTRACT_IR = "contract/ir"
    OBJECT_ID = "object"
    LIST_LEAF = "list/leaf"
    LIST_NODE = "list/node"
    LIST_ROOT = "list/root"
    STATE_KEY = "state/key"
    STATE_VALUE = "state/value"
    STATE_LEAF = "state/leaf"
    STATE_BRANCH = "state/branch"
    STATE_EMPTY = "state/empty"
    # documents (S80-S88)
    LEAF = "leaf"
    DECOY = "decoy"
    NODE = "node"
    ROOT = "root"
    BLOB = "blob"
    CHUNK = "chunk"
    # journal (P92)
    JOURNAL_LINK = "journal/link"
    # signatures (S3, P10)
    SIG_TX = "sig/tx"
    SIG_GENESIS = "sig/genesis"
    SIG_POP = "sig/pop"
    SIG_HELLO = "sig/hello"
    SIG_JOIN = "sig/join"
    SIG_INVITE = "sig/invite"
    SIG_READ = "sig/read"
    SIG_BUNDLE = "sig/bundle"
    SIG_PRE_PREPARE = "sig/vote/pre-prepare"
    SIG_PREPARE = "sig/vote/prepare"
    SIG_COMMIT = "sig/vote/commit"
    SIG_VIEW_CHANGE = "sig/vote/view-change"
    SIG_NEW_VIEW = "sig/vote/new-view"
    # simulator only; refused by every real node (M19)
    MODEL_SIGNATURE = "sim/signature"
    TRACE = "sim/trace"

    def __init__(self, text: str) -> None:
        self.seed = sha256(lp(PREFIX + text.encode("ascii")))
        """A hasher that has eaten the tag (performance E8); always copied, never updated."""


def H(tag: Tag, *parts: bytes) -> bytes:
    """Return SHA-256 over lp(tag, parts...): 32 bytes (S2)."""
    hasher = tag.seed.copy()
    for part in parts:
        hasher.update(len(part).to_bytes(4, "big"))
        hasher.update(part)
    return hasher.digest()


def hash_encoded(tag: Tag, body: bytes) -> bytes:
    """Return the hash of a `body` that is `lp(parts...)` already; equal to `H(tag, parts...)` (performance E23)."""
    hasher = tag.seed.copy()
    hasher.update(body)
    return hasher.digest()


def signing_digest(tag: Tag, chain_id: bytes, body: bytes) -> bytes:
    """Return the 32 bytes that are signed for `body` on chain `chain_id` (S3)."""
    return H(tag, chain_id, body)
