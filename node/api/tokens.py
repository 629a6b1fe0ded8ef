"""API tokens (S45): `hansa_<id>_<64 hex secret>`, only the hash of the secret is kept, in a file of mode 0600.

A token may read and prepare; it never signs for the ledger (U28). It belongs to one registered user of one
company, is limited to scopes and networks, and ends after at most 90 days. The command line and the node may both
change the file: every change is made under a lock, over what the file holds now.
"""

from __future__ import annotations

import fcntl
import hmac
import ipaddress
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
import structlog

DAY_MS: Final = 86_400_000
TOKEN_LIFE_MAX_MS: Final = 90 * DAY_MS
FILE_LIMIT_BYTES: Final = 1024 * 1024
TOKENS_MAX: Final = 1_000
LAST_USE_STEP_MS: Final = 60_000
"""`last_used_ms` is written at most this often for one token."""
SCOPES: Final = ("read", "submit", "admin")

_FORM: Final = re.compile(r"hansa_([a-z0-9][a-z0-9-]{0,31})_([0-9a-f]{64})", re.ASCII)
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_NO_HASH: Final = sha256(b"no such token").hexdigest()


class TokenError(Exception):
    """The token file cannot be used, or a token cannot be made. `next_step` says what to do."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(f"{what}. {next_step}")
        self.what = what
        self.next_step = next_step


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One token as stored. `networks` are CIDR texts, empty for any address; `revoked_ms` 0 while it is in force."""

    id: str
    secret_sha256: str
    company_id: str
    user_id: str
    label: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    created_ms: int
    expires_ms: int
    revoked_ms: int = 0
    last_used_ms: int = 0


class _File(msgspec.Struct, frozen=True, kw_only=True):
    schema: str
    tokens: tuple[Token, ...]


_SCHEMA: Final = "hansa.tokens/1"

log: Final = structlog.get_logger("api")


class TokenStore:
    """All tokens of one node. `path` None keeps them in memory only."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._tokens: dict[str, Token] = {}
        self._seen: tuple[int, int, int] | None = None
        self._unnoted_ms: int | None = None
        self._reload()

    def create(
        self,
        *,
        company_id: str,
        user_id: str,
        label: str,
        scopes: Sequence[str],
        now_ms: int,
        life_ms: int,
        networks: Sequence[str] = (),
        token_id: str = "",
        secret: bytes = b"",
    ) -> tuple[Token, str]:
        """Make a token; return it with its text, which is shown once and not kept.

        `secret` (32 bytes) is drawn here unless a development network hands in its own.
        """
        token_id = token_id or secrets.token_hex(6)
        if not _ID.fullmatch(token_id):
            raise TokenError(f"the token id {token_id[:40]!r} has a wrong form", "Use letters a-z, digits and '-'.")
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise TokenError(f"unknown or missing scope {', '.join(unknown)}", f"Choose from {', '.join(SCOPES)}.")
        if not 0 < life_ms <= TOKEN_LIFE_MAX_MS:
            raise TokenError("a token lives 1 to 90 days", "Choose a shorter life.")
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise TokenError(f"{network[:60]!r} is not a network", "Write it like 10.0.0.0/8.") from None
        if secret and len(secret) != 32:
            raise TokenError("a token secret has 32 bytes", "Leave it out to have one drawn.")
        text = (secret or secrets.token_bytes(32)).hex()
        token = Token(
            id=token_id,
            secret_sha256=sha256(text.encode("ascii")).hexdigest(),
            company_id=company_id,
            user_id=user_id,
            label=label[:80],
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            networks=tuple(networks),
            created_ms=now_ms,
            expires_ms=now_ms + life_ms,
        )
        with self._locked():
            if token_id in self._tokens:
                raise TokenError(f"a token with the id {token_id!r} exists", "Choose another id or revoke that one.")
            if len(self._tokens) >= TOKENS_MAX:
                raise TokenError(f"{TOKENS_MAX} tokens exist", "Remove expired ones first.")
            self._tokens[token_id] = token
            self._write(durable=True)
        return token, f"hansa_{token_id}_{text}"

    def verify(self, text: str, address: str, now_ms: int) -> Token | None:
        """Return the token if it is in force for `address`; the same work for every kind of refusal (S53)."""
        self._reload()
        match = _FORM.fullmatch(text) if len(text) <= 128 else None
        token = self._tokens.get(match.group(1)) if match else None
        shown = sha256((match.group(2) if match else text[:128]).encode("utf-8", "replace")).hexdigest()
        right = hmac.compare_digest(shown, token.secret_sha256 if token else _NO_HASH)
        if token is None or not right:
            return None
        if token.revoked_ms or not token.created_ms <= now_ms + DAY_MS or now_ms >= token.expires_ms:
            return None
        if token.networks and not _inside(address, token.networks):
            return None
        if now_ms - token.last_used_ms >= LAST_USE_STEP_MS:
            self._note_use(token.id, now_ms)
        return token

    def in_force(self, token_id: str, now_ms: int) -> Token | None:
        """Return a token by id while it is neither revoked nor expired: what keeps a session alive."""
        self._reload()
        token = self._tokens.get(token_id)
        return None if token is None or token.revoked_ms or now_ms >= token.expires_ms else token

    def revoke(self, token_id: str, now_ms: int) -> Token | None:
        """End a token at once; None if there is none with this id. Revoking again changes nothing."""
        with self._locked():
            token = self._tokens.get(token_id)
            if token is None:
                return None
            if not token.revoked_ms:
                token = msgspec.structs.replace(token, revoked_ms=now_ms)
                self._tokens[token_id] = token
                self._write(durable=True)
            return token

    def list(self, company_id: str) -> tuple[Token, ...]:
        """Return the tokens of a company, sorted by id."""
        self._reload()
        return tuple(self._tokens[key] for key in sorted(self._tokens) if self._tokens[key].company_id == company_id)

    def _note_use(self, token_id: str, now_ms: int) -> None:
        """Write down that a token was used. A full disk refuses nobody: that is logged once, and tried each minute."""
        if self._unnoted_ms is not None and now_ms - self._unnoted_ms < LAST_USE_STEP_MS:
            return
        try:
            with self._locked():
                token = self._tokens.get(token_id)
                if token is not None:
                    self._tokens[token_id] = msgspec.structs.replace(token, last_used_ms=now_ms)
                    self._write(durable=False)
        except OSError as error:
            if self._unnoted_ms is None:
                next_step = "free space on that disk, or let this process write there"
                log.warning("token_use_not_noted", file=str(self._path), detail=str(error), next=next_step)
            self._unnoted_ms = now_ms
        else:
            self._unnoted_ms = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(str(self._path) + ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._reload()
            yield
        except OSError:
            # A change that was not written counts for nothing, or a second attempt would find it done.
            self._tokens, self._seen = {}, None
            raise
        finally:
            os.close(lock)

    def _reload(self) -> None:
        """Read the file again if it changed since it was read last."""
        if self._path is None:
            return
        try:
            found = os.lstat(self._path)
        except FileNotFoundError:
            return
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        if mark == self._seen:
            return
        if found.st_mode & 0o077 or found.st_uid != os.geteuid():
            raise TokenError(f"{self._path} can be read by others", f"Run: chmod 600 {self._path}")
        if found.st_size > FILE_LIMIT_BYTES:
            raise TokenError(f"{self._path} is larger than 1 MiB", "It is not a token file; move it away.")
        handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
        try:
            content = msgspec.json.decode(data, type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TokenError(
                f"{self._path} is damaged: {error}", "Restore it, or move it away and make new tokens."
            ) from None
        if content.schema != _SCHEMA:
            raise TokenError(f"{self._path} has the format {content.schema!r}", f"This version reads {_SCHEMA}.")
        self._tokens = {token.id: token for token in content.tokens}
        self._seen = mark

    def _write(self, *, durable: bool) -> None:
        """Replace the file. Not `durable`, a power failure may bring back the one before, but never an empty one: what
        is renamed before it is synced may be a name without content afterwards, and revocations would be lost.
        """
        if self._path is None:
            return
        content = _File(schema=_SCHEMA, tokens=tuple(self._tokens[key] for key in sorted(self._tokens)))
        data = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
        draft = self._path.with_name(self._path.name + ".new")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._path)
        if durable:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        found = os.lstat(self._path)
        self._seen = (found.st_mtime_ns, found.st_size, found.st_ino)


def _inside(address: str, networks: Sequence[str]) -> bool:
    try:
        where = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(where, ipaddress.IPv6Address) and where.ipv4_mapped is not None:
        where = where.ipv4_mapped
    return any(where in ipaddress.ip_network(network) for network in networks)
