"""Members with real keys and certificates, and peers on loopback ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from ledger.crypto.ed25519 import SigningKey
from ledger.registry.records import ConsensusKey, Node, TlsPin, node_id
from node.config import Address
from node.core.messages import PeerMessage
from node.identity.tls import TlsFiles, TlsIdentity, make_certificate, write_identity
from node.transport.peers import Member, PeerCallbacks, Peers, PeerSettings

CHAIN_ID = b"\x11" * 32
NOW_MS = 1_800_000_000_000
PASSWORD = b"test"


@dataclass
class Party:
    """One member: keys, certificate and what its links told it."""

    index: int
    key: SigningKey
    node: Node
    files: TlsFiles
    identity: TlsIdentity
    messages: list[tuple[int, PeerMessage]] = field(default_factory=list)
    ups: list[int] = field(default_factory=list)
    downs: list[int] = field(default_factory=list)
    penalties: list[tuple[int, str]] = field(default_factory=list)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    accept: bool = True

    def callbacks(self) -> PeerCallbacks:
        def note(where: list, item: object) -> None:  # type: ignore[type-arg]
            where.append(item)
            self.changed.set()

        def message(index: int, item: PeerMessage) -> bool:
            if self.accept:
                note(self.messages, (index, item))
            return self.accept

        return PeerCallbacks(
            on_message=message,
            on_up=lambda index: note(self.ups, index),
            on_down=lambda index: note(self.downs, index),
            on_penalty=lambda index, reason: note(self.penalties, (index, reason)),
            on_reject=lambda index, reason: note(self.rejects, (index, reason)),
            height=lambda: 7,
        )

    async def until(self, condition: Callable[[], bool], limit_s: float = 10.0) -> None:
        """Wait for events of this party until `condition` holds."""
        async with asyncio.timeout(limit_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


def party(directory: Path, index: int, *, now_ms: int = NOW_MS, days: int = 90, salt: int = 0) -> Party:
    key = SigningKey(bytes([index + 1 + salt]) * 32)
    identity = make_certificate(
        seed=bytes([index + 101 + salt]) * 32,
        serial=index + 1,
        chain_id=CHAIN_ID,
        node_id=node_id(key.public_key),
        password=PASSWORD,
        now_ms=now_ms,
        days=days,
    )
    directory.mkdir(parents=True, exist_ok=True)
    node = Node(
        node_id=node_id(key.public_key),
        company_id="c" + chr(ord("a") + index) * 26,
        kind="member",
        consensus=(ConsensusKey(key.public_key, 0),),
        tls=(TlsPin(identity.spki_sha256, identity.certificate_der),),
        endpoint_commitment=b"\0" * 32,
        status="active",
    )
    return Party(index, key, node, write_identity(directory, identity, PASSWORD), identity)


def settings(one: Party, listen: Address, **changes: object) -> PeerSettings:
    values: dict[str, object] = {
        "chain_id": CHAIN_ID,
        "own_node_id": one.node.node_id,
        "tls": one.files,
        "listen": listen,
        "development": True,
        "reconnect_max_s": 1,
        **changes,
    }
    return PeerSettings(**values)  # type: ignore[arg-type]


@pytest.fixture
async def lan(tmp_path: Path) -> AsyncIterator[SimpleNamespace]:
    """Make parties and running peers; everything is closed afterwards."""
    running: list[Peers] = []
    made: list[Party] = []

    def new(index: int, **changes: int) -> Party:
        made.append(party(tmp_path / f"{index}-{len(made)}", index, **changes))
        return made[-1]

    async def run(
        one: Party, members: list[Party], addresses: dict[int, Address], listen: Address, **changes: object
    ) -> tuple[Peers, Address]:
        listed = [Member(index=p.index, node=p.node, address=addresses.get(p.index)) for p in members]
        peers = Peers(settings(one, listen, **changes), one.index, listed, one.key, one.callbacks())
        running.append(peers)
        return peers, await peers.start()

    yield SimpleNamespace(new=new, run=run, any_port=Address("127.0.0.1", 0), CHAIN_ID=CHAIN_ID, NOW_MS=NOW_MS)
    for peers in running:
        await peers.close()
