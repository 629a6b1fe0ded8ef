"""Found four companies, give three of them a chain of many blocks, and measure how the fourth joins (P107).

    python scripts/long_chain.py DIRECTORY [--blocks 10000] [--port-base 25000]

The blocks are real: signed invoices, executed by the programs of the genesis file, certified by three members. Only
their agreement is left out, which is what makes a long chain in a minute. The fourth company joins twice: by a snapshot
of the state, and by replaying every block. Figures go to stdout; docs/operations.md quotes a run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

from cli.local import DEMO_CAST
from cli.wallet import Wallet
from consensus.events import Lsn, Mode
from consensus.records import Anchor
from ledger.block import EMPTY_LIST_ROOT, PROTOCOL_VERSION, BlockRef, Header, block_id, list_root
from ledger.certificate import CommitCertificate, Vote, bitmap, certificate_hash, quorum
from ledger.codec import encode
from ledger.crypto.hashing import Tag, signing_digest
from ledger.genesis import epoch_members
from ledger.params import Params
from ledger.registry.records import members_hash
from ledger.transaction import SignerRef, TxBody, decode_transaction, sign_transaction
from ledger.transition import apply_block
from node.app import prepare
from node.config import load_config
from node.core.effects import StoreBlock
from node.prepared import Prepared
from simulator.cluster.found import found
from simulator.cluster.plan import Plan

VALID_BLOCKS: Final = 600
GAS_LIMIT: Final = 60_000
FLUSH_EVERY: Final = 8
READY_S: Final = 600.0


class Builder:
    """Appends the same certified blocks to the stores of the first three companies."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        homes = [directory / node.home for node in plan.nodes[:3]]
        self.parts: list[Prepared] = [prepare(load_config([home / "node.toml"], os.environ)) for home in homes]
        first = self.parts[0]
        self.document, self.chain = first.document, first.chain
        self.members = epoch_members(self.document)
        self.hashed = members_hash([(company, key, True) for company, key in self.members])
        self.keys = {part.key.key.public_key: part.key.key for part in self.parts}
        wallet = Wallet(homes[0])
        maker, checker = wallet.choose(["preparer", "approver"])
        self.signers = tuple(
            SignerRef(person.user_id, capacity, wallet.company_id)
            for person, capacity in ((maker, "maker"), (checker, "checker"))
        )
        self.signing = [wallet.key(maker), wallet.key(checker)]
        self.buyer = plan.nodes[2].company_id

    def append(self, number: int) -> None:
        """Make, execute, certify and store one block with one invoice."""
        store = self.parts[0].store
        parent, view = store.tip, store.view()
        height = parent.height + 1
        key = f"{number:064x}"
        args = [self.buyer, key, "380", ["EUR", 10_000], ["EUR", 1_900], ["EUR", 11_900], "2026-03-01", "2026-03-31"]
        body = TxBody(1, self.signers, number, height + VALID_BLOCKS, "invoices", "issue", (*args, key), GAS_LIMIT)
        tx = decode_transaction(sign_transaction(body, self.signing, self.chain), self.chain)
        last = store.tip_certificate
        header = Header(
            version=PROTOCOL_VERSION,
            chain_id=self.chain,
            epoch=0,
            height=height,
            parent_id=parent.block_id,
            tx_root=list_root([tx.tx_id]),
            tx_count=1,
            size_bytes=len(tx.envelope),
            time_ms=parent.time_ms + 1_000,
            proposer=0,
            exec_height=view.height,
            exec_root=view.exec_root,
            members_hash=self.hashed,
            next_members_hash=self.hashed,
            evidence_root=EMPTY_LIST_ROOT,
            last_cert_height=last.vote.height,
            last_cert_hash=certificate_hash(last),
            params_hash=self.document.params.hash(),
        )
        raw = encode(header)
        identity = block_id(raw)
        result = apply_block(view, header, (tx,), self.parts[0].programs, self.document.utc_offset_min)
        if result.receipts[0].abort:
            raise SystemExit(f"block {height}: {result.receipts[0].abort}")
        ref = BlockRef(height, identity, header.time_ms, view.height, height)
        effect = StoreBlock(
            ref=ref,
            header=header,
            header_bytes=raw,
            envelopes=(tx.envelope,),
            tx_ids=(tx.tx_id,),
            certificate=self._certify(height, identity),
            after=Lsn(0),
        )
        for part in self.parts:
            part.store.add_block(effect)
            part.store.apply(result)
            if height % FLUSH_EVERY == 0:
                part.store.flush()
                if part.store.snapshot_due:
                    part.snapshots.begin()
                    while part.snapshots.step():
                        pass

    def finish(self) -> None:
        """Flush, give each journal its anchor, and let go of the folders."""
        for part in self.parts:
            part.store.flush()
            anchor = Anchor(
                part.journal.journal_id, 0, 0, int(Mode.NORMAL), part.store.tip_certificate, None, None, (), (), ()
            )
            part.journal.append([(Lsn(1), anchor, None)])
            part.snapshots.close()
            part.store.close()
            part.journal.close()
            part.vault.close()
            part.data.close()

    def _certify(self, height: int, identity: bytes) -> CommitCertificate:
        vote = Vote(0, 0, height, identity)
        digest = signing_digest(Tag.SIG_COMMIT, self.chain, encode(vote))
        signed = [(i, self.keys[key].sign(digest)) for i, (_, key) in enumerate(self.members) if key in self.keys]
        chosen = signed[: quorum(len(self.members))]
        return CommitCertificate(
            vote, bitmap([i for i, _ in chosen], len(self.members)), tuple(signature for _, signature in chosen)
        )


def status(port: int) -> dict[str, Any]:
    """Return the public status of a node, or nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/status", timeout=2) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found
    except OSError:
        return {}


def run(home: Path, **storage: int) -> subprocess.Popen[bytes]:
    """Start a node with these [storage] settings."""
    environment = {**os.environ, **{f"HANSA_STORAGE_{key.upper()}": str(value) for key, value in storage.items()}}
    with (home / "node.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-m", "cli", "node", "run", "--config", str(home / "node.toml")],
            stderr=log,
            stdout=log,
            env=environment,
        )


def wait(port: int, height: int) -> None:
    """Return once a node has executed `height` and fetches nothing any more."""
    ends = time.monotonic() + READY_S
    while time.monotonic() < ends:
        now = status(port)
        if now and now["height_executed"] >= height and "syncing" not in now["not_ready"]:
            return
        time.sleep(0.1)
    raise SystemExit(f"port {port} did not reach height {height}: {status(port)}")


def size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def join(home: Path, port: int, height: int, label: str, **storage: int) -> None:
    """Start the fourth node from nothing, say how long it takes, and stop it."""
    for folder in ("chain", "journal", "snapshots"):
        shutil.rmtree(home / "data" / folder, ignore_errors=True)
    began = time.monotonic()
    process = run(home, **storage)
    wait(port, height)
    took = time.monotonic() - began
    usage = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    peak = next(line.split()[1] for line in usage.splitlines() if line.startswith("VmHWM"))
    cpu = sum(int(value) for value in Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").split()[13:15])
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    spent = cpu / os.sysconf("SC_CLK_TCK")
    print(
        f"{label}: in sync after {took:.1f} s, {spent:.1f} s of CPU, {int(peak) // 1024} MiB at most, "
        f"{size(home / 'data' / 'chain') / 1e6:.1f} MB of chain on disk",
        flush=True,
    )


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--blocks", type=int, default=10_000)
    parser.add_argument("--port-base", type=int, default=25_000)
    wish = parser.parse_args()
    plan = found(wish.directory, name="long", cast=DEMO_CAST, seed=1, port_base=wish.port_base, params=Params(window=1))
    began = time.monotonic()
    builder = Builder(wish.directory, plan)
    for number in range(1, wish.blocks + 1):
        builder.append(number)
    builder.finish()
    holder = wish.directory / plan.nodes[0].home / "data"
    print(
        f"{wish.blocks} blocks in {time.monotonic() - began:.0f} s: chain {size(holder / 'chain') / 1e6:.1f} MB, "
        f"two snapshots {size(holder / 'snapshots') / 1e6:.1f} MB",
        flush=True,
    )
    running = [run(wish.directory / node.home) for node in plan.nodes[:3]]
    try:
        for node in plan.nodes[:3]:
            wait(node.api_port, wish.blocks)
        last = plan.nodes[3]
        home = wish.directory / last.home
        join(home, last.api_port, wish.blocks, "by snapshot", sync_replay_blocks=5_000)
        join(home, last.api_port, wish.blocks, "by replay", sync_replay_blocks=0)
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(30)


if __name__ == "__main__":
    main()
