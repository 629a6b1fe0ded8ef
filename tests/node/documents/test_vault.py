"""Sealed originals: byte for byte, durable, and unreadable on the disk (S105-S107, F3)."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from node.documents.vault import FILE_LIMIT_BYTES, Original, OriginalCard, Vault, VaultRefused
from node.store.errors import SealBroken, StoreFailed

KEYS = {1: b"d" * 32}
INDEX_KEY = b"i" * 32
MAP = 64 * 1024 * 1024


def original(number: int = 1, data: bytes = b"<Invoice>CANARY-INVOICE</Invoice>", **changes: object) -> Original:
    fields: dict[str, object] = {
        "root": bytes([number]) * 32,
        "kind": "invoice",
        "profile": "ubl-2.1",
        "file_name": f"invoice-{number}.xml",
        "media": "application/xml",
        "size_bytes": len(data),
        "sha256": sha256(data).digest(),
        "number": "A-1",
        "number_key": f"INV-CANARY-{number}",
        "seller": "c" + "a" * 26,
        "buyer": "c" + "b" * 26,
        "object_id": "",
        "kept_ms": 1_000 - number,
        **changes,
    }
    return Original(OriginalCard(**fields), b"s" * 32, data)  # type: ignore[arg-type]


def test_originals_come_back_byte_for_byte_after_a_restart(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "documents", KEYS, INDEX_KEY, map_bytes=MAP)
    first, second = original(1), original(2, data=bytes(range(256)) * 5_000)
    vault.keep(first)
    vault.keep(second)
    vault.close()
    vault = Vault.open(tmp_path / "documents", KEYS, INDEX_KEY, map_bytes=MAP)
    assert vault.get(first.card.root) == first and vault.get(second.card.root) == second
    assert vault.list() == (second.card, first.card)
    assert vault.get(b"\0" * 32) is None and vault.card(b"\0" * 32) is None
    assert vault.find(number_key="INV-CANARY-1") == (first.card,)
    assert vault.find(number_key="INV-CANARY-1", seller="c" + "z" * 26) == ()


def test_the_name_that_the_chain_gave_is_kept(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "documents", KEYS, INDEX_KEY, map_bytes=MAP)
    vault.keep(original())
    vault.name_object(original().card.root, "inv-1")
    vault.keep(original())  # the same file imported again
    (card,) = vault.find(object_id="inv-1")
    assert card.file_name == "invoice-1.xml"
    with pytest.raises(VaultRefused, match="no original"):
        vault.name_object(b"\0" * 32, "inv-2")
    assert vault.remove(card.root) and not vault.remove(card.root)
    assert vault.list() == ()


@pytest.mark.control("S107", "S110", "T45")
def test_the_disk_shows_neither_content_nor_names(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "documents", KEYS, INDEX_KEY, map_bytes=MAP)
    vault.keep(original())
    vault.close()
    raw = (tmp_path / "documents" / "data.mdb").read_bytes()
    for secret in (b"CANARY-INVOICE", b"INV-CANARY", b"invoice-1.xml", original().card.root, b"s" * 32):
        assert secret not in raw
    other = Vault.open(tmp_path / "documents", {1: b"?" * 32}, INDEX_KEY, map_bytes=MAP)
    with pytest.raises(SealBroken):
        other.list()


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"root": b"short"}, "root"),
        ({"size_bytes": 1}, "sha256"),
        ({"sha256": b"x" * 32}, "sha256"),
        ({"file_name": ""}, "file_name"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_field(tmp_path: Path, changed: dict[str, object], field: str) -> None:
    vault = Vault.open(tmp_path / "documents", KEYS, INDEX_KEY, map_bytes=MAP)
    with pytest.raises(VaultRefused) as refusal:
        vault.keep(original(1, **changed))
    assert refusal.value.field == field and vault.list() == ()


def test_too_large_and_full_are_clear_errors(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "documents", KEYS, INDEX_KEY, map_bytes=256 * 1024)
    with pytest.raises(VaultRefused, match="the limit is"):
        vault.keep(original(1, data=bytes(FILE_LIMIT_BYTES + 1)))
    with pytest.raises(StoreFailed, match=r"storage\.documents_max_gib"):
        for number in range(1, 50):
            vault.keep(original(number, data=bytes(40_000)))
    assert vault.list()
