"""Every bound of the language, with its reason (contracts section 16). Part of language 1."""

from __future__ import annotations

from typing import Final

LANGUAGE: Final = 1

INT_MAX: Final = 2**63 - 1
"""Largest int; the smallest is -INT_MAX, so that negation never overflows (section 5)."""
INT_BITS: Final = 63
WIDTH_MAX: Final = 255
"""Bits of an intermediate integer (L19): two ints and a factor, with room."""

# compile below 0.5 s
SOURCE_BYTES: Final = 65_536
LINE_CHARS: Final = 200
NAME_CHARS: Final = 40
TREE_NODES: Final = 20_000

# stack and readability
EXPRESSION_DEPTH: Final = 32
BLOCK_DEPTH: Final = 8
CALL_LEVELS: Final = 400
PYTHON_FRAMES: Final = 10_000
"""Recursion limit of a process that runs contracts: 400 levels need at most 1,200 frames, and it has its own (H8)."""
USES_CHAIN: Final = 8

# flat nodes and key space
CHAIN_OPERANDS: Final = 64
PARAMETERS: Final = 16
FIELDS: Final = 64
TABLES: Final = 64
RECORDS: Final = 64
ENUM_VALUES: Final = 64
INDEXES: Final = 4
SCHEDULES: Final = 16
TABLE_SCHEDULES: Final = 4
DEMANDS: Final = 8

# worst case of one step
TEXT_CHARS: Final = 4_096
SCAN_BOUND: Final = 1_000
LIST_BOUND: Final = 1_000
"""Values of a list, entries of a map, turns of a range."""
TYPE_DEPTH: Final = 4
RATE_PLACES: Final = 12
ROW_BYTES: Final = 16 * 1024
KEY_BYTES: Final = 480
"""Any state key, contract and table names included, at four bytes a code point: the ordered store ends at 511."""
ID_CHARS: Final = 64
"""Length of a company or user id (LR2)."""

# one transaction
TX_GAS: Final = 200_000
TX_MEMORY_BYTES: Final = 8 * 1024 * 1024
TX_ROWS: Final = 1_000
TX_ROW_BYTES: Final = 256 * 1024
TX_EVENTS: Final = 512
TX_EVENT_BYTES: Final = 64 * 1024
TX_ARGUMENT_BYTES: Final = 64 * 1024
SIGNERS: Final = 8
"""Signers of a transaction (ledger.transaction); bounds the questions of one `by` clause."""

QUERY_GAS: Final = 2_000_000
"""A query from outside (L65)."""
