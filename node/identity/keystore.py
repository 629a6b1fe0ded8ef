"""Private keys at rest (S34-S36): one file a key, one layout, sealed with AES-256-GCM-SIV.

    keystore/master.json     the master key, wrapped by a passphrase (Argon2id) or a 256-bit secret (HKDF)
    keystore/<key id>.json   one private key, wrapped under the master key; or, for wallets and root keys that
                             travel alone, directly by a passphrase or secret of its own

    {v: 1, kdf, aead: "aes-256-gcm-siv", nonce, aad: {key_id, kind, chain_id, journal_id}, ct, pk}

Rules
    * The associated data is the canonical form of everything but nonce and ciphertext, so no field can be exchanged.
    * `pk` is the public half, or a check value for symmetric keys; after opening, the key must yield it (S36).
    * KDF parameters of a file are bounded before they are used: a file must not be able to ask for a terabyte (S35).
    * Files are 0600, the folder 0700; links, foreign owners and wider modes are refused. Writing is temporary file,
      fsync, rename, fsync of the folder (S36).
    * A passphrase change rewrites `master.json` only. One KDF run a start; it takes a second, so run `Keystore.open`
      in a thread before the node begins to work.

Door: `Keystore.create`, `Keystore.open`; `write_key`, `read_key` for a key that stands alone.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.crypto.hashing import lp
from ledger.ids import HASH_BYTES, ZERO_HASH
from node.identity.hardening import lock_pages
from node.identity.unlock import Passphrase, Secret, UnlockSecret

LAYOUT_VERSION: Final = 1
AEAD: Final = "aes-256-gcm-siv"
MASTER_ID: Final = "master"
KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
FILE_LIMIT_BYTES: Final = 64 * 1024
FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700
ARGON2_DEFAULT: Final = (64 * 1024, 3, 4)
"""(memory in KiB, passes, lanes) of a new file (S35)."""
ARGON2_BOUNDS: Final = ((64 * 1024, 1024 * 1024), (2, 10), (1, 8))
"""What the loader accepts (S35)."""

_KEY_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")
_CHECK_BYTES: Final = 16


class KeyKind(Enum):
    """What a key is for. No key serves two kinds (S16)."""

    MASTER = "master"
    ROOT = "root"
    CONSENSUS = "consensus"
    TLS_PASSWORD = "tls-password"  # noqa: S105  # the name of a kind, not a password
    READER = "reader"
    USER = "user"
    SERVICE = "service"
    SEAL = "seal"
    NUMBERING = "numbering"
    """Makes document numbers comparable without showing them; never replaced (F30)."""

    @property
    def signs(self) -> bool:
        """Tell whether keys of this kind are Ed25519 seeds; the others are symmetric."""
        return self in (KeyKind.ROOT, KeyKind.CONSENSUS, KeyKind.USER, KeyKind.SERVICE)


class KeystoreError(Exception):
    """Base of what can be wrong with key files. The message names the file and what to do."""

    code = "keystore"


class KeyFileRefused(KeystoreError):
    """The file is missing, readable by others, a link, too large, or not of the layout (S36)."""

    code = "key_file"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"key file {path}: {reason}")
        self.path = path
        self.reason = reason


class WrongSecret(KeystoreError):
    """The passphrase or secret does not open the file, or the file was changed; the two cannot be told apart."""

    code = "wrong_secret"

    def __init__(self, path: Path) -> None:
        super().__init__(f"key file {path}: the passphrase or secret does not open it, or the file was changed")
        self.path = path


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """An opened key. `journal_id` is set on consensus keys only (P94)."""

    key_id: str
    kind: KeyKind
    chain_id: bytes
    journal_id: bytes
    private: bytes

    def signing_key(self) -> SigningKey:
        """Return the signer of a seed; asking a symmetric key is our bug."""
        if not self.kind.signs:
            raise ValueError(f"a {self.kind.value} key does not sign")
        return SigningKey(self.private)

    def __repr__(self) -> str:
        return f"StoredKey({self.kind.value} {self.key_id})"


class Keystore:
    """An open keystore directory: the master key is in memory, key files are opened on demand."""

    def __init__(self, directory: Path, master: bytes) -> None:
        """Use `create` or `open`."""
        self.directory = directory
        self._master = bytearray(master)
        lock_pages(self._master)

    @classmethod
    def create(cls, directory: Path, secret: UnlockSecret) -> Keystore:
        """Make `directory` with a new random master key wrapped by `secret`."""
        _make_directory(directory)
        path = directory / f"{MASTER_ID}.json"
        if path.exists():
            raise KeyFileRefused(path, "it exists already; a keystore is never overwritten")
        master = secrets.token_bytes(KEY_BYTES)
        _write_key(path, _aad(MASTER_ID, KeyKind.MASTER, ZERO_HASH, b""), master, secret)
        return cls(directory, master)

    @classmethod
    def open(cls, directory: Path, secret: UnlockSecret) -> Keystore:
        """Open the keystore. Raises `KeyFileRefused` or `WrongSecret`."""
        _check_directory(directory)
        stored = read_key(directory / f"{MASTER_ID}.json", secret)
        if stored.kind is not KeyKind.MASTER:
            raise KeyFileRefused(directory / f"{MASTER_ID}.json", "it does not hold a master key")
        return cls(directory, stored.private)

    def change_secret(self, secret: UnlockSecret) -> None:
        """Wrap the master key anew; no other file changes (S34)."""
        path = self.directory / f"{MASTER_ID}.json"
        _write_key(path, _aad(MASTER_ID, KeyKind.MASTER, ZERO_HASH, b""), bytes(self._master), secret)

    def add(
        self,
        key_id: str,
        kind: KeyKind,
        private: bytes,
        *,
        chain_id: bytes = ZERO_HASH,
        journal_id: bytes = b"",
    ) -> bytes:
        """Keep a key; return its public half or check value. An existing id is refused."""
        path = self._path(key_id)
        if path.exists():
            raise KeyFileRefused(path, "it exists already; keys are never overwritten")
        if kind is KeyKind.MASTER or (kind is KeyKind.CONSENSUS) != bool(journal_id):
            raise ValueError("a consensus key, and no other, carries the id of its journal (P94)")
        _write_key(path, _aad(key_id, kind, chain_id, journal_id), private, bytes(self._master))
        return public_half(kind, private)

    def load(self, key_id: str, kind: KeyKind) -> StoredKey:
        """Return the key `key_id`, which must be of `kind`. Raises `KeyFileRefused` or `WrongSecret`."""
        path = self._path(key_id)
        stored = _read_key(path, bytes(self._master))
        if stored.key_id != key_id or stored.kind is not kind:
            reason = f"it holds the {stored.kind.value} key {stored.key_id}, not the {kind.value} key {key_id}"
            raise KeyFileRefused(path, reason)
        return stored

    def has(self, key_id: str) -> bool:
        return self._path(key_id).exists()

    def signing_key(self, key_id: str, kind: KeyKind) -> SigningKey:
        """Return the signer for an Ed25519 key."""
        return self.load(key_id, kind).signing_key()

    def list(self) -> tuple[tuple[str, str, str], ...]:
        """Return (key id, kind, public half or check value in hex) of every key, sorted; nothing is opened."""
        found: list[tuple[str, str, str]] = []
        for path in sorted(self.directory.glob("*.json")):
            layout = _parse(path, _read_file(path))
            if path.stem != MASTER_ID:
                found.append((layout["aad"]["key_id"], layout["aad"]["kind"], layout["pk"]))
        return tuple(found)

    # -- keys of the store -------------------------------------------------------------------------------------

    def make_seal_keys(self, namespaces: tuple[str, ...]) -> None:
        """Draw the first value key of each namespace that has none (S106)."""
        for namespace in namespaces:
            if not self.has(_seal_id(namespace, 1)):
                self.add(_seal_id(namespace, 1), KeyKind.SEAL, secrets.token_bytes(KEY_BYTES))

    def seal_keys(self, namespace: str) -> Mapping[int, bytes]:
        """Return the value keys of a namespace by epoch, for `node.store.sealed`; never empty."""
        found: dict[int, bytes] = {}
        for path in sorted(self.directory.glob(f"seal-{namespace}-*.json")):
            epoch = path.stem.rpartition("-")[2]
            if re.fullmatch(r"[1-9][0-9]{0,8}", epoch):
                found[int(epoch)] = self.load(path.stem, KeyKind.SEAL).private
        if not found:
            raise KeyFileRefused(
                self.directory / f"{_seal_id(namespace, 1)}.json", "it is missing; restore the keystore folder"
            )
        return found

    def derive(self, purpose: str, *parts: bytes) -> bytes:
        """Return a 32-byte key that follows from the master key: `k_idx` and `k_log` (S106)."""
        return _hkdf(bytes(self._master), b"", lp(b"hansa/v1/derive", purpose.encode("ascii"), *parts))

    def close(self) -> None:
        """Overwrite the master key; best effort, Python keeps copies it does not show (S38)."""
        for index in range(len(self._master)):
            self._master[index] = 0

    def _path(self, key_id: str) -> Path:
        if not _KEY_ID.fullmatch(key_id) or key_id == MASTER_ID:
            raise ValueError(f"{key_id!r} cannot be the id of a key")
        return self.directory / f"{key_id}.json"


# -- a key that stands alone -----------------------------------------------------------------------------------


def write_key(
    path: Path, key_id: str, kind: KeyKind, private: bytes, secret: UnlockSecret, *, chain_id: bytes = ZERO_HASH
) -> bytes:
    """Write a wallet or root key file that `secret` alone opens; return its public half. An existing file is refused.

    Root keys live on officers' machines, user keys in wallets: neither hangs on a node's master key (S16).
    """
    if path.exists():
        raise KeyFileRefused(path, "it exists already; keys are never overwritten")
    if not _KEY_ID.fullmatch(key_id) or kind in (KeyKind.MASTER, KeyKind.CONSENSUS):
        raise ValueError(f"a {kind.value} key {key_id!r} cannot stand alone")
    _write_key(path, _aad(key_id, kind, chain_id, b""), private, secret)
    return public_half(kind, private)


def read_key(path: Path, secret: UnlockSecret) -> StoredKey:
    """Open a key file with a passphrase or secret. Raises `KeyFileRefused` or `WrongSecret`."""
    return _read_key(path, secret)


def read_public(path: Path) -> tuple[str, str, bytes]:
    """Return (key id, kind, public half) of a key file without opening it. Nothing proves them before it is opened."""
    layout = _parse(path, _read_file(path))
    return layout["aad"]["key_id"], layout["aad"]["kind"], bytes.fromhex(layout["pk"])


def public_half(kind: KeyKind, private: bytes) -> bytes:
    """Return the public key of a seed, or a value that shows a symmetric key without giving it away."""
    if len(private) != KEY_BYTES:
        raise ValueError(f"a {kind.value} key has {KEY_BYTES} bytes, not {len(private)}")
    if kind.signs:
        return SigningKey(private).public_key
    return _hkdf(private, b"", lp(b"hansa/v1/key-check", kind.value.encode("ascii")))[:_CHECK_BYTES]


# -- layout ----------------------------------------------------------------------------------------------------


def _aad(key_id: str, kind: KeyKind, chain_id: bytes, journal_id: bytes) -> dict[str, str]:
    if len(chain_id) != HASH_BYTES:
        raise ValueError(f"a chain id has {HASH_BYTES} bytes, not {len(chain_id)}")
    return {"key_id": key_id, "kind": kind.value, "chain_id": chain_id.hex(), "journal_id": journal_id.hex()}


def _bound(kdf: Mapping[str, Any], aad: Mapping[str, str], public: str) -> bytes:
    """Return the associated data: every field of the file that must not be exchanged, in canonical form."""
    return lp(
        b"hansa/v1/key-file",
        encode([LAYOUT_VERSION, AEAD, sorted(kdf.items()), sorted(aad.items()), public]),
    )


def _write_key(path: Path, aad: dict[str, str], private: bytes, under: UnlockSecret | bytes) -> None:
    public = public_half(KeyKind(aad["kind"]), private).hex()
    kdf, wrapping = _new_kdf(under, aad)
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCMSIV(wrapping).encrypt(nonce, private, _bound(kdf, aad, public))
    layout = {
        "v": LAYOUT_VERSION,
        "kdf": kdf,
        "aead": AEAD,
        "nonce": nonce.hex(),
        "aad": aad,
        "ct": sealed.hex(),
        "pk": public,
    }
    write_private(path, json.dumps(layout, indent=1).encode("ascii") + b"\n")


def _read_key(path: Path, under: UnlockSecret | bytes) -> StoredKey:
    layout = _parse(path, _read_file(path))
    wrapping = _open_kdf(path, layout["kdf"], under, layout["aad"])
    bound = _bound(layout["kdf"], layout["aad"], layout["pk"])
    try:
        private = AESGCMSIV(wrapping).decrypt(bytes.fromhex(layout["nonce"]), bytes.fromhex(layout["ct"]), bound)
    except InvalidTag:
        raise WrongSecret(path) from None
    kind = KeyKind(layout["aad"]["kind"])
    if len(private) != KEY_BYTES or not hmac.compare_digest(public_half(kind, private).hex(), layout["pk"]):
        raise KeyFileRefused(path, "the private key does not yield the public key beside it")
    return StoredKey(
        key_id=layout["aad"]["key_id"],
        kind=kind,
        chain_id=bytes.fromhex(layout["aad"]["chain_id"]),
        journal_id=bytes.fromhex(layout["aad"]["journal_id"]),
        private=private,
    )


def _new_kdf(under: UnlockSecret | bytes, aad: Mapping[str, str]) -> tuple[dict[str, Any], bytes]:
    match under:
        case Passphrase():
            memory, passes, lanes = ARGON2_DEFAULT
            salt = secrets.token_bytes(SALT_BYTES)
            kdf = {"name": "argon2id", "m_kib": memory, "t": passes, "p": lanes, "salt": salt.hex()}
            return kdf, _argon2(under, salt, memory, passes, lanes)
        case Secret():
            salt = secrets.token_bytes(SALT_BYTES)
            return {"name": "hkdf", "salt": salt.hex()}, _hkdf(under.value, salt, lp(b"hansa/v1/unlock"))
        case bytes():
            info = f"{aad['kind']}/{aad['key_id']}"
            return {"name": "master", "info": info}, _hkdf(under, b"", lp(b"hansa/v1/wrap-key", info.encode("ascii")))


def _open_kdf(path: Path, kdf: Mapping[str, Any], under: UnlockSecret | bytes, aad: Mapping[str, str]) -> bytes:
    name = kdf["name"]
    if name == "argon2id" and isinstance(under, Passphrase):
        return _argon2(under, bytes.fromhex(kdf["salt"]), kdf["m_kib"], kdf["t"], kdf["p"])
    if name == "hkdf" and isinstance(under, Secret):
        return _hkdf(under.value, bytes.fromhex(kdf["salt"]), lp(b"hansa/v1/unlock"))
    if name == "master" and isinstance(under, bytes):
        info = f"{aad['kind']}/{aad['key_id']}"
        if kdf["info"] != info:
            raise KeyFileRefused(path, "its key derivation is not that of its id")
        return _hkdf(under, b"", lp(b"hansa/v1/wrap-key", info.encode("ascii")))
    needs = {"argon2id": "a passphrase", "hkdf": "a 256-bit secret from a file or credential", "master": "the keystore"}
    raise KeyFileRefused(path, f"it opens with {needs[name]}, and something else was given")


def _argon2(passphrase: Passphrase, salt: bytes, memory_kib: int, passes: int, lanes: int) -> bytes:
    kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=passes, lanes=lanes, memory_cost=memory_kib)
    return kdf.derive(passphrase.text.encode("utf-8"))


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt or None, info=info).derive(key)


def _seal_id(namespace: str, epoch: int) -> str:
    return f"seal-{namespace}-{epoch}"


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    """Return the layout after checking every field; what is not of the layout is refused by name."""
    try:
        layout = json.loads(raw)
    except (ValueError, RecursionError):
        raise KeyFileRefused(path, "it is not JSON; restore it from a backup") from None
    if not isinstance(layout, dict) or set(layout) != {"v", "kdf", "aead", "nonce", "aad", "ct", "pk"}:
        raise KeyFileRefused(path, "it does not have the fields of a key file")
    if layout["v"] != LAYOUT_VERSION or layout["aead"] != AEAD:
        raise KeyFileRefused(path, f"its version or cipher is not {LAYOUT_VERSION} and {AEAD}")
    aad = layout["aad"]
    if not isinstance(aad, dict) or set(aad) != {"key_id", "kind", "chain_id", "journal_id"}:
        raise KeyFileRefused(path, "its aad does not have the fields of a key file")
    if not isinstance(aad["key_id"], str) or not _KEY_ID.fullmatch(aad["key_id"]):
        raise KeyFileRefused(path, "its key id is malformed")
    if aad["kind"] not in [kind.value for kind in KeyKind]:
        raise KeyFileRefused(path, "its kind of key is unknown")
    sizes = (
        ("nonce", layout["nonce"], (NONCE_BYTES,)),
        ("ct", layout["ct"], (KEY_BYTES + 16,)),
        ("pk", layout["pk"], (KEY_BYTES, _CHECK_BYTES)),
        ("chain_id", aad["chain_id"], (HASH_BYTES,)),
        ("journal_id", aad["journal_id"], (0, 16)),
    )
    for field, value, lengths in sizes:
        if not _is_hex(value, lengths):
            raise KeyFileRefused(path, f"its field {field} is malformed")
    _check_kdf(path, layout["kdf"])
    return layout


def _check_kdf(path: Path, kdf: Any) -> None:
    """Refuse unknown derivations and parameters outside their bounds, before anything is computed (S35)."""
    fields = {"argon2id": {"name", "m_kib", "t", "p", "salt"}, "hkdf": {"name", "salt"}, "master": {"name", "info"}}
    if not isinstance(kdf, dict) or not isinstance(kdf.get("name"), str) or set(kdf) != fields.get(kdf["name"]):
        raise KeyFileRefused(path, "its key derivation is unknown")
    if kdf["name"] == "argon2id":
        for field, (low, high) in zip(("m_kib", "t", "p"), ARGON2_BOUNDS, strict=True):
            if type(kdf[field]) is not int or not low <= kdf[field] <= high:
                raise KeyFileRefused(path, f"its Argon2id parameter {field} is outside {low} to {high}")
    if "salt" in kdf and not _is_hex(kdf["salt"], (SALT_BYTES,)):
        raise KeyFileRefused(path, "its salt is malformed")
    if "info" in kdf and not isinstance(kdf["info"], str):
        raise KeyFileRefused(path, "its key derivation is malformed")


def _is_hex(value: Any, lengths: tuple[int, ...]) -> bool:
    return isinstance(value, str) and bool(_HEX.fullmatch(value)) and len(value) // 2 in lengths


# -- files -----------------------------------------------------------------------------------------------------


def write_private(path: Path, data: bytes) -> None:
    """Write `data` with mode 0600, atomically and durably (S36)."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            os.fchmod(descriptor, FILE_MODE)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise KeyFileRefused(path, f"cannot be written: {error.strerror}") from error


def read_private(path: Path, limit_bytes: int = FILE_LIMIT_BYTES) -> bytes:
    """Read a secret file; refuse links, foreign owners and files that others can read (S36)."""
    return _read_file(path, limit_bytes)


def _read_file(path: Path, limit_bytes: int = FILE_LIMIT_BYTES) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyFileRefused(path, "it does not exist") from None
    except OSError as error:
        raise KeyFileRefused(path, f"cannot be opened ({error.strerror}); links are not followed") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileRefused(path, "it is not a regular file")
        if status.st_mode & 0o077:
            raise KeyFileRefused(path, f"others can read it (mode {status.st_mode & 0o777:o}); run chmod 600 {path}")
        if status.st_uid not in (os.geteuid(), 0):
            raise KeyFileRefused(path, f"it belongs to user {status.st_uid}, not to the user of this process")
        if status.st_size > limit_bytes:
            raise KeyFileRefused(path, f"it has {status.st_size} bytes, the limit is {limit_bytes}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(limit_bytes + 1)[:limit_bytes]
    finally:
        os.close(descriptor)


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileRefused(directory, f"cannot be created: {error.strerror}") from error
    _check_directory(directory)


def _check_directory(directory: Path) -> None:
    try:
        status = os.lstat(directory)
    except OSError as error:
        raise KeyFileRefused(directory, f"{error.strerror}; make the keystore with `hansa init`") from error
    if not stat.S_ISDIR(status.st_mode):
        raise KeyFileRefused(directory, "it is not a folder")
    if status.st_mode & 0o077:
        raise KeyFileRefused(directory, f"others can enter it (mode {status.st_mode & 0o777:o}); run chmod 700 on it")
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyFileRefused(directory, f"it belongs to user {status.st_uid}, not to the user of this process")
