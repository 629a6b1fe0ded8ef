"""The signed hello: binds a TLS link to the consensus keys of both ends (S31).

Python shows no TLS exporter, so the channel is bound by messages, before any other frame and within 5 s
    1. both sides send a nonce of 32 bytes
    2. both sides send `Hello`, signed with the consensus key in domain `hello`
Both TLS certificates inside the signature stop relays and unknown key shares; both nonces stop replay by somebody who
has only the TLS key; the list of features stops a downgrade.

Pure: nonces and heights are handed in. Door: `HelloExchange`.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from ledger.codec import Codec, Wire, encode
from ledger.crypto.ed25519 import verify_strict
from ledger.crypto.hashing import Tag, signing_digest
from ledger.errors import Malformed, PeerMisbehaved

PROTOCOL: Final = 1
"""Version of the peer protocol."""
NONCE_BYTES: Final = 32
HELLO_LIMIT_BYTES: Final = 4 * 1024
HELLO_TIMEOUT_S: Final = 5.0
FEATURES: Final[tuple[str, ...]] = ()
"""What this version can do beyond the protocol's base, sorted."""


class Nonce(Wire, frozen=True):
    nonce: bytes


class Hello(Wire, frozen=True):
    """Certificates are SHA-256 of the DER bytes; `own` is the sender's view."""

    chain_id: bytes
    protocol: int
    node_id: str
    peer_node_id: str
    own_certificate: bytes
    peer_certificate: bytes
    own_nonce: bytes
    peer_nonce: bytes
    height: int
    features: tuple[str, ...]


class SignedHello(Wire, frozen=True):
    hello: Hello
    signature: bytes


nonce_codec: Final[Codec[Nonce]] = Codec(Nonce, "hello nonce", 64)
hello_codec: Final[Codec[SignedHello]] = Codec(SignedHello, "hello", HELLO_LIMIT_BYTES)


class HelloSigner(Protocol):
    """The consensus key, as far as a hello needs it. Deterministic."""

    def sign(self, digest: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEnds:
    """What both ends must agree on before anything else is said."""

    chain_id: bytes
    own_node_id: str
    peer_node_id: str
    own_certificate: bytes
    """DER."""
    peer_certificate: bytes
    peer_keys: tuple[bytes, ...]
    """Consensus keys of the peer that are accepted: the current one, and the next during a change (S24)."""


class HelloExchange:
    """One end of the exchange. Feed it what the peer sent; it raises `PeerMisbehaved` with a stable reason."""

    def __init__(self, ends: LinkEnds, signer: HelloSigner, nonce: bytes, height: int) -> None:
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a hello nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
        self._ends = ends
        self._signer = signer
        self._nonce = nonce
        self._height = height
        self._peer_nonce = b""
        self._done = False

    @property
    def done(self) -> bool:
        """Tell whether the peer's hello was checked."""
        return self._done

    def opening(self) -> bytes:
        """Return the first message: our nonce."""
        return encode(Nonce(self._nonce))

    def on_nonce(self, data: bytes) -> bytes:
        """Take the peer's nonce and return our signed hello."""
        if self._peer_nonce:
            raise PeerMisbehaved("hello_twice")
        try:
            nonce = nonce_codec.decode(data).nonce
        except Malformed as error:
            raise PeerMisbehaved("hello_malformed", str(error)) from None
        if len(nonce) != NONCE_BYTES or hmac.compare_digest(nonce, self._nonce):
            raise PeerMisbehaved("hello_nonce")
        self._peer_nonce = nonce
        ends = self._ends
        hello = Hello(
            ends.chain_id,
            PROTOCOL,
            ends.own_node_id,
            ends.peer_node_id,
            sha256(ends.own_certificate).digest(),
            sha256(ends.peer_certificate).digest(),
            self._nonce,
            nonce,
            self._height,
            FEATURES,
        )
        return encode(SignedHello(hello, self._signer.sign(_digest(ends.chain_id, hello))))

    def on_hello(self, data: bytes) -> Hello:
        """Check the peer's hello and return it; the link is theirs from here on."""
        if not self._peer_nonce or self._done:
            raise PeerMisbehaved("hello_order")
        try:
            signed = hello_codec.decode(data)
        except Malformed as error:
            raise PeerMisbehaved("hello_malformed", str(error)) from None
        hello, ends = signed.hello, self._ends
        if hello.chain_id != ends.chain_id:
            raise PeerMisbehaved("hello_chain", f"the peer is on the network {hello.chain_id.hex()[:16]}")
        if hello.protocol != PROTOCOL:
            raise PeerMisbehaved("hello_protocol", f"the peer speaks protocol {hello.protocol}, we speak {PROTOCOL}")
        expected = (
            ends.peer_node_id,
            ends.own_node_id,
            sha256(ends.peer_certificate).digest(),
            sha256(ends.own_certificate).digest(),
            self._peer_nonce,
            self._nonce,
        )
        stated = (
            hello.node_id,
            hello.peer_node_id,
            hello.own_certificate,
            hello.peer_certificate,
            hello.own_nonce,
            hello.peer_nonce,
        )
        if stated != expected:
            raise PeerMisbehaved("hello_binding", "the hello belongs to another link")
        digest = _digest(ends.chain_id, hello)
        if not any(verify_strict(key, signed.signature, digest) for key in ends.peer_keys):
            raise PeerMisbehaved("hello_signature")
        self._done = True
        return hello


def _digest(chain_id: bytes, hello: Hello) -> bytes:
    return signing_digest(Tag.SIG_HELLO, chain_id, encode(hello))
