"""Changes one field of what it sends: a number by one, a byte of an id, a tuple by one element (scenario 57, ByzzFuzz).

Votes and view changes are signed again half of the time. Answered by: `never_raises`, all safety checkers.
"""

from __future__ import annotations

from typing import Any

import msgspec

from consensus.messages import Commit, NewView, Prepare, ViewChange
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing

NUMBER_MAX = 2**64 - 1


class Mutate(Attacker):
    name = "mutate"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if self.rng.below(4):
            return [(message, to)]
        changed = self._changed(message)
        if self.rng.bits(1):
            match changed:
                case Prepare():
                    changed = self.prepare(changed.vote)
                case Commit():
                    changed = self.commit(changed.vote)
                case ViewChange():
                    changed = self.view_change(changed)
                case NewView():
                    changed = self.new_view(changed)
        return [(changed, to), (message, to)] if self.rng.bits(1) else [(changed, to)]

    def _changed(self, record: Any) -> Any:
        fields = [name for name in record.__struct_fields__ if self._changeable(getattr(record, name))]
        if not fields:
            return record
        name = self.rng.choice(fields)
        return msgspec.structs.replace(record, **{name: self._value(getattr(record, name))})

    @staticmethod
    def _changeable(value: Any) -> bool:
        return value is not None

    def _value(self, value: Any) -> Any:
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return max(0, min(NUMBER_MAX, value + self.rng.choice((-1, 1, 2, 1000, 2**62))))
        if isinstance(value, bytes):
            return self._bytes(value)
        if isinstance(value, str):
            return value + "x"
        if isinstance(value, msgspec.Struct):
            return self._changed(value)
        if isinstance(value, tuple):
            return self._tuple(value)
        return value

    def _bytes(self, value: bytes) -> bytes:
        draw = self.rng.below(4)
        if draw == 0 or not value:
            return value + b"\x00"
        if draw == 1:
            return value[:-1]
        place = self.rng.below(len(value))
        return value[:place] + bytes([value[place] ^ 1 << self.rng.below(8)]) + value[place + 1 :]

    def _tuple(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value:
            return value
        draw = self.rng.below(4)
        if draw == 0:
            return value[:-1]
        if draw == 1:
            return (*value, value[0])
        if draw == 2:
            return tuple(reversed(value))
        place = self.rng.below(len(value))
        return (*value[:place], self._value(value[place]), *value[place + 1 :])
