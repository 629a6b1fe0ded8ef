"""Genesis: the document every founding company signs, its hash is the chain id (LR10).

Door: `build(document)` returns block 0 and the state it opens with.
"""

from __future__ import annotations

from ledger.codec import Codec, Wire, encode
from ledger.crypto.hashing import H, Tag
from ledger.params import Params
from ledger.registry.records import Company, Node, User

GENESIS_LIMIT_BYTES = 4 * 1024 * 1024


class KeyProof(Wire, frozen=True):
    """Proof of possession (S7): `owner` holds the private half of `public_key`.

    Signed with domain `pop` and 32 zero bytes as chain id, because no chain exists yet (LR10).
    """

    kind: str
    owner: str
    public_key: bytes
    signature: bytes


class ContractSource(Wire, frozen=True):
    name: str
    source: bytes


class GenesisDocument(Wire, frozen=True):
    """Everything a chain starts from. `contracts` are in an order in which each uses only earlier ones."""

    version: int
    network: str
    production: bool
    time_ms: int
    utc_offset_min: int
    params: Params
    currencies: tuple[tuple[str, int], ...]
    companies: tuple[Company, ...]
    nodes: tuple[Node, ...]
    users: tuple[User, ...]
    proofs: tuple[KeyProof, ...]
    contracts: tuple[ContractSource, ...]


class GenesisFile(Wire, frozen=True):
    """The file that travels: the document's bytes and, beside it, the root signatures over the chain id (LR10)."""

    document: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...]
    """(company id, root public key, signature with domain `genesis`)"""


genesis_codec: Codec[GenesisDocument] = Codec(GenesisDocument, "genesis document", GENESIS_LIMIT_BYTES)
genesis_file_codec: Codec[GenesisFile] = Codec(GenesisFile, "genesis file", GENESIS_LIMIT_BYTES + 65_536)


def chain_id(document: GenesisDocument) -> bytes:
    """Return the id of the chain that `document` founds."""
    return H(Tag.GENESIS, encode(document))
