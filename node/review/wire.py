"""What travels between the node and the process that compiles a source: MessagePack with a length before it."""

from __future__ import annotations

from typing import Final

import msgspec

FRAME_HEAD_BYTES: Final = 4
TASK_MAX_BYTES: Final = 64 * 1024 * 1024
"""All sources a network can hold: 256 contracts of 64 KiB, each in a few versions."""
VERDICT_MAX_BYTES: Final = 1024 * 1024


class Task(msgspec.Struct, frozen=True, array_like=True):
    """`steps`: name -> source of what became active together, in order; the last one is asked about."""

    currencies: dict[str, int]
    steps: tuple[dict[str, bytes], ...]


class Compiled(msgspec.Struct, frozen=True, array_like=True):
    """A contract of the last step. `worst_gas` of its dearest action; `replaces` is 0 for a first version."""

    name: str
    version: int
    replaces: int
    code_id: bytes
    ir_hash: bytes
    uses: tuple[str, ...]
    worst_gas: int


class Fault(msgspec.Struct, frozen=True, array_like=True):
    """The first thing wrong with a source; `line` and `column` are 0 when it is about contracts that do not fit."""

    contract: str
    code: str
    line: int
    column: int
    text: str


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """What the process found: a fault, or the contracts of the last step by name."""

    fault: Fault | None
    contracts: tuple[Compiled, ...]
