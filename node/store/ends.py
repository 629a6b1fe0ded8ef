"""How past epochs ended, kept for good: whoever has a genesis file only walks along them to the present members (P85).

One file an epoch, `epochs/N` in the data directory, an `EpochEnd` of `ledger.governance.follow`. Blocks are pruned and
the chain store is replaced by snapshots; these files stay. A node that passes the last block of an epoch makes its file
from that block; one that takes a later state has learnt the ends from others before (node.core.ends). If the folder is
lost, it is made again from the blocks that are still held, and the rest comes from others.

Beside them, `epochs/nodes` holds proofs of node records that an operator was given: where the members are, for a node
that could reach none of them by what it knows (P117).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ledger.codec import Codec, encode
from ledger.errors import LedgerError
from ledger.governance.follow import EpochEnd, epoch_end_codec, wire_members
from ledger.proof import ResultProof
from ledger.registry.epochs import last_epoch, read_epoch
from node.core.messages import NODES_BYTES
from node.store.errors import StoreError
from node.store.ledger import ChainStore
from node.store.places import make_directory, sync_directory

EPOCHS: Final = "epochs"
_NODES: Final = "nodes"
_nodes_codec: Final[Codec[tuple[ResultProof, ...]]] = Codec(tuple[ResultProof, ...], "node records", 2 * NODES_BYTES)


class EpochEnds:
    """The ends of epochs 0, 1, ... as far as they are held without a gap."""

    def __init__(self, data: Path) -> None:
        """Read what is in the data directory; a damaged file counts as missing."""
        self._path = data / EPOCHS
        make_directory(self._path)
        self._ends: list[EpochEnd] = []
        while (end := self._read(len(self._ends))) is not None:
            self._ends.append(end)

    @property
    def all(self) -> tuple[EpochEnd, ...]:
        return tuple(self._ends)

    @property
    def nodes(self) -> tuple[ResultProof, ...]:
        """Proofs of node records that were given; nothing of them is believed yet."""
        try:
            return _nodes_codec.decode((self._path / _NODES).read_bytes())
        except (FileNotFoundError, LedgerError):
            return ()
        except OSError as error:
            raise StoreError(f"cannot read {self._path / _NODES}: {error.strerror}; check its owner") from error

    def keep_nodes(self, proofs: tuple[ResultProof, ...]) -> None:
        """Keep proofs of node records, in place of those that were given before."""
        self._write(_NODES, encode(proofs))

    def adopt(self, ends: Sequence[EpochEnd]) -> int:
        """Keep what somebody else gave and was checked, beyond what is kept already; return how many there are then."""
        for number in range(len(self._ends), len(ends)):
            self.keep(number, ends[number])
        return len(self._ends)

    def keep(self, epoch: int, end: EpochEnd) -> None:
        """Keep the end of the next epoch, which was checked; one that is kept already stays as it is."""
        if epoch == len(self._ends):
            self._write(str(epoch), encode(end))
            self._ends.append(end)

    def follow(self, store: ChainStore) -> None:
        """Keep the end of every epoch that is over in the state and is not kept yet; all must be in the store."""
        view = store.view()
        last = last_epoch(view).epoch
        while len(self._ends) < last:
            number = len(self._ends)
            record = read_epoch(view, number + 1)
            head = None if record is None else store.header(record.first_height - 1)
            if record is None or head is None:
                return  # not over yet; or pruned, then the end comes from another node
            end = EpochEnd(head.header_bytes, head.certificate, wire_members(record))
            self.keep(number, end)

    def _read(self, number: int) -> EpochEnd | None:
        try:
            return epoch_end_codec.decode((self._path / str(number)).read_bytes())
        except (FileNotFoundError, LedgerError):
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self._path / str(number)}: {error.strerror}; check its owner") from error

    def _write(self, name: str, data: bytes) -> None:
        path = self._path / name
        beside = path.with_suffix(".new")
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            sync_directory(self._path)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}; free space on that disk") from error
