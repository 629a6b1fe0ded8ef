"""The composition root of the daemon: the only place that builds collaborators. Door: `serve(config_file)`.

Start: configuration, data directory lock, genesis, keys, programs, store (executing again what was not flushed),
journal, then the loop. The replica re-sends its last votes from the journal before any peer is dialled (P95).
End: SIGTERM or SIGINT finish the turn, flush the store and close; a failed journal or store write, or a halt of the
core, ends the process with a sentence that says what to do.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import ssl
import sys
import time
import tomllib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from getpass import getpass
from pathlib import Path
from typing import Final

import structlog

from consensus.effects import Halt, Report, Silence
from consensus.events import Mode
from contracts.frames import make_room
from contracts.runtime import Program, link
from ledger.certificate import faults, quorum
from ledger.crypto.ed25519 import SigningKey
from ledger.errors import InvalidGenesis, LedgerError
from ledger.genesis import (
    GenesisDocument,
    chain_id,
    check_genesis,
    genesis_block,
    genesis_file_codec,
    genesis_state,
)
from ledger.registry.lookup import read_company, read_node
from ledger.registry.records import node_id as node_id_of
from ledger.state import StateView
from ledger.transition import BlockResult
from node.api.limits import Rate, RateSettings
from node.api.ports import ConsensusStatus, MemberStatus
from node.api.sentences import behind, reachable_members
from node.api.settings import ApiSettings, UnsafeListener
from node.api.tokens import TokenError, TokenStore
from node.config import ConfigError, LoadedConfig, NodeConfig, NodeSection, load_config
from node.core.machine import NodeContext, NodeCore
from node.core.messages import PeerMessage
from node.core.programs import Programs
from node.documents.vault import Vault
from node.driver.loop import Beginning, Driver
from node.epochs import Epochs, start_event
from node.home import NUMBERING_KEY, TLS_PASSWORD_KEY
from node.identity.directory import DirectoryRefused
from node.identity.hardening import forbid_dumps
from node.identity.keystore import KeyFileRefused, KeyKind, Keystore, KeystoreError
from node.identity.tls import TlsFiles, api_context, keep_api_certificate, presented
from node.identity.unlock import UnlockFailed, UnlockSecret, find_secret
from node.prepared import Prepared, VoteSigner, directory_at, key_at, voting_keys
from node.service import Identity, Service
from node.store import swap
from node.store.ends import EpochEnds
from node.store.errors import StoreError
from node.store.journal import Journal
from node.store.ledger import ChainStore
from node.store.places import LOW_SPACE_BYTES, DataDirectory
from node.store.pruning import BLOCKS_AT_ONCE, Keep, Plan, compact, plan, prune, worth_compacting
from node.store.replay import replay
from node.store.snapshots import Snapshots
from node.transport.faults import FAULTS_FILE, FaultsMalformed, read_faults
from node.transport.peers import ListenFailed, PeerCallbacks, Peers, PeerSettings

log: Final = structlog.get_logger("node")

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_UNAVAILABLE = 0, 1, 2, 8
CLOCK_SLACK_MS: Final = 5_000
"""A wall clock this far from the times of fresh blocks is reported: others refuse what such a node proposes."""
OFFSETS_KEPT: Final = 9
"""Fresh blocks whose distance from our clock is looked at; the median counts."""
NO_TOLERANCE: Final = "fewer than four members tolerate no lying member: for practice only (P4)"
SILENCED_NEXT: Final = "put no other copy back; the company votes again only with a new consensus key (P97)"
OLD_CERTIFICATE_NEXT: Final = "restore the file; the old one is still shown"
SILENT_STATUSES: Final = 4
SILENT_LEAST_MS: Final = 5_000
"""A member is called silent when so many of its STATUS messages did not come, and not before this time."""
REPORTS_KEPT: Final = 100
"""Proofs of misbehaviour kept in memory for the operator's page."""
COMPACT_TURN: Final = 64
"""Heights in which it is one member's turn to compact its store: a long copy outlasts them (6 s at 10 blocks/s)."""
BACKLOG_MAX: Final = 4_096
"""Events and transactions waiting for the loop's thread before links are asked to wait."""
GC_THRESHOLDS: Final = (50_000, 20, 50)
"""Collector thresholds after start-up (performance E36)."""

START_ERRORS: Final = (
    ConfigError,
    StoreError,
    KeystoreError,
    UnlockFailed,
    DirectoryRefused,
    LedgerError,
    TokenError,
)
"""What may be wrong before a node runs; each names cause and next step by itself."""


class StartRefused(Exception):
    """The node cannot run with what it was given. The text names cause and next step."""


def serve(config_file: Path) -> int:
    """Run one node until it is told to stop; return the exit code of the process."""
    make_room()
    try:
        prepared = prepare(load_config([config_file], os.environ))
    except (StartRefused, *START_ERRORS) as error:
        print(f"hansa node: {error}", file=sys.stderr, flush=True)
        return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED
    try:
        while True:
            daemon = Daemon(prepared)
            code = asyncio.run(daemon.run())
            if not daemon.goes_on:
                return code
            loosen_memory()
            if daemon.driver.installed:
                take_snapshot(prepared)
            else:
                reopen(prepared)
    except StoreError as error:
        log.error("store_failed", code=error.code, detail=str(error))
        print(f"hansa node: {error}", file=sys.stderr, flush=True)
        return EXIT_FAILED
    except (StartRefused, ListenFailed, UnsafeListener) as error:
        print(f"hansa node: {error}", file=sys.stderr, flush=True)
        return EXIT_FAILED
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        where = prepared.config.api.listen
        print(
            f"hansa node: the port of {where} or of ops.listen is in use; stop the other process or set another port",
            file=sys.stderr,
            flush=True,
        )
        return EXIT_UNAVAILABLE
    finally:
        prepared.close()


def prepare(loaded: LoadedConfig) -> Prepared:
    """Open everything a node needs; raises `StartRefused` or one of `START_ERRORS`."""
    config = loaded.config
    document, chain = read_genesis(config.genesis_file)
    if document.production and config.node.development:
        raise StartRefused(
            "node.development is true, but the genesis file founds a production network; set it to false (C5)"
        )
    if document.production and config.node.clock_offset_ms:
        raise StartRefused("node.clock_offset_ms is for development networks; remove it from the configuration (C5)")
    forbid_dumps(development=not document.production)
    keystore = Keystore.open(config.keystore_dir, _secret_of(config, document))
    keys = voting_keys(keystore)
    node_id, company_id = _own_place(document, keys[0].key, config.node)
    home = config.keystore_dir.parent
    password = keystore.load(TLS_PASSWORD_KEY, KeyKind.TLS_PASSWORD).private.hex().encode()
    own_api = not (config.node.development or config.api.tls_certificate)
    api_tls = keep_api_certificate(home, password, time.time_ns() // 1_000_000) if own_api else None
    programs = programs_of(document)
    meta = genesis_meta(document, programs)
    data = DataDirectory(config.data_dir)
    try:
        chain_keys = {namespace: keystore.seal_keys(namespace) for namespace in ("blocks", "state", "indexes")}
        journal_keys = keystore.seal_keys("journal")
        store = _open_store(config, data, chain_keys, document, chain, programs)
        snapshots = _open_snapshots(config, store, chain_keys, chain, programs)
        ends = EpochEnds(data.path)
        ends.follow(store)
        directory = directory_at(config, store)
        key = key_at(store, company_id, keys)
        journal, image = Journal.open(data.journal_of(key.number), journal_keys, key.journal_id)
        vault = Vault.open(
            data.documents,
            keystore.seal_keys("documents"),
            keystore.derive("index", b"documents"),
            map_bytes=config.storage.documents_max_gib << 30,
        )
        numbering = keystore.load(NUMBERING_KEY, KeyKind.NUMBERING).private
    except BaseException:
        data.close()
        raise
    finally:
        keystore.close()
    _, _, genesis_id = genesis_block(document, genesis_state(document, meta))
    return Prepared(
        config=config,
        data=data,
        document=document,
        genesis_id=genesis_id,
        chain=chain,
        directory=directory,
        node_id=node_id,
        company_id=company_id,
        keys=keys,
        key=key,
        tls=presented(home, password, read_node(store.view(), node_id)),
        api_tls=api_tls,
        programs=programs,
        store=store,
        snapshots=snapshots,
        journal=journal,
        image=image,
        chain_keys=chain_keys,
        journal_keys=journal_keys,
        ends=ends,
        tokens=TokenStore(config.data_dir / "tokens.json"),
        vault=vault,
        numbering=numbering,
        people=_people(config),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What `prune_stopped` did, or would do."""

    plan: Plan
    before_bytes: int
    after_bytes: int


def prune_stopped(loaded: LoadedConfig, keep_blocks: int | None, keep_days: int | None, *, dry_run: bool) -> Pruned:
    """Prune and compact the store of a node that is not running; raises `StartRefused` or one of `START_ERRORS`.

    A number that is given replaces that of the configuration, and then alone decides.
    """
    config = loaded.config
    document, chain = read_genesis(config.genesis_file)
    keep = keep_rule(config, document)
    if keep_blocks is not None or keep_days is not None:
        keep = Keep(blocks=keep_blocks or 0, days=keep_days or 0, validity_heights=keep.validity_heights)
    if not keep.blocks and not keep.days:
        raise StartRefused("the configuration keeps everything; name --keep-blocks or --keep-days")
    keystore = Keystore.open(config.keystore_dir, _secret_of(config, document))
    keys = {namespace: keystore.seal_keys(namespace) for namespace in ("blocks", "state", "indexes")}
    keystore.close()
    map_bytes = config.storage.ledger_max_gib << 30
    with DataDirectory(config.data_dir) as data:
        swap.settle(data.chain)
        store = ChainStore.open(data.chain, keys, chain, map_bytes=map_bytes)
        store.snapshot_every = config.storage.snapshot_every
        try:
            found, before = plan(store, keep), store.size_bytes()
            if not dry_run:
                while prune(store, keep, at_once=1_000):
                    pass
                store = compact(store, keys, chain, map_bytes)
            return Pruned(plan=found, before_bytes=before, after_bytes=store.size_bytes())
        finally:
            store.close()


def take_snapshot(prepared: Prepared) -> None:
    """Let a collected snapshot take the place of the chain store, and read the journal again: the rest is recovery.

    The store is then ahead of the journal, which is a case that every start knows (P95).
    """
    height = prepared.store.tip.height
    reopen(prepared)
    log.info("snapshot_installed", height=prepared.store.tip.height, blocks=prepared.store.tip.height - height)


def reopen(prepared: Prepared) -> None:
    """Open chain store and journal again, as a start does; a file that is mostly free is compacted then (U6).

    The state may be a later one: what the registry says of the own node and of the others is looked up anew.
    """
    prepared.snapshots.close()
    prepared.store.close()
    prepared.journal.close()
    parts = prepared.config, prepared.data, prepared.chain_keys, prepared.document, prepared.chain, prepared.programs
    prepared.store = _open_store(*parts)
    prepared.snapshots = _open_snapshots(
        prepared.config, prepared.store, prepared.chain_keys, prepared.chain, prepared.programs
    )
    prepared.ends.follow(prepared.store)
    take_new_keys(prepared)
    take_new_names(prepared)
    prepared.tls = newest_certificate(prepared)
    prepared.open_journal()


def take_new_keys(parts: Prepared) -> None:
    """Open the keystore again once the companies agreed to a key that was made after the start (S23)."""
    node = read_node(parts.store.view(), parts.node_id)
    held = [one.key.public_key for one in parts.keys]
    if node is None or all(item.public_key in held for item in node.consensus):
        return
    try:
        keystore = Keystore.open(parts.config.keystore_dir, _secret_of(parts.config, parts.document, ask=False))
        try:
            found = voting_keys(keystore)
        finally:
            keystore.close()
    except (KeystoreError, UnlockFailed) as error:
        log.error("consensus_key_closed", detail=str(error), next="restart the node before the epoch changes")
        return
    parts.keys += tuple(one for one in found if one.key.public_key not in held)


def take_new_names(parts: Prepared) -> bool:
    """Read the directory again: an entry may have waited there for its company to be registered; tell whether it could
    be read."""
    try:
        parts.directory = directory_at(parts.config, parts.store)
    except DirectoryRefused as error:
        log.error("directory_refused", detail=str(error))
        return False
    return True


def newest_certificate(parts: Prepared) -> TlsFiles:
    """Return the newest TLS identity that the registry names for this node (S23); the present one if its file fails."""
    home = parts.config.keystore_dir.parent
    try:
        return presented(home, parts.tls.password, read_node(parts.store.view(), parts.node_id))
    except KeyFileRefused as error:
        log.error("tls_certificate_refused", detail=str(error), next=OLD_CERTIFICATE_NEXT)
        return parts.tls


def read_genesis(path: Path) -> tuple[GenesisDocument, bytes]:
    """Return the checked document of a genesis file and its chain id."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StartRefused(
            f"cannot read the genesis file {path} ({error.strerror}); put the file of your network there"
        ) from None
    try:
        document = check_genesis(genesis_file_codec.decode(raw))
    except InvalidGenesis as error:
        raise StartRefused(f"{path}: {error}; ask the founders for the final file") from None
    except LedgerError as error:
        raise StartRefused(f"{path} is not a genesis file ({error}); ask the founders for it") from None
    return document, chain_id(document)


def compile_programs(document: GenesisDocument) -> Program:
    """Compile and link the contracts of a genesis document."""
    return link(programs_of(document).compiled([{item.name: item.source for item in document.contracts}]))


def programs_of(document: GenesisDocument) -> Programs:
    """Return what links the contracts of a chain, those of genesis compiled; equal ones share it in a process."""
    return _programs(tuple((item.name, item.source) for item in document.contracts), document.currencies)


@lru_cache(maxsize=4)
def _programs(sources: tuple[tuple[str, bytes], ...], currencies: tuple[tuple[str, int], ...]) -> Programs:
    programs = Programs(dict(currencies))
    programs.compiled([dict(sources)])
    return programs


class Daemon:
    """One running node: builds the parts around the loop, starts and stops them in order."""

    def __init__(self, prepared: Prepared) -> None:
        self._parts = prepared
        document = prepared.document
        self.epochs = Epochs(prepared, on_reach=self._update_links)
        self._keep = keep_rule(prepared.config, document)
        self._reports: list[tuple[int, str]] = []
        self._last_block_ms = 0
        self._exit = EXIT_OK
        self._told_to_stop = False
        self.compacting = False
        """The loop ended so that the chain store is opened again and shrinks; then it goes on."""
        self._held_back = False
        self._offsets: deque[int] = deque(maxlen=OFFSETS_KEPT)
        self.links = self._make_links()
        self.driver = Driver(
            core=self._new_core(),
            journal=prepared.journal,
            store=prepared.store,
            snapshots=prepared.snapshots,
            ends=self.epochs,
            links=self.links,
            runtime=prepared.programs,
            utc_offset_min=document.utc_offset_min,
            verify_vote=self.epochs.verify_vote,
            on_block=self._on_block,
            on_halt=self._on_halt,
            on_report=self._on_report,
            on_silence=self._on_silence,
            begin_epoch=self._begin_epoch,
            prune=self._prune,
        )
        self.driver.turn_hook = self._after_turn
        self.driver.wall_offset_ms = prepared.config.node.clock_offset_ms
        self.service = Service(
            identity=Identity(
                chain_id=prepared.chain,
                company_id=prepared.company_id,
                node_id=prepared.node_id,
                document=document,
                names=prepared.directory.names,
                people=prepared.people,
            ),
            store=prepared.store,
            driver=self.driver,
            programs=prepared.programs,
            tokens=prepared.tokens,
            sessions=prepared.sessions,
            vault=prepared.vault,
            directory=prepared.directory,
            numbering=prepared.numbering,
            sign_pack=self.epochs.sign_pack,
            ends=prepared.ends,
            consensus=self.consensus,
            not_ready=self.not_ready,
        )

    def _prune(self) -> int:
        """Let old blocks go by the operator's rule, and end the loop when it is time to shrink the file; see `serve`.

        Members prune at the same heights, and a node that compacts is away for as long as it copies: each has turns of
        its own, and leaves only if the others can decide without it, since the one before may still be copying.
        """
        store, own = self._parts.store, self.epochs.own
        pruned = prune(store, self._keep, least=BLOCKS_AT_ONCE)
        turn = store.tip.height // COMPACT_TURN % len(self.epochs.present.members)
        if pruned and own in (None, turn) and not self.core.sync.active and worth_compacting(store) and self._spared():
            self.compacting = True
            self.driver.stop()
        return pruned

    def _spared(self) -> bool:
        """Tell whether blocks go on while this node is away: it has no vote, or the others that are here are q (P2)."""
        if self.epochs.own is None:
            return True
        now = self.consensus()
        return now.mode == "learner" or reachable_members(now) > quorum(len(now.members))

    def stop(self) -> None:
        """End for good, whatever the loop would have gone on with."""
        self._told_to_stop = True
        self.driver.stop()

    @property
    def goes_on(self) -> bool:
        """Tell whether the process goes on once its stores are opened again: for a snapshot, or to shrink the file.

        The last flush before an end prunes as well, so it may find that it is time to shrink: nobody who told the node
        to stop, and no halted core, may be overruled by that.
        """
        if self._told_to_stop or self.driver.halted is not None:
            return False
        return bool(self.driver.installed) or self.compacting

    @property
    def core(self) -> NodeCore:
        """The core of the present epoch."""
        return self.driver.core

    # -- epochs ------------------------------------------------------------------------------------------------------

    def _new_core(self) -> NodeCore:
        parts = self._parts
        context = NodeContext(read=parts.store.view, replay_blocks=parts.config.storage.sync_replay_blocks)
        return NodeCore(VoteSigner(parts.key.key, parts.chain), context)

    def _begin_epoch(self) -> Beginning:
        """Everything up to the barrier is executed and durable: read who decides now, and begin with that (P114)."""
        parts = self._parts
        if key_at(parts.store, parts.company_id, parts.keys) is parts.key:
            read = parts.journal.image(parts.key.journal_id)
            parts.image = read if parts.image.voting else replace(parts.image, records=read.records, bodies=read.bodies)
        else:
            parts.journal.close()
            parts.open_journal()
        parts.ends.follow(parts.store)
        self.epochs.read()
        core = self._new_core()
        moved = self._update_links()
        if not parts.document.production:
            self._take_faults()
        epoch, own = self.epochs.present, self.epochs.own
        log.info("epoch_began", epoch=epoch.epoch, height=epoch.first_height, n=len(epoch.members), member=own)
        self._warn()
        return Beginning(
            core=core,
            journal=parts.journal,
            start=lambda now, wall: start_event(parts, now, wall),
            moved=moved,
            connected=self.links.connected,
        )

    def _warn(self) -> None:
        """Say what an operator must know of this epoch: that no lie is tolerated (P4), or that it does not vote."""
        n = len(self.epochs.present.members)
        if not faults(n):
            log.warning("no_byzantine_fault_tolerated", members=n, detail=NO_TOLERANCE)
        if problem := self.epochs.vote_problem():
            log.error("node_does_not_vote", detail=problem, next=SILENCED_NEXT)

    def _update_links(self) -> dict[int, int]:
        """Bring the links in line with epoch and registry; return the new index of each node by its old one."""
        return self.links.update(self.epochs.own, self.epochs.linked_nodes(), self._parts.key.key)

    def _follow_registry(self, height: int) -> None:
        """Bring the links in line when the registry changed, and when the nodes that left have had their time (S21)."""
        if self.epochs.moved(height):
            take_new_keys(self._parts)
            self._take_new_certificate()
            if take_new_names(self._parts):
                self.service.adopt(self._parts.directory)
            self._update_links()

    def _take_new_certificate(self) -> None:
        """Show the newest TLS certificate that the registry names for this node (S23); links that are up stay."""
        chosen = newest_certificate(self._parts)
        if chosen.certificate == self._parts.tls.certificate:
            return
        try:
            self.links.present(chosen)
        except KeyFileRefused as error:
            log.error("tls_certificate_refused", detail=str(error), next=OLD_CERTIFICATE_NEXT)
            return
        self._parts.tls = chosen
        log.info("tls_certificate", file=chosen.certificate.name)

    # -- life ----------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Open the listeners, turn until told to stop, close in order; return the exit code."""
        from node.ops.listener import serve_ops
        from node.ops.logs import configure
        from node.ops.metrics import Registry
        from node.web.serve import serve_api

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        config = self._parts.config
        replayed = self._parts.store.executed_height
        configure(config.node.log_level, config.node.log_format)
        if not self._parts.document.production:
            loop.add_signal_handler(signal.SIGUSR1, self._take_faults)
            self._take_faults()
        peers_at = await self.links.start()
        figures = Registry()
        api = await serve_api(
            self.service, api_settings(config, self._parts.api_tls), figures, self.driver.meter.charger("api")
        )
        ops = await serve_ops(self.service, config.ops_address, figures) if config.ops.enabled else None
        settle_memory()
        log.info("node_started", node=self._parts.node_id, height=replayed, peer=str(peers_at), api=config.api.listen)
        self._warn()
        try:
            await self.driver.run(lambda now, wall: start_event(self._parts, now, wall))
        finally:
            await self.links.close()
            await api.cleanup()
            if ops is not None:
                await ops.cleanup()
        log.info(
            "node_stopped", height=self._parts.store.tip.height, state=self.core.replica.state.durable_digest().hex()
        )
        return self._exit

    def _make_links(self) -> Peers:
        parts = self._parts
        return Peers(
            PeerSettings(
                chain_id=parts.chain,
                own_node_id=parts.node_id,
                tls=parts.tls,
                listen=parts.config.peers_address,
                development=not parts.document.production,
                reconnect_max_s=parts.config.peers.reconnect_max_s,
                outbound_max_bytes=parts.config.peers.outbound_max_mib * 1024 * 1024,
            ),
            self.epochs.own,
            self.epochs.linked_nodes(),
            parts.key.key,
            PeerCallbacks(
                on_message=self._on_message,
                on_up=lambda index: self.driver.connected(index),
                on_down=lambda index: self.driver.lost(index),
                on_penalty=self._on_refused,
                on_reject=self._on_refused,
                height=lambda: parts.store.tip.height,
                spent=lambda spent_ns: self.driver.meter.charge("network", spent_ns),
            ),
        )

    def _on_message(self, index: int, message: PeerMessage) -> bool:
        """Queue a message, or say "not now" while the queue is long: the link then stops reading (P140)."""
        if self.driver.backlog > BACKLOG_MAX:
            self._held_back = True
            return False
        self.driver.received(index, message)
        return True

    def _on_refused(self, _: int, reason: str) -> None:
        """Count what the links did not take; the core's refusals are counted by the driver."""
        self.driver.meter.count(f"rejected_messages.{reason}")

    def _take_faults(self) -> None:
        """Disturb the links as the supervisor of a local cluster wrote it down; development networks only (C5)."""
        path = self._parts.config.keystore_dir.parent / FAULTS_FILE
        try:
            policy = read_faults(path, {company: index for index, company in enumerate(self.epochs.present.companies)})
        except FaultsMalformed as error:
            log.error("link_faults_refused", detail=str(error))
            return
        if policy != self.links.policy:
            self.links.set_policy(policy)
            log.warning("link_faults", count=len(policy.links))

    def _after_turn(self) -> None:
        if self._held_back and self.driver.backlog < BACKLOG_MAX // 2:
            self._held_back = False
            self.links.resume()
        self.service.serve_line()

    # -- what the driver tells -------------------------------------------------------------------------------------

    def _on_block(self, result: BlockResult) -> None:
        self._last_block_ms = self.service.wall_ms()
        self._follow_registry(result.height)
        tip = self._parts.store.tip
        if result.height == tip.height and not self.core.sync.active:
            self._offsets.append(self._last_block_ms - tip.time_ms)
        meter = self.driver.meter
        meter.count("blocks")
        meter.count("txs_ok", sum(1 for receipt in result.receipts if not receipt.abort))
        meter.count("txs_failed", sum(1 for receipt in result.receipts if receipt.abort))
        self.service.block_done(receipt.tx_id for receipt in result.receipts)

    def _on_halt(self, halt: Halt) -> None:
        self._exit = EXIT_FAILED
        log.error("node_halted", reason=halt.reason.value, detail=halt.detail)

    def _on_report(self, report: Report) -> None:
        self._reports.append((report.offender, report.kind))
        del self._reports[:-REPORTS_KEPT]
        log.warning("misbehaviour", member=report.offender, kind=report.kind)

    def _on_silence(self, silence: Silence) -> None:
        self.driver.meter.count("silenced")
        log.error("node_does_not_vote", detail=silence.reason, next=SILENCED_NEXT)

    # -- what the API asks -----------------------------------------------------------------------------------------

    def not_ready(self) -> tuple[str, ...]:
        """Return stable words for what keeps this node from serving well (U61)."""
        reasons: list[str] = []
        if self.core.started:
            picture = self.core.replica.why(time.monotonic_ns())
            if picture.mode is Mode.HALTED:
                reasons.append("halted")
            if picture.mode is Mode.LEARNER:
                reasons.append("learner")
            status = self.consensus()
            if reachable_members(status) < picture.q:
                reasons.append("no_quorum")
            if self.core.sync.active or self.core.taking.active:
                reasons.append("syncing")
            if behind(status):
                reasons.append("behind")
        else:
            reasons.append("starting")
        if self._parts.data.free_bytes() < max(LOW_SPACE_BYTES, self._parts.config.storage.min_free_mib << 20):
            reasons.append("disk")
        offset = sorted(self._offsets)[len(self._offsets) // 2] if self._offsets else 0
        slow = self.service.wall_ms() + CLOCK_SLACK_MS < self._parts.store.tip.time_ms
        if slow or abs(offset) > CLOCK_SLACK_MS:
            reasons.append("clock")
        return tuple(reasons)

    def consensus(self) -> ConsensusStatus:
        """Return where agreement stands, as this node sees it now."""
        now = time.monotonic_ns()
        wall = self.service.wall_ms()
        picture = self.core.replica.why(now)
        links = {status.index: status for status in self.links.status()}
        nodes = {member.company_id: member.node_id for member in self.epochs.present.members}
        members: list[MemberStatus] = []
        for member in picture.members:
            link = links.get(member.index)
            fault, fault_ms = self.driver.faults.get(member.index, ("", 0))
            slow = self.core.sync.faults.get(member.index) if self.core.started else None
            if slow is not None and not fault:  # silence is named, not charged
                fault, fault_ms = slow.reason, _ago(wall, now - slow.since_ns)
            members.append(
                MemberStatus(
                    index=member.index,
                    company_id=member.company_id,
                    node_id=nodes.get(member.company_id, ""),
                    is_self=member.own,
                    connected=member.own or (link is not None and link.connected),
                    address="" if link is None else link.address,
                    problem="" if link is None else link.problem,
                    view=member.view,
                    height=member.height,
                    executed_height=member.executed,
                    mode="" if member.mode is None else member.mode.name.lower(),
                    last_heard_ms=wall if member.own else _ago(wall, member.heard_ns),
                    round_trip_ms=0 if link is None else (link.round_trip_us + 500) // 1000,
                    fault=fault,
                    fault_ms=fault_ms,
                    rejected={} if link is None else link.rejected,
                )
            )
        pool = self.core.mempool
        halted = self.driver.halted
        company = read_company(self._parts.store.view(), self._parts.company_id)
        return ConsensusStatus(
            wall_ms=wall,
            epoch=self.epochs.present.epoch,
            view=picture.view,
            mode=picture.mode.name.lower(),
            halt_reason="" if halted is None else f"{halted.reason.value}: {halted.detail}",
            vote_problem=picture.silenced or self.epochs.vote_problem(),
            height=picture.height,
            block_id=self._parts.store.tip.block_id,
            executed_height=picture.executed,
            primary=picture.primary,
            own_index=self.epochs.own,
            members=tuple(members),
            timer="" if picture.timer is None else picture.timer.value,
            timer_ends_ms=0 if picture.deadline_ns < 0 else wall + picture.deadline_ns // 1_000_000,
            last_block_ms=self._last_block_ms or (self._parts.store.tip.time_ms if picture.height else 0),
            waiting=len(pool.waiting),
            waiting_bytes=pool.waiting_bytes,
            oldest_waiting_ms=picture.oldest_ns // 1_000_000,
            view_changes=self.driver.meter.counters.get("view_entered", 0),
            suspects=tuple(member.index for member in picture.members if member.suspects),
            evidence=tuple(self._reports),
            phase="pre-prepared" if picture.waiting_for in ("votes", "bodies", "refused") else "idle",
            waiting_for=picture.waiting_for,
            refusal=picture.slot_reason if picture.waiting_for == "refused" else "",
            silent_after_ms=max(SILENT_LEAST_MS, SILENT_STATUSES * self._parts.document.params.status_ms),
            syncing=self.core.sync.active or self.core.taking.active or self.core.walk.active,
            near=2 * self._parts.document.params.window,
            own_company=self._parts.company_id,
            own_status="" if company is None else company.status,
            key_missing=not picture.silenced and self.epochs.key_missing,
        )


def settle_memory() -> None:
    """Keep the collector away from what the start made (performance E36).

    What was kept away from it before stays so: a node of a cluster shares that with the process it was forked from, and
    a look of the collector at it would make every page the node's own.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def loosen_memory() -> None:
    """Let the collector look at everything again, because a loop ended and another one begins in this process.

    Without that nothing would ever collect the former one, with the pool and the caches that hang on it.
    """
    gc.unfreeze()


def api_settings(config: NodeConfig, own: TlsFiles | None) -> ApiSettings:
    """Return the settings of the HTTP listener, with the certificate that the configuration names, or our `own`."""
    context = api_context(own) if own else None
    if config.api.tls_certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(config.api.tls_certificate, config.api.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise StartRefused(
                f"api.tls_certificate or api.tls_key cannot be used ({error}); name a PEM certificate and its key"
            ) from None
    address = config.api_address
    hosts = ("localhost", "127.0.0.1", "::1", address.host, *config.api.hosts)
    rates = {token: Rate(per_second=rate, burst=burst) for token, (rate, burst) in config.api.rates.items()}
    return ApiSettings(
        host=address.host,
        port=address.port,
        hosts=tuple(dict.fromkeys(hosts)),
        tls=context,
        pages=config.api.web,
        rates=RateSettings(named=rates),
    )


def _secret_of(config: NodeConfig, document: GenesisDocument, *, ask: bool = True) -> UnlockSecret:
    return find_secret(
        config.node.unlock,
        key_file=Path(config.node.key_file) if config.node.key_file else None,
        development=not document.production,
        environment=os.environ,
        prompt=getpass if ask and sys.stdin.isatty() else None,
    )


def _own_place(document: GenesisDocument, key: SigningKey, section: NodeSection) -> tuple[str, str]:
    """Return node id and company of the node whose first consensus key this is.

    A company that joined later, or lost the keys of the genesis file, names itself in the configuration.
    """
    company = section.company
    for node in document.nodes:
        if any(item.public_key == key.public_key for item in node.consensus):
            if company and node.company_id != company:
                raise StartRefused(
                    f"node.company is {company}, but the consensus key belongs to {node.company_id}; correct node.toml"
                )
            return node.node_id, node.company_id
    founder = company in [item.company_id for item in document.companies]
    if company and (section.keys_replaced or not founder):
        return node_id_of(key.public_key), company
    raise StartRefused(
        f"the consensus key {key.public_key.hex()[:16]}… is not registered in the genesis file; "
        "use the keystore whose card the founders received"
    )


def genesis_meta(document: GenesisDocument, programs: Programs) -> list[tuple[str, int, bytes, bytes]]:
    """Return (name, version, code id, IR hash) of the contracts of a genesis document, in its order."""
    codes = programs.compiled([{item.name: item.source for item in document.contracts}])
    interfaces = {name: code.interface for name, code in codes.items()}
    return [
        (item.name, interfaces[item.name].version, interfaces[item.name].code_id, interfaces[item.name].ir_hash)
        for item in document.contracts
    ]


def _open_store(
    config: NodeConfig,
    data: DataDirectory,
    keys: Mapping[str, Mapping[int, bytes]],
    document: GenesisDocument,
    chain: bytes,
    programs: Programs,
) -> ChainStore:
    map_bytes = config.storage.ledger_max_gib << 30
    swap.settle(data.chain)
    if ChainStore.exists(data.chain):
        store = ChainStore.open(data.chain, keys, chain, map_bytes=map_bytes)
    else:
        state = genesis_state(document, genesis_meta(document, programs))
        _, raw, _ = genesis_block(document, state)
        store = ChainStore.create(data.chain, keys, chain, state, raw, map_bytes=map_bytes)
    store.snapshot_every = config.storage.snapshot_every
    if worth_compacting(store):
        log.info("compacting", bytes=store.size_bytes(), live=store.live_bytes())
        store = compact(store, keys, chain, map_bytes)
    try:
        replay(store, programs, chain, document.utc_offset_min)
    except BaseException:
        store.close()
        raise
    return store


def keep_rule(config: NodeConfig, document: GenesisDocument) -> Keep:
    """Return how much of the past this node keeps."""
    return Keep(
        blocks=config.storage.keep_blocks,
        days=config.storage.keep_days,
        validity_heights=document.params.max_validity_heights,
    )


def _open_snapshots(
    config: NodeConfig,
    store: ChainStore,
    keys: Mapping[str, Mapping[int, bytes]],
    chain: bytes,
    programs: Programs,
) -> Snapshots:
    def index_entries(view: StateView) -> Iterator[tuple[bytes, bytes]]:
        return programs.at(view, view.height).index_entries(view)

    def report(reason: str) -> None:
        log.warning("snapshot_not_made", detail=reason)

    return Snapshots(store, keys, chain, index_entries, config.storage.ledger_max_gib << 30, report)


def _people(config: NodeConfig) -> Mapping[str, str]:
    """Return the private directory of the own people: user id -> label."""
    if not config.node.people:
        return {}
    path = Path(config.node.people)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return {str(entry["user_id"]): str(entry["label"]) for entry in table.get("person", [])}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartRefused(f"node.people: {path} cannot be read ({error}); correct the file") from None


def _ago(wall_ms: int, age_ns: int) -> int:
    return 0 if age_ns < 0 else wall_ms - age_ns // 1_000_000
