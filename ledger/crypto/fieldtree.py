"""Salted Merkle tree over the fields of a document: one root, and each field can be shown alone (S78-S81).

Leaves are sorted by hash and padded with decoys to a multiple of 16, so a position tells neither the order of the
paths nor how many fields are real. The root binds the number of leaves, which fixes the shape.

Door: `build` for the owner, `verify_disclosure` for a reader of single fields.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.codec import Codec, Wire
from ledger.crypto.hashing import H, Tag
from ledger.crypto.kdf import KEY_BYTES, SALT_BYTES, field_salt
from ledger.errors import InvalidFields
from ledger.ids import HASH_BYTES

PATH_BYTES_MAX: Final = 128
PATH_DEPTH_MAX: Final = 8
VALUE_BYTES_MAX: Final = 64 * 1024
FIELDS_MAX: Final = 4_096
PAD_TO: Final = 16
"""Leaves come in multiples of this, so a count hides the number of fields."""
_PATH: Final = re.compile(r"[a-z0-9_.\-]+(/[a-z0-9_.\-]+)*")


class Disclosure(Wire, frozen=True):
    """One field shown alone (S81); `siblings` from the leaf upwards."""

    index: int
    path: str
    value: bytes
    salt: bytes
    siblings: tuple[bytes, ...]


disclosure_codec: Codec[Disclosure] = Codec(Disclosure, "disclosed field", VALUE_BYTES_MAX + 4_096)


@dataclass(frozen=True, slots=True)
class FieldTree:
    """Root and leaf count as they stand in an anchor, and what the owner needs to show fields."""

    root: bytes
    count: int
    fields: Mapping[str, bytes]
    seed: bytes
    leaves: tuple[bytes, ...]
    """Leaf hashes in tree order."""

    def disclose(self, path: str) -> Disclosure:
        """Return the field at `path` with its proof; an unknown path is `InvalidFields`."""
        if path not in self.fields:
            raise InvalidFields(path, "the document has no such field")
        salt, value = field_salt(self.seed, path), self.fields[path]
        index = self.leaves.index(leaf(salt, path, value))
        siblings: list[bytes] = []
        level, position = list(self.leaves), index
        while len(level) > 1:
            if position ^ 1 < len(level):
                siblings.append(level[position ^ 1])
            level, position = _above(level), position // 2
        return Disclosure(index, path, value, salt, tuple(siblings))


def build(fields: Mapping[str, bytes], seed: bytes) -> FieldTree:
    """Return the tree over `fields`; `seed` is 32 random bytes of this document version (S79, S80)."""
    if len(seed) != KEY_BYTES:
        raise InvalidFields("", f"the seed has {len(seed)} bytes, {KEY_BYTES} are needed")
    if not 0 < len(fields) <= FIELDS_MAX:
        raise InvalidFields("", f"{len(fields)} fields, 1 to {FIELDS_MAX} are allowed")
    for path, value in fields.items():
        check_field(path, value)
    leaves = [leaf(field_salt(seed, path), path, value) for path, value in fields.items()]
    decoys = -len(leaves) % PAD_TO
    leaves += [H(Tag.DECOY, seed, number.to_bytes(4, "big")) for number in range(decoys)]
    leaves.sort()
    return FieldTree(_root(leaves), len(leaves), dict(fields), seed, tuple(leaves))


def leaf(salt: bytes, path: str, value: bytes) -> bytes:
    """Return the leaf hash of one field (S80)."""
    return H(Tag.LEAF, salt, path.encode("ascii"), value)


def check_field(path: str, value: bytes) -> None:
    """Raise `InvalidFields` if the path or the value is outside the bounds (S78)."""
    if len(path) > PATH_BYTES_MAX or not _PATH.fullmatch(path):
        raise InvalidFields(
            path[:PATH_BYTES_MAX], f"not a path of lower-case segments of at most {PATH_BYTES_MAX} bytes"
        )
    if path.count("/") >= PATH_DEPTH_MAX:
        raise InvalidFields(path, f"deeper than {PATH_DEPTH_MAX} segments")
    if len(value) > VALUE_BYTES_MAX:
        raise InvalidFields(path, f"{len(value)} bytes, at most {VALUE_BYTES_MAX} are allowed")


def verify_disclosure(root: bytes, count: int, shown: Disclosure) -> bool:
    """Tell whether the field belongs to the document with `root` and `count` leaves (S81).

    Every sibling must be present exactly where the shape of `count` needs it. The caller accepts the field only
    under an anchor that a counterparty has signed: a reader of single fields cannot see a path used twice (S90).
    """
    if not 0 <= shown.index < count <= FIELDS_MAX or count % PAD_TO or len(shown.salt) != SALT_BYTES:
        return False
    if any(len(sibling) != HASH_BYTES for sibling in shown.siblings):
        return False
    try:
        check_field(shown.path, shown.value)
    except InvalidFields:
        return False
    node, index, width, used = leaf(shown.salt, shown.path, shown.value), shown.index, count, 0
    while width > 1:
        if index ^ 1 < width:
            if used == len(shown.siblings):
                return False
            other = shown.siblings[used]
            used += 1
            node = H(Tag.NODE, other, node) if index & 1 else H(Tag.NODE, node, other)
        index, width = index // 2, (width + 1) // 2
    return used == len(shown.siblings) and hmac.compare_digest(_bind(count, node), root)


def _root(leaves: Sequence[bytes]) -> bytes:
    level = list(leaves)
    while len(level) > 1:
        level = _above(level)
    return _bind(len(leaves), level[0])


def _above(level: Sequence[bytes]) -> list[bytes]:
    """Return the next level; an odd last node moves up unchanged."""
    paired = [H(Tag.NODE, level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    if len(level) % 2:
        paired.append(level[-1])
    return paired


def _bind(count: int, top: bytes) -> bytes:
    return H(Tag.ROOT, count.to_bytes(4, "big"), top)
