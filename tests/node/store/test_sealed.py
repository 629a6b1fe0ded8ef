"""Sealed values open in their own place only (S105-S107)."""

from __future__ import annotations

import pytest

from node.store.errors import SealBroken
from node.store.sealed import NONCE_BYTES, OVERHEAD_BYTES, NameKey, Sealer

KEYS = {1: b"a" * 32, 2: b"b" * 32}


@pytest.mark.control("S105")
def test_a_value_opens_in_its_place_and_nowhere_else() -> None:
    sealer = Sealer("state", "rows", KEYS)
    sealed = sealer.seal(b"key", b"value")
    assert sealer.open(b"key", sealed) == b"value"
    assert len(sealed) == len(b"value") + OVERHEAD_BYTES
    assert sealed[:5] == b"\x01\x00\x00\x00\x02"
    elsewhere = (
        Sealer("state", "nodes", KEYS),
        Sealer("blocks", "rows", KEYS),
        Sealer("state", "rows", {2: b"?" * 32}),
    )
    for other in elsewhere:
        with pytest.raises(SealBroken, match="changed or moved"):
            other.open(b"key", sealed)
    with pytest.raises(SealBroken, match="changed or moved"):
        sealer.open(b"kez", sealed)


@pytest.mark.control("S105")
def test_every_flipped_byte_is_noticed() -> None:
    sealer = Sealer("journal", "log", KEYS)
    sealed = sealer.seal(b"k", b"v" * 20)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(SealBroken):
            sealer.open(b"k", bytes(changed))
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            sealer.open(b"k", sealed[:length])


def test_old_epochs_are_read_and_the_newest_is_written() -> None:
    old = Sealer("state", "rows", {1: KEYS[1]})
    sealed = old.seal(b"k", b"v")
    assert Sealer("state", "rows", KEYS).open(b"k", sealed) == b"v"
    with pytest.raises(SealBroken, match="key epoch 1 is not in the keystore"):
        Sealer("state", "rows", {2: KEYS[2]}).open(b"k", sealed)


def test_a_flush_draws_its_nonces_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """E24: one draw, and never the same nonce twice."""
    drawn: list[int] = []
    real = __import__("secrets").token_bytes

    def count(size: int) -> bytes:
        drawn.append(size)
        return real(size)

    monkeypatch.setattr("node.store.sealed.secrets.token_bytes", count)
    sealer = Sealer("state", "rows", KEYS)
    rows = [(b"k%d" % i, b"v%d" % i) for i in range(100)]
    sealed = sealer.seal_many(rows)
    assert drawn == [100 * NONCE_BYTES]
    assert [(key, sealer.open(key, value)) for key, value in sealed] == rows
    assert len({value[5:17] for _, value in sealed}) == 100
    assert sealer.seal_many([]) == []


def test_wrong_keys_and_namespaces_are_refused() -> None:
    for namespace, keys in (("other", KEYS), ("state", {}), ("state", {0: b"a" * 32}), ("state", {1: b"short"})):
        with pytest.raises(ValueError):
            Sealer(namespace, "rows", keys)


def test_names_are_keyed_hashes() -> None:
    """S107: equality look-ups only, and nothing to guess without the key."""
    names = NameKey(b"i" * 32)
    assert names.name(b"a", b"b") == names.name(b"a", b"b") != names.name(b"ab")
    assert names.name(b"a") != NameKey(b"j" * 32).name(b"a")
    assert names.names([b"a", b"b"]) == [names.name(b"a"), names.name(b"b")]
