"""Votes and commit certificates: what makes a block final for somebody who was not there.

A certificate is q signatures of distinct members over one `Vote`; it is checked offline against the member
set of its epoch (S20). The bitmap (P14) makes duplicate signers impossible by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ledger.codec import Codec, Natural, Wire, encode
from ledger.crypto.ed25519 import SIGNATURE_BYTES, verify_strict
from ledger.crypto.hashing import H, Tag, signing_digest
from ledger.ids import HASH_BYTES


class Vote(Wire, frozen=True):
    """The signed body of PRE-PREPARE, PREPARE and COMMIT (P11); the sender is not part of it."""

    epoch: Natural
    view: Natural
    height: Natural
    block_id: bytes


class CommitCertificate(Wire, frozen=True):
    """q COMMIT signatures over one vote. The genesis certificate (height 0) has no signatures."""

    vote: Vote
    signers: bytes
    signatures: tuple[bytes, ...]


CERTIFICATE_LIMIT_BYTES = 512 * (SIGNATURE_BYTES + 3) + 1024
certificate_codec: Codec[CommitCertificate] = Codec(CommitCertificate, "commit certificate", CERTIFICATE_LIMIT_BYTES)


def quorum(n: int) -> int:
    """Return q = (n+f)//2 + 1 for n members, f = (n-1)//3; below four members f = 0 (P2, P4).

    Any two sets of q members share at least f+1 of them, and n-f members suffice to form one. This is
    the only place that computes it: certificates are checked here, and `consensus.quorum` uses this function.

    >>> [quorum(n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 25)]
    [1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 17]
    """
    return (n + faults(n)) // 2 + 1


def faults(n: int) -> int:
    """Return f = (n-1)//3, the Byzantine members that n members tolerate (P2)."""
    return (n - 1) // 3


def genesis_certificate(genesis_id: bytes, epoch: int = 0) -> CommitCertificate:
    """Return the certificate of block 0: no signatures, because trust in it is out of band."""
    return CommitCertificate(Vote(epoch, 0, 0, genesis_id), b"", ())


def certificate_hash(certificate: CommitCertificate) -> bytes:
    """Return the hash named by the next header as `last_cert_hash`."""
    return H(Tag.CERTIFICATE, encode(certificate))


def bitmap(indexes: Sequence[int], n: int) -> bytes:
    """Return the bitmap of exactly ceil(n/8) bytes; bit i stands for member i, little-endian in a byte (P14)."""
    bits = 0
    for index in indexes:
        bits |= 1 << index
    return bits.to_bytes((n + 7) // 8, "little")


def bitmap_indexes(signers: bytes, n: int) -> tuple[int, ...] | None:
    """Return the ascending indexes of a bitmap, or None if its length or padding is wrong (P14)."""
    if len(signers) != (n + 7) // 8:
        return None
    bits = int.from_bytes(signers, "little")
    if bits >> n:
        return None
    return tuple(index for index in range(n) if bits >> index & 1)


Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, signature, digest) -> verdict; `verify_strict` outside simulations."""


def verify_commit_certificate(
    certificate: CommitCertificate,
    keys: Sequence[bytes],
    chain_id: bytes,
    verify: Verify = verify_strict,
) -> str:
    """Return "" if the certificate proves its vote under the epoch's `keys` (by index), else what is wrong.

    Exactly q signatures of distinct members are required, all of them are checked (P14, P85).
    """
    n = len(keys)
    indexes = bitmap_indexes(certificate.signers, n)
    if indexes is None:
        return "the signer bitmap is malformed"
    if len(certificate.vote.block_id) != HASH_BYTES:
        return "the block id has a wrong length"
    if len(indexes) != quorum(n) or len(certificate.signatures) != len(indexes):
        return f"{len(certificate.signatures)} signatures of {len(indexes)} signers, exactly {quorum(n)} are needed"
    digest = signing_digest(Tag.SIG_COMMIT, chain_id, encode(certificate.vote))
    for index, signature in zip(indexes, certificate.signatures, strict=True):
        if not verify(keys[index], signature, digest):
            return f"the signature of member {index} does not verify"
    return ""
