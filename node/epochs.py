"""Who decides, as the shell sees it: the epoch of the next height, the own place in it, and whom links lead to.

    state          names the members of every epoch up to the one decided last (ledger.registry.epochs)
    epoch ends     lead further when the state is behind: what they show is certified from the genesis file on (P85)
    registry       names the nodes, their TLS pins and the keys of their hello (S21, S24)

An epoch never changes once it is decided; the object is read anew when one begins, and links whenever the registry
moved. Doors: `Epochs`, `start_event`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from consensus.effects import SignatureItem
from consensus.events import EpochSpec, ReplicaConfig
from consensus.validate import signing_digest_of
from ledger.crypto.ed25519 import verify_strict
from ledger.crypto.hashing import Tag, signing_digest
from ledger.governance.follow import EpochEnd, follow, trust_genesis
from ledger.proof import ResultProof
from ledger.registry.epochs import epoch_at, last_epoch, read_epoch
from ledger.registry.epochs import members as epoch_members
from ledger.registry.lookup import ACTIVE, nodes, read_registry
from ledger.registry.records import ConsensusKey, Node
from ledger.transition import next_due_ms
from node.api.ports import NotYet
from node.config import Address, parse_address
from node.core.effects import KeepEpochEnd, LearnNodes
from node.core.ends import proven_nodes
from node.core.epochs import epoch_spec, passed_epochs, spec_of, specs_after
from node.core.events import NodeStart
from node.prepared import Prepared
from node.store.ends import EPOCHS
from node.store.proofs import node_proofs
from node.transport.peers import GUEST_FIRST
from node.transport.peers import Member as PeerMember

log: Final = structlog.get_logger("node")


class Epochs:
    """The present epoch of one node, and everything that is looked up by epoch."""

    def __init__(self, parts: Prepared, on_reach: Callable[[], object]) -> None:
        """`on_reach` is called when ends of epochs led to members that the state does not know: links follow them."""
        self._parts = parts
        self._on_reach = on_reach
        self._electorates: dict[int, tuple[bytes, ...]] = {}
        """Consensus keys by index, of every epoch that a signature was checked in; an epoch never changes (S20)."""
        self._guests: dict[str, int] = {}
        """Link index of every node without a vote that was met, by node id."""
        self._learned: dict[str, tuple[int, Node]] = {}
        """The newest record that others proved of a node, with its height, by node id; it counts until the own state is
        there (P117). One height for all would let a liar end the links to others with a true record of itself alone."""
        self._proofs: tuple[int, tuple[ResultProof, ...]] = (0, ())
        self.read()
        self._take_given_nodes()

    def read(self) -> None:
        """Look up in the state who decides the next height, and whether this node is one of them."""
        parts = self._parts
        view = parts.store.view()
        self.present = epoch_at(view, parts.store.tip.height + 1)
        self.own = parts.own_index(self.present)
        self.reached = reached_epoch(parts)
        """The last epoch that the kept ends lead to."""
        self.registry_version = read_registry(view).version

    # -- ends of epochs (P85, P107) ------------------------------------------------------------------------------

    def after(self, epoch: int, most: int) -> tuple[EpochEnd, ...]:
        """Return how `epoch` and the ones after it ended, at most `most` of them, as far as they are kept."""
        return self._parts.ends.all[epoch : epoch + most] if epoch >= 0 else ()

    def keep(self, effect: KeepEpochEnd) -> None:
        """Keep an end that the core verified; signatures of the epoch it leads to can be checked from now on."""
        self._parts.ends.keep(effect.epoch, effect.end)
        self.reached = effect.leads_to
        if self.ahead:
            self._on_reach()

    def nodes(self) -> tuple[ResultProof, ...]:
        """Return proofs of all node records; made once for each height that is certified."""
        height = self._parts.store.certified_height
        if self._proofs[0] != height:
            self._proofs = height, node_proofs(self._parts.store)
        return self._proofs[1]

    def learn(self, effect: LearnNodes) -> None:
        """Link by node records that are newer than the state and than what was shown of the same node before (P117)."""
        if self._adopt(effect.height, effect.nodes):
            self._on_reach()

    def _adopt(self, height: int, shown: Sequence[Node]) -> bool:
        """Keep the records that are the newest of their nodes, forget those that the state has reached; tell whether
        anything is newer than before."""
        done = self._parts.store.executed_height
        kept = {name: known for name, known in self._learned.items() if known[0] > done}
        newer = {
            node.node_id: (height, node)
            for node in shown
            if height > (kept[node.node_id][0] if node.node_id in kept else done)
        }
        self._learned = {**kept, **newer}
        return bool(newer)

    def _take_given_nodes(self) -> None:
        """Link by node records that the operator was given, if they are newer than the state and hold (P117)."""
        parts, proofs = self._parts, self._parts.ends.nodes
        if not proofs or proofs[0].height <= parts.store.executed_height:
            return
        epoch = proofs[0].certificate.vote.epoch
        trusted = follow(trust_genesis(parts.document), parts.ends.all[:epoch])
        if not isinstance(trusted, str) and trusted.epoch != epoch:
            trusted = f"they are of epoch {epoch}, and the kept ends lead to {trusted.epoch}"
        found = trusted if isinstance(trusted, str) else proven_nodes(proofs, trusted)
        if isinstance(found, str):
            log.error("node_records_refused", detail=found, next="take a new file: hansa company trust FILE")
            return
        self._adopt(proofs[0].height, found)

    def _newer(self) -> list[Node]:
        """Return the node records that others proved as of heights that the state has not reached."""
        done = self._parts.store.executed_height
        return [node for height, node in self._learned.values() if height > done]

    def _registered(self) -> list[Node]:
        """Return the newest record of each node that is known here, from the state or proven by others."""
        found = {node.node_id: node for node in (*nodes(self._parts.store.view()), *self._newer())}
        return [found[name] for name in sorted(found)]

    @property
    def ahead(self) -> bool:
        """Tell whether the ends of epochs lead further than the state."""
        return self.reached.epoch > last_epoch(self._parts.store.view()).epoch

    # -- keys ----------------------------------------------------------------------------------------------------

    def verify_vote(self, item: SignatureItem) -> bool:
        """Tell whether a member of the epoch that the vote names signed it."""
        keys = self._keys_of(item.epoch)
        if not 0 <= item.signer < len(keys):
            return False
        digest = signing_digest_of(item.kind, self._parts.chain, item.body)
        return verify_strict(keys[item.signer], item.signature, digest)

    def _keys_of(self, epoch: int) -> tuple[bytes, ...]:
        """Return the consensus keys of an epoch by index; none while it is not decided here (P115)."""
        known = self._electorates.get(epoch)
        if known is None:
            known = tuple(member.consensus_key for member in epoch_members(self._parts.store.view(), epoch))
            if not known and 0 < epoch <= self.reached.epoch:
                (passed,) = specs_after(self._parts.ends.all[epoch - 1 : epoch])
                known = tuple(member.consensus_key for member in passed.members)
            if known:
                self._electorates[epoch] = known
        return known

    def sign_pack(self, epoch: int, body: bytes) -> bytes:
        """Sign with the consensus key of an epoch; a company that left, with that of its last one (S26)."""
        parts, view = self._parts, self._parts.store.view()
        held = {one.key.public_key: one.key for one in parts.keys}
        for number in range(epoch, -1, -1):
            record = read_epoch(view, number)
            key = held.get(parts.own_key(record)) if record is not None else None
            if key is not None:
                return key.sign(signing_digest(Tag.SIG_BUNDLE, parts.chain, body))
        raise NotYet("this company had no vote at the height of the pack; wait for a block of its first epoch")

    def vote_problem(self) -> str:
        """Return in words why this node does not vote although its company is a member; "" if it does, or is none."""
        member = self.present.member(self._parts.company_id)
        if member is None:
            return ""
        if self.key_missing:
            return (
                f"epoch {self.present.epoch} names the consensus key {member.consensus_key.hex()[:16]}…, "
                "which is not in the keystore; put it there and restart the node"
            )
        return self._parts.image.problem

    @property
    def key_missing(self) -> bool:
        """Tell whether the company is a member and the key of this epoch is not in the keystore."""
        return self.own is None and self.present.member(self._parts.company_id) is not None

    # -- links ---------------------------------------------------------------------------------------------------

    def linked_nodes(self) -> list[PeerMember]:
        """Return every node that has a link here, with its index in the epoch of the core (P117, S27).

        All active nodes, by the newest records known; of a company that left, until the window after the barrier is
        committed: the last blocks of its epoch may still be wanted. Nodes without a vote are linked with members only,
        until records newer than the state show more.
        """
        parts = self._parts
        view, epoch = parts.store.view(), self.present
        recent = epoch.companies
        if epoch.epoch and parts.store.tip.height < epoch.first_height + parts.document.params.window:
            recent += tuple(member.company_id for member in epoch_members(view, epoch.epoch - 1))
        newer = bool(self._newer())
        later = {one.company_id: one.consensus_key for one in self.reached.members} if self.ahead else {}
        addresses: dict[str, Address] = {}
        for company, text in parts.directory.addresses.items():
            addresses[company] = parse_address(text)
        addresses.update(parts.config.peer_addresses)
        found: list[PeerMember] = []
        for node in self._registered():
            if node.company_id == parts.company_id and node.node_id != parts.node_id:
                continue  # the node that this one takes the place of (S28)
            member = epoch.member(node.company_id)
            if member is not None and member.node_id == node.node_id:
                index = epoch.companies.index(node.company_id)
            elif (self.own is not None or newer) and (node.status == ACTIVE or node.company_id in recent):
                index = self._guests.setdefault(node.node_id, GUEST_FIRST + len(self._guests))
            else:
                continue
            if node.company_id in later:  # the state is behind what the ends of epochs show
                key = ConsensusKey(later[node.company_id], epoch.epoch + 1)
                node = msgspec.structs.replace(node, consensus=(*node.consensus, key))
            found.append(PeerMember(index=index, node=node, address=addresses.get(node.company_id)))
        return found

    def moved(self, height: int) -> bool:
        """Tell whether links must be looked at again: the registry changed, or nodes that left had their time (S21)."""
        version = read_registry(self._parts.store.view()).version
        over = height == self.present.first_height + self._parts.document.params.window
        changed = version != self.registry_version
        self.registry_version = version
        return changed or over


def start_event(parts: Prepared, now: int, wall: int) -> NodeStart:
    """Return the first event of the core: what the disk knows, as of now."""
    document, view = parts.document, parts.store.view()
    epoch, last = epoch_at(view, parts.store.tip.height + 1), last_epoch(view)
    former = read_epoch(view, epoch.epoch - 1) if epoch.epoch else None
    coming = last if last.epoch > epoch.epoch else None
    own, reached = parts.own_index(epoch), reached_epoch(parts)
    return NodeStart(
        now=now,
        wall=wall,
        config=ReplicaConfig(
            index=own,
            chain_id=parts.chain,
            genesis_id=parts.genesis_id,
            epoch=epoch_spec(epoch),
            params=document.params,
            journal_id=parts.journal.journal_id,
            company_id=parts.company_id,
            former=None if former is None else epoch_spec(former),
            coming=None if coming is None else epoch_spec(coming),
            fresh_key=own is not None and former is not None and parts.own_key(former) != parts.key.key.public_key,
            awaited=parts.programs.next_activation(view, parts.store.tip.height),
            due_ms=next_due_ms(view, parts.programs.at(view, parts.store.tip.height + 1), document.utc_offset_min),
            scheduled=parts.store.scheduled_height(),
        ),
        tip=parts.store.tip,
        tip_certificate=parts.store.tip_certificate,
        executed=parts.store.executed(document.params.exec_lag + 1),
        records=parts.image.records,
        bodies=parts.image.bodies,
        recent=parts.store.recent_ids(),
        voting=parts.image.voting and own is not None,
        collected=parts.snapshots.collected,
        reached=reached,
        passed=passed_epochs(parts.ends.all, epoch.epoch, reached.epoch),
    )


def reached_epoch(parts: Prepared) -> EpochSpec:
    """Return the last epoch that the kept ends lead to.

    It may be one that the state does not know yet: the state may be taken there (P107). It may also be one before
    the present: then ends are missing here, and other nodes are asked for them.
    """
    ends = parts.ends.all
    view = parts.store.view()
    if len(ends) > last_epoch(view).epoch:
        found = follow(trust_genesis(parts.document), ends)
        if not isinstance(found, str):
            return spec_of(found)
        log.error("epoch_ends_refused", detail=found, path=str(parts.data.path / EPOCHS))
    record = read_epoch(view, min(len(ends), last_epoch(view).epoch))
    return epoch_spec(last_epoch(view) if record is None else record)
