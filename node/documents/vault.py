"""Sealed originals at the seller: the imported file, its salted field tree's seed, and what the chain calls it.

Until documents are exchanged between nodes, only control fields and the field-tree root go on chain; the file stays
here, sealed in the namespace `documents` (S105-S107). The seller exports file and seed, and the buyer's node
recomputes the root before its people sign (S90).

Rules
    * A document is named by its root: the value that the chain holds. Keeping the same root again is harmless.
    * The file is kept byte for byte as it was imported; its hash is checked on the way out.
    * `keep` returns when the document is durable; call it before the transaction is submitted, so that no root is on
      the chain whose document was lost.

Door: `Vault.keep`, `Vault.get`, `Vault.list`.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from ledger.codec import Codec, Wire, encode
from node.store.blobs import MAP_BYTES, BlobStore
from node.store.errors import StoreError

FILE_LIMIT_BYTES: Final = 32 * 1024 * 1024
"""Largest original; intake refuses larger files before they get here (S57)."""
ROOT_BYTES: Final = 32
SEED_BYTES: Final = 32
NAME_LIMIT: Final = 255
MEDIA_LIMIT: Final = 100

_CARD_LIMIT_BYTES: Final = 16 * 1024


class OriginalCard(Wire, frozen=True):
    """What is known about an original without opening it.

    `kind` is the document kind of the importer ("invoice", "credit_note"), `profile` the format it was read as,
    `object_id` the id of the object on the chain or empty while it is not issued, `number_key` the seller's number.
    """

    root: bytes
    kind: str
    profile: str
    file_name: str
    media: str
    size_bytes: int
    sha256: bytes
    number: str
    number_key: str
    seller: str
    buyer: str
    object_id: str
    kept_ms: int


class Original(Wire, frozen=True):
    """An imported file with the seed from which the salts of its field tree follow (S79)."""

    card: OriginalCard
    seed: bytes
    data: bytes


class _Content(Wire, frozen=True):
    seed: bytes
    data: bytes


_card_codec: Final[Codec[OriginalCard]] = Codec(OriginalCard, "document card", _CARD_LIMIT_BYTES)
_content_codec: Final[Codec[_Content]] = Codec(_Content, "sealed original", FILE_LIMIT_BYTES + 1024)


class VaultRefused(StoreError):
    """An original that cannot be kept: a caller's mistake, named by field."""

    code = "vault_refused"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Vault:
    """The originals of one company's node."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    @classmethod
    def open(cls, path: Path, keys: Mapping[int, bytes], index_key: bytes, *, map_bytes: int = MAP_BYTES) -> Vault:
        """Open the vault in folder `path`, made when it does not exist. Raises `StoreFailed`."""
        return cls(BlobStore.open(path, keys, index_key, map_bytes=map_bytes))

    def keep(self, original: Original) -> None:
        """Seal `original` durably under its root. Raises `VaultRefused` or `StoreFailed`."""
        card = original.card
        _check(original)
        held = self.card(card.root)
        if held is not None and held.object_id and not card.object_id:
            return  # already issued: the same file again must not forget what the chain calls it
        content = encode(_Content(original.seed, original.data))
        self._blobs.put(card.root, encode(card), content)

    def name_object(self, root: bytes, object_id: str) -> None:
        """Note the id that the chain gave to the document with this root."""
        card = self.card(root)
        if card is None:
            raise VaultRefused("root", "no original with this root is kept here")
        self._blobs.put_card(root, encode(_with_object(card, object_id)))

    def card(self, root: bytes) -> OriginalCard | None:
        """Return the card of the original with this root, or None."""
        plain = self._blobs.card(root)
        return None if plain is None else _card_codec.decode(plain)

    def get(self, root: bytes) -> Original | None:
        """Return the original with this root, or None. A file that does not have its hash is `StoreError`."""
        card = self.card(root)
        plain = self._blobs.content(root) if card is not None else None
        if card is None or plain is None:
            return None
        content = _content_codec.decode(plain)
        if sha256(content.data).digest() != card.sha256:
            raise StoreError(f"the original {root.hex()[:16]} does not have the hash on its card")
        return Original(card, content.seed, content.data)

    def list(self) -> tuple[OriginalCard, ...]:
        """Return the cards of all originals, oldest first."""
        cards = [_card_codec.decode(plain) for plain in self._blobs.cards()]
        return tuple(sorted(cards, key=lambda card: (card.kept_ms, card.root)))

    def find(self, *, object_id: str = "", number_key: str = "", seller: str = "") -> tuple[OriginalCard, ...]:
        """Return the cards that match every given value, oldest first."""
        wanted = {"object_id": object_id, "number_key": number_key, "seller": seller}
        given = {name: value for name, value in wanted.items() if value}
        return tuple(card for card in self.list() if all(getattr(card, name) == value for name, value in given.items()))

    def remove(self, root: bytes) -> bool:
        """Forget an original; tell whether it was held. See `BlobStore.remove` about bytes in freed pages."""
        return self._blobs.remove(root)

    def close(self) -> None:
        self._blobs.close()


def _with_object(card: OriginalCard, object_id: str) -> OriginalCard:
    return msgspec.structs.replace(card, object_id=object_id)


def _check(original: Original) -> None:
    card = original.card
    if len(card.root) != ROOT_BYTES:
        raise VaultRefused("root", f"{len(card.root)} bytes, a root has {ROOT_BYTES}")
    if len(original.seed) != SEED_BYTES:
        raise VaultRefused("seed", f"{len(original.seed)} bytes, a seed has {SEED_BYTES}")
    if len(original.data) > FILE_LIMIT_BYTES:
        raise VaultRefused("data", f"{len(original.data)} bytes, the limit is {FILE_LIMIT_BYTES}")
    if card.size_bytes != len(original.data) or card.sha256 != sha256(original.data).digest():
        raise VaultRefused("sha256", "size or hash on the card is not that of the file")
    if not 1 <= len(card.file_name) <= NAME_LIMIT or len(card.media) > MEDIA_LIMIT:
        raise VaultRefused("file_name", f"a file name has 1 to {NAME_LIMIT} characters, a media type {MEDIA_LIMIT}")
