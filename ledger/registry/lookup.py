"""Registry records and nonces in state: keys, readers, and the two checks that may depend on state (LR2, LR3, LR9).

Keys: `rc` + company id, `rn` + node id, `ru` + user id, `rm` + principal + `/` + user id for a mandate,
`rk` + public key for whose it is and when, `rv` for the version counter, `n` + user id for the nonce window. The
mempool asks the same checks before it accepts or relays; the transition has the last word.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Protocol

from ledger.codec import Codec, Wire, encode
from ledger.registry.records import (
    Company,
    KeyRecord,
    Mandate,
    Node,
    RegistryState,
    User,
    company_codec,
    key_codec,
    node_codec,
    registry_codec,
    user_codec,
)
from ledger.state import Reader
from ledger.transaction import SignerRef, Transaction

COMPANY_PREFIX: Final = b"rc"
NODE_PREFIX: Final = b"rn"
USER_PREFIX: Final = b"ru"
MANDATE_PREFIX: Final = b"rm"
KEY_PREFIX: Final = b"rk"
REGISTRY_KEY: Final = b"rv"
NONCE_PREFIX: Final = b"n"

ACTIVE: Final = "active"
SoundSigners = dict[tuple[str, str, bytes], None]
"""(user id, company acted for, public key) of signers that were found right in one state at one time. Only registered
keys get in, so it stays as small as the registry."""
NONCE_WINDOW: Final = 256
"""Numbers above the floor that may be in flight at once (LR3)."""
_PAGE: Final = 256
"""Rows listed at once."""
RECORD_CACHE_ENTRIES: Final = 4_096
"""Decoded records by their bytes (performance E26); a record has about 1 KB."""


class Getter(Protocol):
    """The one call these functions need."""

    def get(self, key: bytes) -> bytes | None: ...


class NonceWindow(Wire, frozen=True):
    """Used numbers of one user: all up to `floor`, and floor + 1 + i for each set bit i, little-endian (LR3)."""

    floor: int
    marks: bytes


nonce_codec: Codec[NonceWindow] = Codec(NonceWindow, "nonce window", 64)
mandate_codec: Codec[Mandate] = Codec(Mandate, "mandate record", 4 * 1024)
UNUSED: Final = NonceWindow(0, bytes(NONCE_WINDOW // 8))


def company_key(company_id: str) -> bytes:
    return COMPANY_PREFIX + company_id.encode()


def node_key(node_id: str) -> bytes:
    return NODE_PREFIX + node_id.encode()


def user_key(user_id: str) -> bytes:
    return USER_PREFIX + user_id.encode()


def mandate_key(principal: str, user_id: str) -> bytes:
    return MANDATE_PREFIX + principal.encode() + b"/" + user_id.encode()


def signing_key_key(public_key: bytes) -> bytes:
    return KEY_PREFIX + public_key


def nonce_key(user_id: str) -> bytes:
    return NONCE_PREFIX + user_id.encode()


def read_company(reader: Getter, company_id: str) -> Company | None:
    """Return the company, or None if it is not registered."""
    data = reader.get(company_key(company_id))
    return None if data is None else _company(data)


def read_node(reader: Getter, node_id: str) -> Node | None:
    """Return the node, or None if it is not registered."""
    data = reader.get(node_key(node_id))
    return None if data is None else node_codec.decode(data)


def companies(reader: Reader) -> list[Company]:
    """Return every company that was ever registered, by company id; those that left as well."""
    return [company for name in _names(reader, COMPANY_PREFIX) if (company := read_company(reader, name)) is not None]


def nodes(reader: Reader) -> list[Node]:
    """Return every node that was ever registered, by node id; those that left as well."""
    return [node for name in _names(reader, NODE_PREFIX) if (node := read_node(reader, name)) is not None]


def _names(reader: Reader, prefix: bytes) -> list[str]:
    found: list[str] = []
    low, high = prefix, prefix[:-1] + bytes([prefix[-1] + 1])
    while page := reader.scan(low, high, _PAGE):
        found += [key[len(prefix) :].decode() for key in page]
        low = page[-1] + b"\x00"
    return found


def read_user(reader: Getter, user_id: str) -> User | None:
    """Return the user, or None if it is not registered."""
    data = reader.get(user_key(user_id))
    return None if data is None else _user(data)


def read_mandate(reader: Getter, principal: str, user_id: str) -> Mandate | None:
    """Return the mandate under which `user_id` may act for `principal`, or None (F12)."""
    data = reader.get(mandate_key(principal, user_id))
    return None if data is None else mandate_codec.decode(data)


def read_key(reader: Getter, public_key: bytes) -> KeyRecord | None:
    """Return whose signing key this is and when it is in force, or None if nobody registered it (S20)."""
    data = reader.get(signing_key_key(public_key))
    return None if data is None else key_codec.decode(data)


def read_registry(reader: Getter) -> RegistryState:
    """Return the version counter and the last decided epoch (S21)."""
    data = reader.get(REGISTRY_KEY)
    return RegistryState(0, 0) if data is None else registry_codec.decode(data)


def check_signers(
    reader: Getter,
    tx: Transaction,
    height: int,
    time_ms: int,
    sound: SoundSigners | None = None,
) -> str:
    """Return "" if each carried key is its user's key in force and everybody is active, else what is wrong (LR2).

    Signatures are not looked at: those are static checks, done before a block is accepted. A user acts for its
    own company, or for a principal under a mandate in force (F12). `height` is the height of the block: a key counts
    in its own range of heights, also when an older block is looked at later (S20). `sound` remembers who was found
    right, as long as neither the registry in `reader` nor `height` and `time_ms` change.
    """
    keys: list[bytes] = []
    for signer, (public_key, _) in zip(tx.body.signers, tx.signatures, strict=True):
        place = (signer.user_id, signer.company_id, public_key)
        company_problem = ""
        if sound is None or place not in sound:
            problem, company_problem = _signer_problems(reader, signer, public_key, height, time_ms)
            if problem:
                return problem
            if sound is not None and not company_problem:
                sound[place] = None
        if public_key in keys:
            return f"user {signer.user_id} shares a key with another signer"  # S61: one person, two accounts
        keys.append(public_key)
        if company_problem:
            return company_problem
    return ""


def _signer_problems(
    reader: Getter, signer: SignerRef, public_key: bytes, height: int, time_ms: int
) -> tuple[str, str]:
    """Return what is wrong with the user, and with the companies it belongs to and acts for; "" twice is nothing."""
    user = read_user(reader, signer.user_id)
    if user is None:
        return f"user {signer.user_id} is not registered", ""
    if user.status != ACTIVE:
        return f"user {signer.user_id} is {user.status}", ""
    if user.valid_to_ms and user.valid_to_ms <= time_ms:
        return f"user {signer.user_id} has expired", ""
    if not _signs_at(reader, user, public_key, height):
        return f"the key of user {signer.user_id} is not the one in force", ""
    problem = _company_problem(reader, user.company_id)
    if not problem and signer.company_id != user.company_id:
        mandate = read_mandate(reader, signer.company_id, signer.user_id)
        if mandate is None or mandate.status != ACTIVE or mandate.expires_ms <= time_ms:
            return "", f"user {signer.user_id} has no mandate of company {signer.company_id}"
        problem = _company_problem(reader, signer.company_id)
    return "", problem


def _signs_at(reader: Getter, user: User, public_key: bytes, height: int) -> bool:
    """Tell whether `public_key` is the user's key at `height`: by its range if it has one, else by the record (S20)."""
    key = read_key(reader, public_key)
    if key is None:
        return user.public_key == public_key
    return key.kind == "user" and key.owner == user.user_id and key.in_force(height)


def read_nonces(reader: Getter, user_id: str) -> NonceWindow:
    """Return the nonce window of a user; all unused if there is none yet."""
    data = reader.get(nonce_key(user_id))
    return UNUSED if data is None else nonce_codec.decode(data)


def check_nonce(reader: Getter, user_id: str, nonce: int) -> bool:
    """Tell whether the user may still use `nonce` (LR3)."""
    return nonce_free(read_nonces(reader, user_id), nonce)


def nonce_free(window: NonceWindow, nonce: int) -> bool:
    """Tell whether `nonce` lies in (floor, floor + 256] and is not marked (LR3)."""
    offset = nonce - window.floor - 1
    return 0 <= offset < NONCE_WINDOW and not window.marks[offset >> 3] >> (offset & 7) & 1


def use_nonce(window: NonceWindow, nonce: int) -> NonceWindow:
    """Return the window with the free `nonce` marked; the floor moves up over marked numbers (LR3).

    >>> window = use_nonce(use_nonce(UNUSED, 2), 1)
    >>> window.floor, window.marks == bytes(32)
    (2, True)
    """
    bits = int.from_bytes(window.marks, "little") | 1 << (nonce - window.floor - 1)
    moved = (~bits & (bits + 1)).bit_length() - 1  # number of marked positions from the floor up
    return NonceWindow(window.floor + moved, (bits >> moved).to_bytes(NONCE_WINDOW // 8, "little"))


def encode_nonces(window: NonceWindow) -> bytes:
    return encode(window)


def _company_problem(reader: Getter, company_id: str) -> str:
    company = read_company(reader, company_id)
    if company is None:
        return f"company {company_id} is not registered"
    if company.status != ACTIVE:
        return f"company {company_id} is {company.status}"
    return ""


@lru_cache(maxsize=RECORD_CACHE_ENTRIES)
def _company(data: bytes) -> Company:
    return company_codec.decode(data)


@lru_cache(maxsize=RECORD_CACHE_ENTRIES)
def _user(data: bytes) -> User:
    return user_codec.decode(data)
