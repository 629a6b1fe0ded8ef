"""Execution of blocks, shared between the nodes of a run (M16).

A block is run once per (state before, header, transactions) and the result reused by the other nodes; every
`recheck`-th height is run by each node itself and compared. `ledger.transition.apply_block` does the work; at fidelity
`abstract` a stub with fixed gas stands for the contracts (M18). `StubExecution` stands for all of execution (M60).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from contracts.frames import make_room
from contracts.host import Outcome
from ledger.block import Header, block_id, exec_root
from ledger.codec import encode
from ledger.crypto.hashing import H, Tag
from ledger.receipt import STATUS_OK, Receipt
from ledger.state import MemoryState
from ledger.transaction import Transaction
from ledger.transition import BlockResult, Linker, Runtime, TransactionHost, apply_block

KEPT_HEIGHTS: Final = 64
"""Shared results kept below the highest executed height; a node further behind runs the block itself."""
STUB_GAS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Executed:
    """Result of one block and the state after it. `shared`: another node had run it already."""

    result: BlockResult
    view: MemoryState
    shared: bool


class StubRuntime:
    """Contracts at fidelity `abstract`: fixed gas, one row per call, no rules."""

    def execute(
        self, contract: str, method: str, args: tuple[Any, ...], host: TransactionHost, gas_limit: int
    ) -> Outcome:
        row = H(Tag.OBJECT_ID, contract.encode(), method.encode(), host.tx_id)
        host.put(b"t" + contract.encode() + b"\0" + row[:8], encode(args))
        return Outcome(abort=None, gas_used=min(STUB_GAS, gas_limit), events=(), result=None, version=1)


class Execution:
    """Runs blocks for all nodes of one run."""

    __slots__ = ("_results", "recheck", "runs", "runtime", "share", "utc_offset_min")

    def __init__(self, runtime: Runtime | Linker, utc_offset_min: int, *, share: bool, recheck: int) -> None:
        make_room()
        self.runtime = runtime
        self.utc_offset_min = utc_offset_min
        self.share = share
        self.recheck = recheck
        self.runs = 0
        self._results: dict[tuple[int, bytes, bytes], Executed] = {}

    def run(
        self, view: MemoryState, header: Header, transactions: Sequence[Transaction], evidence: Sequence[bytes] = ()
    ) -> Executed:
        """Return what `apply_block` gives on `view`."""
        key = (header.height, view.exec_root, encode(header))
        known = self._results.get(key)
        again = not self.share or (self.recheck > 0 and header.height % self.recheck == 0)
        if known is not None and not again:
            return Executed(known.result, known.view, True)
        self.runs += 1
        result = self._apply(view, header, transactions, evidence)
        if known is not None and result.exec_root == known.result.exec_root:
            return Executed(known.result, known.view, False)
        after = view.apply(result.writes, result.nodes, header.height, result.state_root, result.exec_root)
        executed = Executed(result, after, False)
        if known is not None:
            return executed  # two results of one block: the checker of results sees both
        self._results[key] = executed
        for old in [known_key for known_key in self._results if known_key[0] < header.height - KEPT_HEIGHTS]:
            del self._results[old]
        return executed

    def _apply(
        self, view: MemoryState, header: Header, transactions: Sequence[Transaction], evidence: Sequence[bytes], /
    ) -> BlockResult:
        return apply_block(view, header, transactions, self.runtime, self.utc_offset_min, evidence)


class StubExecution(Execution):
    """A stub in the place of execution, for measuring the cores alone (M60).

    Nothing is written; the result of a block is a link in a chain of digests over the blocks. Nonces are not used up,
    so a run must be short enough that every number fits the window of its user (LR3).
    """

    __slots__ = ()

    def _apply(
        self, view: MemoryState, header: Header, transactions: Sequence[Transaction], _evidence: Sequence[bytes], /
    ) -> BlockResult:
        block = block_id(encode(header))
        return BlockResult(
            height=header.height,
            writes=(),
            nodes={},
            receipts=tuple(Receipt(tx.tx_id, "", 1, "", STATUS_OK, STUB_GAS, (), (), None) for tx in transactions),
            receipts_root=block,
            state_root=view.state_root,
            exec_root=exec_root(view.exec_root, view.state_root, block),
        )
