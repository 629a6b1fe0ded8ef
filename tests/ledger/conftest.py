"""A founding document with four companies, and a runtime whose programs are written in the arguments of the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ledger.block import BlockRef, Header, list_root
from ledger.certificate import CommitCertificate, Vote, bitmap, certificate_hash, genesis_certificate, quorum
from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.crypto.hashing import Tag, signing_digest
from ledger.genesis import (
    ContractSource,
    GenesisDocument,
    GenesisFile,
    arranged,
    chain_id,
    check_genesis,
    code_id,
    epoch_members,
    genesis_block,
    genesis_state,
    prove_key,
    sign_genesis,
)
from ledger.params import Params
from ledger.receipt import Abort, ContractEvent
from ledger.registry.records import (
    Company,
    ConsensusKey,
    Node,
    RootPolicy,
    TlsPin,
    User,
    company_id,
    node_id,
    user_id,
)
from ledger.state import MemoryState
from ledger.transaction import SignerRef, Transaction, TxBody, decode_transaction, sign_transaction
from ledger.transition import BlockResult, TransactionHost, apply_block

NAMES = ("maker-works", "steel-supply", "paper-supply", "trade-bank")
ROLES = (("trader",), ("trader",), ("trader",), ("trader", "settlement_bank"))
PEOPLE = ("preparer", "approver", "treasurer", "node_operator")
START_MS = 1_780_000_000_000
SOURCE = b"contract sample version 1 {}"


def key(text: str) -> SigningKey:
    return SigningKey(text.encode().ljust(32, b".")[:32])


@dataclass(frozen=True, slots=True)
class ScriptOutcome:
    abort: Abort | None
    gas_used: int
    events: tuple[ContractEvent, ...]
    result: Any
    version: int


class ScriptRuntime:
    """Each argument of a call is one step: ["put", key, value], ["delete", key], ["ask", signer, role, company, apart],
    ["emit", name], ["answer"] (day, height, signers), ["fail", code]."""

    def execute(
        self, contract: str, method: str, args: tuple[Any, ...], host: TransactionHost, gas_limit: int
    ) -> ScriptOutcome:
        events: list[ContractEvent] = []
        result: Any = None
        for step in args:
            match step:
                case ["put", name, value]:
                    host.put(name, value)
                case ["delete", name]:
                    host.delete(name)
                case ["emit", name]:
                    events.append(ContractEvent(contract, name, (host.height,)))
                case ["answer"]:
                    result = [host.day, host.height, [list(signer) for signer in host.signers]]
                case ["has", company, role]:
                    result = host.company_has(company, role)
                case ["ask", signer, role, company, apart]:
                    result = host.decide(signer, role, company, tuple(apart))
                case ["fail", code]:
                    abort = Abort(code, "", contract, 1, 7, "as asked")
                    return ScriptOutcome(abort, len(args), (), None, 1)
        return ScriptOutcome(None, len(args), tuple(events), result, 1)


@dataclass(frozen=True)
class Sample:
    """A network whose keys are all at hand. `people[company][role]` is (user id, key)."""

    document: GenesisDocument
    file: GenesisFile
    chain: bytes
    companies: tuple[str, ...]
    people: dict[str, dict[str, tuple[str, SigningKey]]]
    roots: dict[str, tuple[SigningKey, ...]]
    consensus: dict[str, SigningKey]
    state: MemoryState
    header: Header
    header_bytes: bytes
    block_id: bytes

    @property
    def runtime(self) -> ScriptRuntime:
        return ScriptRuntime()

    @property
    def member_keys(self) -> tuple[bytes, ...]:
        return tuple(public for _, public in epoch_members(self.document))

    def transaction(
        self,
        args: tuple[Any, ...] = (),
        *,
        nonce: int = 1,
        company: int = 0,
        roles: Sequence[str] = ("preparer", "approver"),
        capacities: Sequence[str] = ("maker", "checker"),
        contract: str = "sample",
        keys: Sequence[SigningKey] | None = None,
        acting_for: str = "",
    ) -> Transaction:
        """Return a signed call by people of one company."""
        name = self.companies[company]
        people = [self.people[name][role] for role in roles]
        refs = tuple(
            SignerRef(user, capacity, acting_for or name)
            for (user, _), capacity in zip(people, capacities, strict=False)
        )
        body = TxBody(1, refs, nonce, 1_000, contract, "run", args, 50_000)
        envelope = sign_transaction(body, keys or [held for _, held in people], self.chain)
        return decode_transaction(envelope, self.chain)

    def block_on(
        self, state: MemoryState, parent: BlockRef, transactions: Sequence[Transaction], exec_root: bytes
    ) -> tuple[Header, bytes]:
        """Return a header over `transactions` that names the execution of its parent."""
        header = Header(
            version=1,
            chain_id=self.chain,
            epoch=0,
            height=parent.height + 1,
            parent_id=parent.block_id,
            tx_root=list_root([tx.tx_id for tx in transactions]),
            tx_count=len(transactions),
            size_bytes=sum(len(tx.envelope) for tx in transactions),
            time_ms=START_MS + 1_000 * (parent.height + 1),
            proposer=0,
            exec_height=state.height,
            exec_root=exec_root,
            members_hash=self.header.members_hash,
            next_members_hash=self.header.next_members_hash,
            evidence_root=self.header.evidence_root,
            last_cert_height=parent.height,
            last_cert_hash=certificate_hash(genesis_certificate(self.block_id)),
            params_hash=self.header.params_hash,
        )
        return header, encode(header)

    def certify(self, height: int, block: bytes) -> CommitCertificate:
        """Return the commit certificate of q members over a block."""
        vote = Vote(0, 0, height, block)
        digest = signing_digest(Tag.SIG_COMMIT, self.chain, encode(vote))
        members = epoch_members(self.document)
        signers = range(quorum(len(members)))
        signatures = tuple(self.consensus[members[index][0]].sign(digest) for index in signers)
        return CommitCertificate(vote, bitmap(tuple(signers), len(members)), signatures)

    def run(self, state: MemoryState, *transactions: Transaction) -> tuple[MemoryState, BlockResult]:
        """Return the state after one more block, and its result."""
        parent = BlockRef(state.height, self.block_id, START_MS, state.height, state.height)
        header, _ = self.block_on(state, parent, transactions, state.exec_root)
        result = apply_block(state, header, transactions, ScriptRuntime(), self.document.utc_offset_min)
        after = state.apply(result.writes, result.nodes, result.height, result.state_root, result.exec_root)
        return after, result


def make_document(production: bool = False, count: int = 4) -> tuple[GenesisDocument, Sample]:
    companies: list[Company] = []
    nodes: list[Node] = []
    users: list[User] = []
    proofs = []
    people: dict[str, dict[str, tuple[str, SigningKey]]] = {}
    roots: dict[str, tuple[SigningKey, ...]] = {}
    consensus: dict[str, SigningKey] = {}
    names: list[str] = []
    for name, roles in zip(NAMES[:count], ROLES[:count], strict=True):
        held = tuple(sorted((key(f"{name} root {i}") for i in range(3)), key=lambda item: item.public_key))
        policy = RootPolicy(2, tuple(item.public_key for item in held))
        cid = company_id(policy)
        names.append(cid)
        roots[cid] = held
        companies.append(Company(cid, "active", roles, policy, (), bytes(32), 0, 1))
        proofs += [prove_key("root", cid, item) for item in held]
        vote = key(f"{name} consensus")
        consensus[cid] = vote
        nid = node_id(vote.public_key)
        pin = TlsPin(bytes(32), b"certificate of " + name.encode())
        nodes.append(Node(nid, cid, "member", (ConsensusKey(vote.public_key, 0),), (pin,), bytes(32), "active"))
        proofs.append(prove_key("consensus", nid, vote))
        people[cid] = {}
        for role in PEOPLE:
            person = key(f"{name} {role}")
            uid = user_id(cid, person.public_key)
            people[cid][role] = (uid, person)
            users.append(User(uid, cid, (role,), person.public_key, 0, "active"))
            proofs.append(prove_key("user", uid, person))
    document = arranged(
        GenesisDocument(
            1,
            "sample network",
            production,
            START_MS,
            480,
            Params(),
            (("CNY", 2), ("EUR", 2)),
            tuple(companies),
            tuple(nodes),
            tuple(users),
            tuple(proofs),
            (ContractSource("sample", SOURCE),),
        )
    )
    signatures = tuple(sign_genesis(document, cid, held[i]) for cid, held in roots.items() for i in range(2))
    file = GenesisFile(encode(document), signatures)
    state = genesis_state(document, [("sample", 1, code_id(SOURCE), bytes(32))])
    header, raw, block = genesis_block(document, state)
    return document, Sample(
        document, file, chain_id(document), tuple(names), people, roots, consensus, state, header, raw, block
    )


@pytest.fixture(scope="session")
def sample() -> Sample:
    document, network = make_document()
    assert check_genesis(network.file) == document
    return network


@pytest.fixture(scope="session")
def production() -> Sample:
    return make_document(production=True)[1]


@pytest.fixture(scope="session")
def founders() -> Callable[..., tuple[GenesisDocument, Sample]]:
    """Return the function that assembles a founding document."""
    return make_document
