"""Canonical MessagePack: the only way in and out of hashes, signatures, the wire and the disk.

Rules
    * Records are frozen msgspec structs encoded as arrays; nothing on the wire is optional (P13).
    * Decoding is decode, re-encode, compare: msgspec accepts integers that are longer than needed and
      repeated map keys, so equality of bytes is what makes a form canonical (S5).
    * Size is checked before decoding, nesting before the free part is walked (S5, performance E11). A record without
      a free part is no deeper than its type: what nests more is of another type, and refused as that.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from ledger.errors import Malformed, TooLarge

T = TypeVar("T")

MAX_DEPTH: Final = 32
"""Nesting levels of a record (S5). Deeper input only serves attacks on recursive walkers."""

_CONTAINER_HEADS: Final = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])
_NOT_CONTAINER: Final = bytes(b for b in range(256) if b not in _CONTAINER_HEADS)

_LEAVES: Final = (
    msgspec.inspect.BytesType,
    msgspec.inspect.StrType,
    msgspec.inspect.IntType,
    msgspec.inspect.BoolType,
    msgspec.inspect.NoneType,
    msgspec.inspect.EnumType,
    msgspec.inspect.LiteralType,
)
"""Types that hold nothing else."""

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
"""Canonical bytes of a struct, tuple, list, str, bytes, int, bool or None."""


Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
"""An integer 0..2**64-1: a record with a negative one is malformed, so no rule behind the decoder meets one."""


class Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of wire and disk records. Field order is wire order; what peers send has `Natural` integers."""


class Codec(Generic[T]):
    """Typed strict decoder for one kind of record. Build once, use often (performance E7)."""

    __slots__ = ("_decoder", "_free", "limit_bytes", "what")

    def __init__(self, kind: Any, what: str, limit_bytes: int) -> None:
        self.what = what
        self.limit_bytes = limit_bytes
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(kind, strict=True)
        self._free = _is_free(msgspec.inspect.type_info(kind), ())

    def decode(self, data: bytes) -> T:
        """Return the record; raise `TooLarge` or `Malformed` naming what is wrong with the bytes."""
        if len(data) > self.limit_bytes:
            raise TooLarge(self.what, len(data), self.limit_bytes)
        if self._free and len(data.translate(None, _NOT_CONTAINER)) > MAX_DEPTH and _depth_exceeds(data, MAX_DEPTH):
            raise Malformed(self.what, f"nesting deeper than {MAX_DEPTH} levels")
        try:
            value = self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise Malformed(self.what, str(error)) from None
        if encode(value) != data:
            raise Malformed(self.what, "not the canonical encoding")
        return value  # type: ignore[no-any-return]  # the decoder is typed at run time

    def reread(self, data: bytes) -> T:
        """Return the record of bytes that `decode` accepted before: the checks are not made again."""
        return self._decoder.decode(data)  # type: ignore[no-any-return]  # the decoder is typed at run time


def _is_free(one: msgspec.inspect.Type, around: tuple[type, ...]) -> bool:
    """Tell whether values of a type may hold something of any type, however deep, or more of a type `around` them."""
    if isinstance(one, (msgspec.inspect.StructType, msgspec.inspect.DataclassType)):
        within = (*around, one.cls)
        return one.cls in around or any(_is_free(field.type, within) for field in one.fields)
    if isinstance(one, msgspec.inspect.UnionType):
        return any(_is_free(part, around) for part in one.types)
    if isinstance(one, msgspec.inspect.TupleType):
        return any(_is_free(part, around) for part in one.item_types)
    if isinstance(one, (msgspec.inspect.VarTupleType, msgspec.inspect.ListType)):
        return _is_free(one.item_type, around)
    return not isinstance(one, _LEAVES)


def _depth_exceeds(data: bytes, limit: int) -> bool:
    """Tell whether MessagePack `data` nests deeper than `limit`; truncated data is left to the decoder."""
    position, end = 0, len(data)
    left: list[int] = []
    while position < end:
        head = data[position]
        position += 1
        count = -1
        if head <= 0x7F or head >= 0xE0 or head in (0xC0, 0xC2, 0xC3):
            pass
        elif head <= 0x8F:
            count = 2 * (head & 0x0F)
        elif head <= 0x9F:
            count = head & 0x0F
        elif head <= 0xBF:
            position += head & 0x1F
        elif head in (0xC4, 0xD9):
            position += 1 + int.from_bytes(data[position : position + 1], "big")
        elif head in (0xC5, 0xDA):
            position += 2 + int.from_bytes(data[position : position + 2], "big")
        elif head in (0xC6, 0xDB):
            position += 4 + int.from_bytes(data[position : position + 4], "big")
        elif head in (0xCA, 0xCE, 0xD2):
            position += 4
        elif head in (0xCB, 0xCF, 0xD3):
            position += 8
        elif head in (0xCC, 0xD0):
            position += 1
        elif head in (0xCD, 0xD1):
            position += 2
        elif head in (0xDC, 0xDE):
            count = int.from_bytes(data[position : position + 2], "big") * (1 if head == 0xDC else 2)
            position += 2
        elif head in (0xDD, 0xDF):
            count = int.from_bytes(data[position : position + 4], "big") * (1 if head == 0xDD else 2)
            position += 4
        else:
            return False  # extension types: the typed decoder refuses them
        if count >= 0:
            left.append(count)
            if len(left) > limit:
                return True
        else:
            while left:
                left[-1] -= 1
                if left[-1] > 0:
                    break
                left.pop()
            continue
        while left and left[-1] == 0:
            left.pop()
            if left:
                left[-1] -= 1
    return False
