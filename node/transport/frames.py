"""Frames on a peer link: one byte type, four bytes length, body (S33, P140).

The type is the tag of the message. Type and length are checked against the cap of that type as soon as the five
bytes are there, so a peer can make us hold at most one frame of the size it is allowed, and only by sending it. The
body of a type that only a later version knows is passed over as it comes, and not held at all (P22). There is no
compression.
"""

from __future__ import annotations

from typing import Any, Final

from ledger.codec import encode
from ledger.errors import InvariantViolated, Malformed, PeerMisbehaved
from node.core.messages import FRAME_LIMIT_BYTES, FRAME_LIMITS, PeerMessage, peer_codec
from node.identity.hello import HELLO_LIMIT_BYTES

HEAD_BYTES: Final = 5
NONCE_TYPE: Final = 240
HELLO_TYPE: Final = 241
NONCE_LIMIT_BYTES: Final = 64
LIMITS: Final = {**FRAME_LIMITS, NONCE_TYPE: NONCE_LIMIT_BYTES, HELLO_TYPE: HELLO_LIMIT_BYTES}

_COMPACT_BYTES: Final = 256 * 1024


def frame(kind: int, body: bytes) -> bytes:
    """Return `body` as one frame. A body above its own cap is our bug: the peer would cut the link."""
    if len(body) > LIMITS[kind]:
        raise InvariantViolated(f"a frame of type {kind} has {len(body)} bytes, the cap is {LIMITS[kind]}")
    return bytes((kind,)) + len(body).to_bytes(4, "big") + body


def encode_message(message: PeerMessage) -> bytes:
    """Return `message` as one frame."""
    return frame(tag_of(message), encode(message))


def decode_message(kind: int, body: bytes) -> PeerMessage:
    """Return the message of a frame; raise `PeerMisbehaved`."""
    try:
        message = peer_codec.decode(body)
    except Malformed as error:
        raise PeerMisbehaved("frame_malformed", str(error)) from None
    if tag_of(message) != kind:
        raise PeerMisbehaved("frame_type", f"a message {tag_of(message)} in a frame {kind}")
    return message


def tag_of(message: PeerMessage) -> int:
    """Return the wire tag of a message."""
    config: Any = message.__struct_config__
    tag: int = config.tag
    return tag


class FrameReader:
    """Cuts a stream of bytes into frames. Feed it, then call `next` until it returns None.

    A type without a cap is refused, or once `skips_unknown` is set handed out with an empty body (P22).
    """

    __slots__ = ("_buffer", "_position", "_skip_bytes", "skips_unknown")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._skip_bytes = 0
        self.skips_unknown = False

    def feed(self, data: bytes) -> None:
        """Append received bytes."""
        if self._position >= len(self._buffer):
            self._buffer.clear()
            self._position = 0
        elif self._position > _COMPACT_BYTES:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += data

    def next(self) -> tuple[int, bytes] | None:
        """Return (type, body) of the next whole frame, or None; raise `PeerMisbehaved` on a bad head."""
        skipped = min(self._skip_bytes, self.held_bytes)
        self._skip_bytes -= skipped
        self._position += skipped
        start = self._position
        if len(self._buffer) - start < HEAD_BYTES:
            return None
        kind = self._buffer[start]
        unknown = kind not in LIMITS
        if unknown and not self.skips_unknown:
            raise PeerMisbehaved("frame_type", f"unknown type {kind}")
        limit = LIMITS.get(kind, FRAME_LIMIT_BYTES)
        length = int.from_bytes(self._buffer[start + 1 : start + HEAD_BYTES], "big")
        if length > limit:
            raise PeerMisbehaved("frame_size", f"type {kind} announces {length} bytes, the cap is {limit}")
        if unknown:
            self._position = start + HEAD_BYTES
            self._skip_bytes = length
            return kind, b""
        end = start + HEAD_BYTES + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[start + HEAD_BYTES : end])
        self._position = end
        return kind, body

    @property
    def held_bytes(self) -> int:
        """Bytes received and not handed out yet."""
        return len(self._buffer) - self._position
