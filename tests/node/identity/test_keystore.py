"""Key files: one layout, bounded, private, and honest about what is wrong with them (S34-S37)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ledger.crypto.ed25519 import SigningKey
from node.identity.keystore import (
    ARGON2_BOUNDS,
    KeyFileRefused,
    KeyKind,
    Keystore,
    WrongSecret,
    public_half,
    read_key,
    read_public,
    write_key,
    write_private,
)
from node.identity.unlock import (
    Passphrase,
    Secret,
    UnlockFailed,
    check_passphrase,
    find_secret,
    read_secret_file,
)

SECRET = Secret(b"s" * 32)
SEED = b"\x55" * 32


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore.create(tmp_path / "keystore", SECRET)


def test_keys_come_back_and_sign(store: Keystore) -> None:
    public = store.add("consensus", KeyKind.CONSENSUS, SEED, chain_id=b"\x11" * 32, journal_id=b"j" * 16)
    again = Keystore.open(store.directory, SECRET)
    stored = again.load("consensus", KeyKind.CONSENSUS)
    assert (stored.private, stored.chain_id, stored.journal_id) == (SEED, b"\x11" * 32, b"j" * 16)
    assert again.signing_key("consensus", KeyKind.CONSENSUS).public_key == public == SigningKey(SEED).public_key
    assert again.list() == (("consensus", "consensus", public.hex()),)
    assert SEED.hex() not in repr(stored) and "s" * 32 not in repr(SECRET)
    assert SEED.hex() not in (store.directory / "consensus.json").read_text()


def test_seal_keys_are_random_and_kept(store: Keystore) -> None:
    store.make_seal_keys(("journal", "blocks"))
    first = store.seal_keys("journal")
    store.make_seal_keys(("journal", "blocks"))
    assert Keystore.open(store.directory, SECRET).seal_keys("journal") == first
    assert first != store.seal_keys("blocks") and set(first) == {1}
    with pytest.raises(KeyFileRefused, match="restore the keystore"):
        store.seal_keys("state")
    assert store.derive("index", b"documents") != store.derive("log", b"documents")
    assert store.derive("index", b"documents") == Keystore.open(store.directory, SECRET).derive("index", b"documents")


def test_no_key_serves_two_kinds(store: Keystore) -> None:
    """S16: the kind is bound to the key, and asking for another kind is refused by name."""
    store.add("alice", KeyKind.USER, SEED)
    with pytest.raises(KeyFileRefused, match="it holds the user key alice"):
        store.load("alice", KeyKind.ROOT)
    with pytest.raises(KeyFileRefused, match="never overwritten"):
        store.add("alice", KeyKind.USER, SEED)
    for kind, journal in ((KeyKind.CONSENSUS, b""), (KeyKind.USER, b"j" * 16), (KeyKind.MASTER, b"")):
        with pytest.raises(ValueError):
            store.add("x", kind, SEED, journal_id=journal)
    for bad in ("../x", "", "A", "master", "a" * 80):
        with pytest.raises(ValueError):
            store.add(bad, KeyKind.USER, SEED)


@pytest.mark.control("S34")
def test_every_changed_field_of_a_key_file_is_noticed(store: Keystore) -> None:
    store.add("consensus", KeyKind.CONSENSUS, SEED, journal_id=b"j" * 16)
    store.add("other", KeyKind.USER, b"\x56" * 32)
    path = store.directory / "consensus.json"
    text = path.read_text()
    layout = json.loads(text)
    changes: list[dict[str, object]] = [
        {"v": 2},
        {"aead": "aes-256-gcm"},
        {"nonce": "00" * 12},
        {"ct": "00" * 48},
        {"pk": "00" * 32},
        {"kdf": {"name": "master", "info": "user/consensus"}},
        {"kdf": {"name": "unknown"}},
        {"aad": {**layout["aad"], "kind": "user"}},
        {"aad": {**layout["aad"], "journal_id": ""}},
        {"aad": {**layout["aad"], "chain_id": "22" * 32}},
        {"aad": {**layout["aad"], "key_id": "other"}},
        {"extra": 1},
    ]
    for change in changes:
        path.write_text(json.dumps({**layout, **change}))
        with pytest.raises((KeyFileRefused, WrongSecret)):
            store.load("consensus", KeyKind.CONSENSUS)
    path.write_text(text)
    assert store.load("consensus", KeyKind.CONSENSUS).private == SEED
    path.write_bytes((store.directory / "other.json").read_bytes())
    with pytest.raises(KeyFileRefused, match="not the consensus key"):
        store.load("consensus", KeyKind.CONSENSUS)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 60_000, b"x" * 70_000])
def test_files_that_are_not_key_files_are_refused(store: Keystore, raw: bytes) -> None:
    path = store.directory / "k.json"
    path.touch(0o600)
    path.write_bytes(raw)
    with pytest.raises(KeyFileRefused, match=str(path)):
        store.load("k", KeyKind.USER)


@pytest.mark.control("S35", "T46")
def test_passphrases_are_stretched_within_bounds(tmp_path: Path) -> None:
    words = Passphrase("correct horse battery staple")
    path = tmp_path / "alice.json"
    public = write_key(path, "alice", KeyKind.USER, SEED, words)
    assert read_public(path) == ("alice", "user", public)
    assert read_key(path, words).signing_key().public_key == public
    with pytest.raises(WrongSecret, match="does not open it"):
        read_key(path, Passphrase("correct horse battery stable"))
    with pytest.raises(KeyFileRefused, match="opens with a passphrase"):
        read_key(path, SECRET)
    with pytest.raises(KeyFileRefused, match="never overwritten"):
        write_key(path, "alice", KeyKind.USER, SEED, words)
    layout = json.loads(path.read_text())
    for field, (low, high) in zip(("m_kib", "t", "p"), ARGON2_BOUNDS, strict=True):
        for value in (low - 1, high + 1, True, "64", None, 1e9):
            path.write_text(json.dumps({**layout, "kdf": {**layout["kdf"], field: value}}))
            with pytest.raises(KeyFileRefused, match=f"parameter {field} is outside"):
                read_key(path, words)


def test_a_new_passphrase_rewrites_one_file(store: Keystore) -> None:
    store.add("alice", KeyKind.USER, SEED)
    before = (store.directory / "alice.json").read_bytes()
    store.change_secret(Secret(b"n" * 32))
    assert (store.directory / "alice.json").read_bytes() == before
    with pytest.raises(WrongSecret):
        Keystore.open(store.directory, SECRET)
    assert Keystore.open(store.directory, Secret(b"n" * 32)).load("alice", KeyKind.USER).private == SEED


@pytest.mark.control("S36", "T37")
def test_files_that_others_can_reach_are_refused(store: Keystore, tmp_path: Path) -> None:
    store.add("alice", KeyKind.USER, SEED)
    path = store.directory / "alice.json"
    assert path.stat().st_mode & 0o777 == 0o600 and store.directory.stat().st_mode & 0o777 == 0o700
    path.chmod(0o640)
    with pytest.raises(KeyFileRefused, match="run chmod 600"):
        store.load("alice", KeyKind.USER)
    path.chmod(0o600)
    os.rename(path, tmp_path / "real.json")
    path.symlink_to(tmp_path / "real.json")
    with pytest.raises(KeyFileRefused, match="links are not followed"):
        store.load("alice", KeyKind.USER)
    store.directory.chmod(0o750)
    with pytest.raises(KeyFileRefused, match="run chmod 700"):
        Keystore.open(store.directory, SECRET)
    store.directory.chmod(0o700)
    with pytest.raises(KeyFileRefused, match="hansa init"):
        Keystore.open(tmp_path / "nowhere", SECRET)


def test_writing_leaves_the_old_file_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    write_private(path, b"old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("node.identity.keystore.os.rename", refuse)
    with pytest.raises(KeyFileRefused, match="No space left"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_symmetric_keys_have_a_check_value_that_gives_nothing_away() -> None:
    assert len(public_half(KeyKind.SEAL, SEED)) == 16
    assert public_half(KeyKind.SEAL, SEED) != public_half(KeyKind.TLS_PASSWORD, SEED)
    with pytest.raises(ValueError):
        public_half(KeyKind.USER, b"short")


# -- where the secret comes from -------------------------------------------------------------------------------


def _file(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.touch(mode)
    path.chmod(mode)
    path.write_bytes(data)
    return path


def test_secret_files(tmp_path: Path) -> None:
    assert read_secret_file(_file(tmp_path / "raw", b"r" * 32)) == Secret(b"r" * 32)
    assert read_secret_file(_file(tmp_path / "hex", b"ab" * 32 + b"\n")) == Secret(b"\xab" * 32)
    assert read_secret_file(_file(tmp_path / "words", b"four words and one\n")) == Passphrase("four words and one")
    for name, data, mode, reason in (
        ("open", b"r" * 32, 0o644, "run chmod 600"),
        ("lines", b"a\nb\n", 0o600, "more than one line"),
        ("empty", b"", 0o600, "empty"),
        ("binary", b"\xff" * 31, 0o600, "neither 32 bytes"),
        ("large", b"x" * 5_000, 0o600, "not a small regular file"),
    ):
        with pytest.raises(UnlockFailed, match=reason):
            read_secret_file(_file(tmp_path / name, data, mode))
    (tmp_path / "link").symlink_to(tmp_path / "raw")
    for name, reason in (
        ("link", "links are not followed"),
        ("nothing", "HANSA_KEY_FILE"),
        ("", "not a small regular file"),
    ):
        with pytest.raises(UnlockFailed, match=reason):
            read_secret_file(tmp_path / name)


@pytest.mark.control("S37")
def test_sources_of_the_secret(tmp_path: Path) -> None:
    path = _file(tmp_path / "hansa-master", b"r" * 32)

    def find(source: str, *, development: bool = False, **given: object) -> object:
        values: dict[str, object] = {"key_file": None, "environment": {}, "prompt": None, **given}
        return find_secret(source, development=development, **values)  # type: ignore[arg-type]

    expected = Secret(b"r" * 32)
    assert find("file", key_file=path) == expected
    assert find("file", environment={"HANSA_KEY_FILE": str(path)}) == expected
    assert find("credential", environment={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == expected
    assert find("prompt", prompt=lambda _: "open sesame") == Passphrase("open sesame")
    assert find("environment", development=True, environment={"HANSA_PASSPHRASE": "x"}) == Passphrase("x")
    for source, reason in (
        ("file", r"node\.key_file"),
        ("credential", "LoadCredentialEncrypted"),
        ("prompt", "no terminal"),
        ("environment", "development networks only"),
        ("post", "none of prompt"),
    ):
        with pytest.raises(UnlockFailed, match=reason):
            find(source, environment={"HANSA_PASSPHRASE": "x"} if source == "environment" else {})
    with pytest.raises(UnlockFailed, match="10 to 1024"):
        check_passphrase("short", new=True)
