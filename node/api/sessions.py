"""Web sessions and one-time links (S46, S48). Both live in the memory of the process: a restart signs everybody out.

A session id is 256 random bits; only its hash is kept. It ends after 15 idle minutes, after 8 hours, with the token
it was opened by, and when the ledger suspends the user. A one-time link is valid for 60 seconds and once.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

IDLE_MS: Final = 15 * 60_000
LIFE_MS: Final = 8 * 3_600_000
LINK_MS: Final = 60_000
SESSIONS_MAX: Final = 2_000
LINKS_MAX: Final = 200
COOKIE: Final = "__Host-hansa"
DEV_COOKIE: Final = "hansa-dev"
"""Without TLS, on loopback and in development only (S46)."""


@dataclass(slots=True, kw_only=True)
class Session:
    """One signed-in browser. `csrf` goes into every form and script header (S48)."""

    token_id: str
    company_id: str
    user_id: str
    csrf: str
    created_ms: int
    used_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    token_id: str
    company_id: str
    user_id: str
    expires_ms: int


class SessionStore:
    """Open sessions and links, bounded: the longest unused session makes room for a new one."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, Session] = {}
        self._links: dict[bytes, _Link] = {}

    def open(self, *, token_id: str, company_id: str, user_id: str, now_ms: int) -> tuple[str, Session]:
        """Start a session; return its id (for the cookie) and the session. The id is always new (S46)."""
        self._drop_ended(now_ms)
        while len(self._sessions) >= SESSIONS_MAX:
            oldest = min(self._sessions, key=lambda key: self._sessions[key].used_ms)
            del self._sessions[oldest]
        session_id = secrets.token_hex(32)
        session = Session(
            token_id=token_id,
            company_id=company_id,
            user_id=user_id,
            csrf=secrets.token_hex(32),
            created_ms=now_ms,
            used_ms=now_ms,
        )
        self._sessions[_hash(session_id)] = session
        return session_id, session

    def find(self, session_id: str, now_ms: int, *, touch: bool = True) -> Session | None:
        """Return the session if it has not ended, and count this as use."""
        if len(session_id) != 64:
            return None
        key = _hash(session_id)
        session = self._sessions.get(key)
        if session is None:
            return None
        if not _alive(session, now_ms):
            del self._sessions[key]
            return None
        if touch:
            session.used_ms = max(session.used_ms, now_ms)
        return session

    def close(self, session_id: str) -> None:
        self._sessions.pop(_hash(session_id), None)

    def close_token(self, token_id: str) -> None:
        """End every session opened by a token: it was revoked."""
        for key in [key for key, session in self._sessions.items() if session.token_id == token_id]:
            del self._sessions[key]

    def make_link(self, *, token_id: str, company_id: str, user_id: str, now_ms: int) -> str:
        """Return the code of a one-time link, valid for 60 seconds."""
        self._links = {key: link for key, link in self._links.items() if link.expires_ms > now_ms}
        while len(self._links) >= LINKS_MAX:
            del self._links[next(iter(self._links))]
        code = secrets.token_hex(24)
        self._links[_hash(code)] = _Link(
            token_id=token_id, company_id=company_id, user_id=user_id, expires_ms=now_ms + LINK_MS
        )
        return code

    def use_link(self, code: str, now_ms: int) -> tuple[str, str, str] | None:
        """Return (token id, company id, user id) of a link and forget it, or None if it is unknown, used or too old."""
        link = self._links.pop(_hash(code[:200]), None)
        if link is None or now_ms >= link.expires_ms:
            return None
        return link.token_id, link.company_id, link.user_id

    def __len__(self) -> int:
        return len(self._sessions)

    def _drop_ended(self, now_ms: int) -> None:
        for key in [key for key, session in self._sessions.items() if not _alive(session, now_ms)]:
            del self._sessions[key]


def csrf_matches(session: Session, shown: str) -> bool:
    """Compare a CSRF token in constant time (S13)."""
    return hmac.compare_digest(session.csrf.encode("ascii"), shown.encode("utf-8", "replace"))


def _alive(session: Session, now_ms: int) -> bool:
    return now_ms - session.used_ms < IDLE_MS and now_ms - session.created_ms < LIFE_MS


def _hash(text: str) -> bytes:
    return sha256(text.encode("utf-8", "replace")).digest()
