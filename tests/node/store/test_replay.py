"""A restart executes again what the state had not caught up with, and ends at the same roots (E25)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts.host import Outcome
from ledger.block import EMPTY_LIST_ROOT, BlockRef, Header, block_id, list_root
from ledger.certificate import CommitCertificate, Vote
from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.errors import InvariantViolated
from ledger.genesis import chain_id, genesis_block, genesis_state
from ledger.ids import ZERO_HASH
from ledger.params import Params
from ledger.receipt import ContractEvent
from ledger.registry.records import TlsPin
from ledger.transaction import SignerRef, TxBody, decode_transaction, sign_transaction
from ledger.transition import TransactionHost, apply_block
from node.core.effects import StoreBlock
from node.identity.founding import Person, assemble, found_company
from node.store.ledger import ChainStore
from node.store.replay import replay
from node.store.views import RETAINED_HEIGHTS

KEYS = {name: {1: name[:1].encode() * 32} for name in ("blocks", "state", "indexes")}
MAP_BYTES = 64 * 1024 * 1024


class Counting:
    """A runtime with one method: it writes what it is called with, and counts its calls."""

    def __init__(self, extra: bytes = b"") -> None:
        self.calls = 0
        self._extra = extra

    def execute(
        self, contract: str, method: str, args: tuple[Any, ...], host: TransactionHost, gas_limit: int
    ) -> Outcome:
        self.calls += 1
        host.put(b"t" + contract.encode() + str(args[0]).encode(), str(args[1]).encode() + self._extra)
        return Outcome(None, 10, (ContractEvent(contract, "Written", (args[0],)),), None, 1)


class World:
    """One company, one clerk, a store."""

    def __init__(self, path: Path) -> None:
        count = iter(range(1, 10_000))
        founded = found_company(
            name="Acme",
            roles=("trader",),
            people=(Person(label="clerk", roles=("preparer",)),),
            identifiers=(),
            endpoint="127.0.0.1:7401",
            make_tls=lambda _: TlsPin(b"p" * 32, b"c"),
            draw=lambda size: next(count).to_bytes(size, "big"),
        )
        self.clerk = SigningKey(next(key.seed for key in founded.keys if key.kind == "user"))
        self.user = founded.card.users[0].user_id
        self.company = founded.card.company.company_id
        document = assemble(
            [founded.card],
            network="test",
            production=False,
            time_ms=1_000,
            utc_offset_min=0,
            params=Params(),
            contracts=(),
        )
        self.chain = chain_id(document)
        state = genesis_state(document, ())
        _, raw, _ = genesis_block(document, state)
        self.store = ChainStore.create(path, KEYS, self.chain, state, raw, map_bytes=MAP_BYTES)

    def grow(self, runtime: Counting) -> None:
        """Commit a block of two calls and execute it."""
        store, height = self.store, self.store.tip.height + 1
        envelopes = tuple(
            sign_transaction(
                TxBody(
                    1,
                    (SignerRef(self.user, "maker", self.company),),
                    2 * height + number,
                    height + 100,
                    "notes",
                    "write",
                    (f"k{number}", height),
                    1_000,
                ),
                [self.clerk],
                self.chain,
            )
            for number in range(2)
        )
        transactions = [decode_transaction(envelope, self.chain) for envelope in envelopes]
        ids = tuple(tx.tx_id for tx in transactions)
        header = Header(
            version=1,
            chain_id=self.chain,
            epoch=0,
            height=height,
            parent_id=store.tip.block_id,
            tx_root=list_root(ids),
            tx_count=2,
            size_bytes=sum(map(len, envelopes)),
            time_ms=1_000 + height,
            proposer=0,
            exec_height=height - 1,
            exec_root=store.view().exec_root,
            members_hash=ZERO_HASH,
            next_members_hash=ZERO_HASH,
            evidence_root=EMPTY_LIST_ROOT,
            last_cert_height=height - 1,
            last_cert_hash=ZERO_HASH,
            params_hash=ZERO_HASH,
        )
        raw = encode(header)
        ref = BlockRef(height, block_id(raw), header.time_ms, header.exec_height, height)
        store.add_block(
            StoreBlock(
                ref=ref,
                header=header,
                header_bytes=raw,
                envelopes=envelopes,
                tx_ids=ids,
                certificate=CommitCertificate(Vote(0, 0, height, ref.block_id), b"\x01", (b"s" * 64,)),
                after=0,  # type: ignore[arg-type]
            )
        )
        store.apply(apply_block(store.view(), header, transactions, runtime, 0))

    def reopen(self) -> ChainStore:
        self.store.close()
        self.store = ChainStore.open(self.store.path, KEYS, self.chain, map_bytes=MAP_BYTES)
        return self.store


def test_a_restart_ends_at_the_same_state(tmp_path: Path) -> None:
    world, runtime = World(tmp_path / "chain"), Counting()
    for _ in range(20):
        world.grow(runtime)
    before = world.store.view()
    root, executed = before.state_root, world.store.executed(8)
    assert before.get(b"tnotesk1") == b"20"
    world.store.flush()
    store = world.reopen()
    assert store.view().get(b"tnotesk1") == b"%d" % (20 - RETAINED_HEIGHTS)
    again, seen = Counting(), []
    assert replay(store, again, world.chain, 0, seen.append) == RETAINED_HEIGHTS == len(seen)
    assert again.calls == 2 * RETAINED_HEIGHTS
    assert store.view().state_root == root and store.executed(8) == executed
    assert replay(store, again, world.chain, 0) == 0
    assert len(store.events(None, 100)) == 40 and store.find_transaction(store.events(None, 1)[0].tx_id) == (1, 0)


def test_other_programs_than_before_are_divergence(tmp_path: Path) -> None:
    """S111: the same blocks must give the recorded results, or the node stops."""
    world = World(tmp_path / "chain")
    for _ in range(3):
        world.grow(Counting())
    world.store.flush()
    with pytest.raises(InvariantViolated, match="state divergence"):
        replay(world.reopen(), Counting(extra=b"!"), world.chain, 0)
