"""The companies of a simulated network: keys, genesis document, block 0 and the state it opens with.

Identities are a function of a running number, not of the seed of a run, so every run with the same size, parameters and
contracts shares one genesis, and the process builds it once. Names are places: the company called first proposes in
view 0, the next one in view 1, and so on. So a scenario that names a company means the same whatever the chain id, on
which the rotation depends (P76), though parameters and the texts of contracts change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from consensus.events import EpochSpec, ReplicaConfig
from consensus.membership import membership
from contracts.library import sources
from ledger.block import BlockRef
from ledger.certificate import CommitCertificate, genesis_certificate
from ledger.crypto.ed25519 import SigningKey
from ledger.genesis import (
    ContractSource,
    GenesisDocument,
    chain_id,
    genesis_block,
    genesis_state,
)
from ledger.params import Params
from ledger.registry.epochs import EpochRecord, epoch_at, last_epoch, read_epoch
from ledger.registry.records import (
    Company,
    ConsensusKey,
    Node,
    RootPolicy,
    User,
    company_id,
    node_id,
    user_id,
)
from ledger.state import MemoryState
from ledger.transition import Runtime, next_due_ms
from node.core.epochs import epoch_spec
from node.core.programs import Programs
from simulator.disk import StoredBlock
from simulator.errors import InvalidScenario
from simulator.execution import StubRuntime

NAMES: Final = (
    "acme", "bolt", "corex", "delta", "elmar", "fjord", "gries", "halle", "inlet", "jonas", "kappa", "lumen",
    "moss", "norde", "orion", "pavo", "quay", "roble", "stern", "tarn", "ulme", "vento", "weser", "xylo", "ypsi",
)  # fmt: skip
"""Company names; further companies are numbered."""
CURRENCIES: Final = (("CNY", 2), ("EUR", 2), ("JPY", 0))
STAFF: Final = ("preparer", "approver", "treasurer", "risk_officer")
"""People of each company, one user for each role."""
GOVERNOR: Final = "governor"
DEPUTY: Final = "deputy"
"""Two more people with the role `governor`, in networks that vote; others keep the genesis they always had."""
ROLES: Final = ("trader", "settlement_bank")
NOTES: Final = "notes"
NETWORK: Final = "simulation"
START_MS: Final = 1_790_582_400_000
"""2026-09-28T08:00:00Z, when genesis says the network began."""


@dataclass(frozen=True, slots=True)
class Person:
    """A user and the key it signs with."""

    user_id: str
    company: str
    role: str
    key: SigningKey


@dataclass(frozen=True, slots=True)
class Firm:
    """A company: `index` is its member index in epoch 0, by company id (P5); joiners go on from n."""

    name: str
    company_id: str
    index: int
    consensus_key: SigningKey
    staff: dict[str, Person]
    root_key: SigningKey
    next_key: SigningKey
    """The consensus key it changes to, if the scenario lets it (S23)."""


@dataclass(frozen=True, slots=True)
class League:
    """Everything that is fixed before a run begins."""

    document: GenesisDocument
    chain_id: bytes
    firms: tuple[Firm, ...]
    epoch: EpochSpec
    params: Params
    genesis: StoredBlock
    certificate: CommitCertificate
    state: MemoryState
    runtime: Programs | StubRuntime
    joiners: tuple[Firm, ...] = ()
    """Companies that genesis does not know: their nodes run from the start and follow as guests until they join."""

    @property
    def everyone(self) -> tuple[Firm, ...]:
        """All companies by index, those of genesis first."""
        return self.firms + self.joiners

    def config_at(self, index: int, view: MemoryState, height: int) -> ReplicaConfig:
        """Return the configuration of a company's node whose highest durable block is `height`, from its state."""
        company = self.everyone[index].company_id
        now = epoch_at(view, height + 1)
        last = last_epoch(view)
        before = read_epoch(view, now.epoch - 1) if now.epoch else None
        member = now.member(company)
        return replace(
            self.config(index),
            index=None if member is None else now.companies.index(company),
            epoch=epoch_spec(now),
            company_id=company,
            former=None if before is None else epoch_spec(before),
            coming=epoch_spec(last) if last.epoch > now.epoch else None,
            awaited=self.runtime.next_activation(view, height) if isinstance(self.runtime, Programs) else 0,
            due_ms=next_due_ms(view, self.runtime_at(view, height + 1), self.document.utc_offset_min),
            fresh_key=member is not None and before is not None and _key_in(before, company) != member.consensus_key,
        )

    def runtime_at(self, view: MemoryState, height: int) -> Runtime:
        """Return what runs in a block of `height` over `view`."""
        return self.runtime.at(view, height) if isinstance(self.runtime, Programs) else self.runtime

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Consensus keys by member index."""
        return tuple(member.consensus_key for member in self.epoch.members)

    def config(self, index: int) -> ReplicaConfig:
        return ReplicaConfig(
            index=index if index < len(self.firms) else None,
            chain_id=self.chain_id,
            genesis_id=self.genesis.ref.block_id,
            epoch=self.epoch,
            params=self.params,
            journal_id=sha256(self.everyone[index].company_id.encode()).digest()[:16],
        )

    def by_name(self, name: str) -> Firm:
        for firm in self.everyone:
            if firm.name == name:
                return firm
        known = ", ".join(firm.name for firm in self.everyone)
        raise InvalidScenario("node", f"no company is called {name!r}; there are {known}")


def _key_in(epoch: EpochRecord, company: str) -> bytes:
    """Return the key a company votes with in an epoch; empty if it does not."""
    member = epoch.member(company)
    return b"" if member is None else member.consensus_key


def company_names(count: int) -> tuple[str, ...]:
    """Return `count` names."""
    return tuple(NAMES[i] if i < len(NAMES) else f"firm{i:03d}" for i in range(count))


def contract_sources() -> tuple[tuple[str, bytes], ...]:
    """Return the contracts of a simulated chain: the library, and the notes of the workload `kv`."""
    return (*sources(), (NOTES, notes_source()))


@lru_cache(maxsize=1)
def programs() -> Programs:
    """Return what links the contracts of simulated chains; the first ones are compiled once per process."""
    return Programs(dict(CURRENCIES))


@lru_cache(maxsize=1)
def notes_source() -> bytes:
    """Return the text of the contract that the workload `kv` writes through."""
    return files("simulator.workloads").joinpath(f"{NOTES}.contract").read_bytes()


@lru_cache(maxsize=16)
def found(
    names: tuple[str, ...], params: Params, stub: bool, governed: bool = False, joiners: tuple[str, ...] = ()
) -> League:
    """Build the league of `names`; `stub` leaves the contracts out (fidelity `abstract`), `governed` brings people who
    vote on members. `joiners` have nodes, and no place in genesis."""
    made = sorted(
        (_found_company(number, governed) for number in range(len(names))), key=lambda firm: firm[0].company_id
    )
    contracts = () if stub else contract_sources()
    document = GenesisDocument(
        version=1,
        network=NETWORK,
        production=False,
        time_ms=START_MS,
        utc_offset_min=0,
        params=params,
        currencies=CURRENCIES,
        companies=tuple(company for company, *_ in made),
        nodes=tuple(node for _, node, *_ in made),
        users=tuple(sorted((user for _, _, users, *_ in made for user in users), key=lambda user: user.user_id)),
        proofs=(),
        contracts=tuple(ContractSource(name, source) for name, source in contracts),
    )
    runtime: Programs | StubRuntime = StubRuntime() if stub else programs()
    meta: Sequence[tuple[str, int, bytes, bytes]] = ()
    if isinstance(runtime, Programs):
        codes = runtime.compiled([dict(contracts)])
        meta = [
            (name, interface.version, interface.code_id, interface.ir_hash)
            for name, interface in ((name, codes[name].interface) for name, _ in contracts)
        ]
    state = genesis_state(document, meta)
    header, header_bytes, identity = genesis_block(document, state)
    identity_of_chain = chain_id(document)
    epoch = epoch_spec(epoch_at(state, 1))
    certificate = genesis_certificate(identity)
    ref = BlockRef(0, identity, header.time_ms, 0, 0)
    places = membership(epoch, identity_of_chain, params.rotate_every).rotation
    firms = tuple(
        Firm(names[places.index(index)], company.company_id, index, key, staff, root, _next_key(key))
        for index, (company, _, _, key, root, staff) in enumerate(made)
    )
    newcomers = tuple(
        Firm(name, company.company_id, index, key, staff, root, _next_key(key))
        for index, name in enumerate(joiners, len(firms))
        for company, _, _, key, root, staff in (_found_company(index, governed),)
    )
    return League(
        document=document,
        chain_id=identity_of_chain,
        firms=firms,
        epoch=epoch,
        params=params,
        genesis=StoredBlock(ref, header, header_bytes, (), (), certificate),
        certificate=certificate,
        state=state,
        runtime=runtime,
        joiners=newcomers,
    )


def _key(name: str, use: str) -> SigningKey:
    return SigningKey(sha256(f"simulation/{name}/{use}".encode()).digest())


def _next_key(key: SigningKey) -> SigningKey:
    return _key(key.public_key.hex(), "next consensus")


@lru_cache(maxsize=1024)
def found_key(public_key: bytes) -> SigningKey:
    """Return the consensus key behind a public one, of a company whose league was founded in this process.

    Only for what its owner signs elsewhere: attackers never sign with it on the chain of their run.
    """
    return _CONSENSUS_KEYS[public_key]


_CONSENSUS_KEYS: dict[bytes, SigningKey] = {}


@lru_cache(maxsize=1024)
def _found_company(
    number: int, governed: bool
) -> tuple[Company, Node, tuple[User, ...], SigningKey, SigningKey, dict[str, Person]]:
    """Return a company with its node, users, consensus key, root key and people."""
    name = company_names(number + 1)[number]
    root = _key(name, "root")
    policy = RootPolicy(1, (root.public_key,))
    identity = company_id(policy)
    consensus = _key(name, "consensus")
    _CONSENSUS_KEYS[consensus.public_key] = consensus
    company = Company(identity, "active", ROLES, policy, (), bytes(32), 0, 1)
    node = Node(
        node_id(consensus.public_key),
        identity,
        "member",
        (ConsensusKey(consensus.public_key, 0),),
        (),
        bytes(32),
        "active",
    )
    users: list[User] = []
    staff: dict[str, Person] = {}
    for role in (*STAFF, GOVERNOR, DEPUTY) if governed else STAFF:
        key = _key(name, role)
        person = user_id(identity, key.public_key)
        may = GOVERNOR if role == DEPUTY else role
        users.append(User(person, identity, (may,), key.public_key, 0, "active"))
        staff[role] = Person(person, identity, role, key)
    return company, node, tuple(users), consensus, root, staff
