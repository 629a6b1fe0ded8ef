"""A league whose companies have governors: every key at hand, blocks made one call at a time, state kept between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from ledger.block import BlockRef, Header, list_root
from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.genesis import (
    ContractSource,
    GenesisDocument,
    GenesisFile,
    KeyProof,
    arranged,
    chain_id,
    check_genesis,
    code_id,
    genesis_block,
    genesis_state,
    prove_key,
    sign_genesis,
)
from ledger.governance.keys import (
    endorse_digest,
    join_digest,
    leave_digest,
    possession_digest,
    prove_possession,
    ready_digest,
    rotate_digest,
)
from ledger.governance.records import (
    AddCompany,
    FirstUser,
    JoinRequest,
    Leave,
    RotateConsensus,
)
from ledger.params import Params
from ledger.receipt import Receipt
from ledger.registry.epochs import EpochRecord
from ledger.registry.lookup import read_company
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
from ledger.transition import BlockResult, Runtime, apply_block
from tests.ledger.conftest import ScriptRuntime

START_MS = 1_780_000_000_000
PEOPLE = {
    "governor": ("governor",),
    "deputy": ("governor",),
    "admin": ("company_admin",),
    "preparer": ("preparer",),
    "approver": ("approver",),
}
SOURCE = b"contract sample version 1 {}"


def key(text: str) -> SigningKey:
    """Return the key grown from a text, the same in every run."""
    return SigningKey(text.encode().ljust(32, b".")[:32])


@dataclass(frozen=True)
class Firm:
    """A company with its keys; `name` is a letter or word, `company_id` what the ledger calls it."""

    name: str
    roles: tuple[str, ...] = ("trader",)

    @property
    def root_keys(self) -> tuple[SigningKey, ...]:
        return tuple(sorted((key(f"{self.name} root {i}") for i in range(3)), key=lambda item: item.public_key))

    @property
    def root(self) -> RootPolicy:
        return RootPolicy(2, tuple(item.public_key for item in self.root_keys))

    @property
    def company_id(self) -> str:
        return company_id(self.root)

    @property
    def consensus(self) -> SigningKey:
        return key(f"{self.name} consensus")

    @property
    def node_id(self) -> str:
        return node_id(self.consensus.public_key)

    @property
    def pin(self) -> TlsPin:
        return TlsPin(self.name.encode().ljust(32, b"-"), b"certificate of " + self.name.encode())

    def person(self, role: str) -> tuple[str, SigningKey]:
        held = key(f"{self.name} {role}")
        return user_id(self.company_id, held.public_key), held

    def signed(self, digest: bytes, count: int = 2) -> tuple[tuple[bytes, bytes], ...]:
        """Return `count` root signatures over a digest."""
        return tuple((item.public_key, item.sign(digest)) for item in self.root_keys[:count])


@dataclass
class League:
    """A chain of one-call blocks over a state. `firms` are the founders in the order of their company ids."""

    firms: list[Firm]
    document: GenesisDocument
    state: MemoryState
    header: Header
    block_id: bytes
    runtime: Runtime = field(default_factory=ScriptRuntime)
    time_ms: int = START_MS
    last: BlockResult | None = None
    decided: list[EpochRecord] = field(default_factory=list)
    _nonces: dict[str, int] = field(default_factory=dict)

    @property
    def chain(self) -> bytes:
        return chain_id(self.document)

    @property
    def height(self) -> int:
        """The height of the next block."""
        return self.state.height + 1

    def call(
        self,
        firm: Firm,
        method: str,
        *args: Any,
        roles: Sequence[str] = ("governor", "deputy"),
        capacities: Sequence[str] = ("maker", "checker"),
        contract: str = "governance",
        gas_limit: int = 200_000,
        acting_for: str = "",
        lend: Mapping[str, Firm] | None = None,
    ) -> Transaction:
        """Return the signed call of two people of a firm; `lend` takes people from another firm."""
        people = [((lend or {}).get(role, firm)).person(role) for role in roles]
        refs = tuple(
            SignerRef(name, capacity, acting_for or firm.company_id)
            for (name, _), capacity in zip(people, capacities, strict=True)
        )
        first = people[0][0]
        self._nonces[first] = nonce = self._nonces.get(first, 0) + 1
        body = TxBody(1, refs, nonce, self.height + 1_000, contract, method, args, gas_limit)
        return decode_transaction(sign_transaction(body, [held for _, held in people], self.chain), self.chain)

    def block(self, *transactions: Transaction, evidence: Sequence[bytes] = ()) -> tuple[Receipt, ...]:
        """Execute one more block and return its receipts."""
        self.time_ms += 1_000
        parent = BlockRef(self.state.height, self.block_id, self.time_ms, self.state.height, self.state.height)
        header = msgspec.structs.replace(
            self.header,
            height=parent.height + 1,
            parent_id=parent.block_id,
            tx_root=list_root([tx.tx_id for tx in transactions]),
            tx_count=len(transactions),
            time_ms=self.time_ms,
        )
        result = apply_block(self.state, header, transactions, self.runtime, 0, evidence)
        self.state = self.state.apply(result.writes, result.nodes, result.height, result.state_root, result.exec_root)
        self.last = result
        if result.next_epoch is not None:
            self.decided.append(result.next_epoch)
        return result.receipts

    def do(self, firm: Firm, method: str, *args: Any, **how: Any) -> Receipt:
        """Execute a block with one governance call and return its receipt."""
        (receipt,) = self.block(self.call(firm, method, *args, **how))
        return receipt

    def propose(self, firm: Firm, kind: str, payload: msgspec.Struct, lifetime: int = 500, **how: Any) -> Receipt:
        return self.do(firm, "propose", kind, encode(payload), self.height + lifetime, **how)

    def agree(self, kind: str, payload: msgspec.Struct, voters: Sequence[Firm] | None = None) -> Receipt:
        """Propose by the first voter, approve by the others until it is accepted; return the last receipt."""
        firms = list(voters or self.firms)
        receipt = self.propose(firms[0], kind, payload)
        proposal = receipt.tx_id
        for firm in firms[1:]:
            if receipt.status or receipt.result != "open":
                break
            receipt = self.do(firm, "vote", proposal, True)
        return receipt

    def advance(self, height: int) -> None:
        """Execute empty blocks until `height` is the next one."""
        while self.height < height:
            self.block()

    def company(self, firm: Firm) -> Company:
        found = read_company(self.state, firm.company_id)
        assert found is not None
        return found

    def request(self, firm: Firm, secret: bytes, **changes: Any) -> JoinRequest:
        """Return a join request of `firm`, with proofs made for what it says after `changes`."""
        users = tuple(FirstUser(roles, firm.person(role)[1].public_key) for role, roles in PEOPLE.items())
        request = JoinRequest(
            secret, firm.root, firm.consensus.public_key, (firm.pin,), bytes(32), (), bytes(32), users, ()
        )
        request = msgspec.structs.replace(request, **changes)
        if "proofs" not in changes:
            request = msgspec.structs.replace(request, proofs=self.proofs(firm))
        return request

    def proofs(self, firm: Firm) -> tuple[KeyProof, ...]:
        held = [("root", firm.company_id, item) for item in firm.root_keys]
        held.append(("consensus", firm.node_id, firm.consensus))
        held += [("user", *firm.person(role)) for role in PEOPLE]
        made = [prove_possession(self.chain, kind, owner, item) for kind, owner, item in held]
        return tuple(sorted(made, key=lambda proof: (proof.kind, proof.owner, proof.public_key)))

    def join(self, firm: Firm, request: JoinRequest) -> AddCompany:
        raw = encode(request)
        return AddCompany(raw, firm.signed(join_digest(self.chain, raw)))

    def admit(
        self, firm: Firm, sponsor: Firm | None = None, voters: Sequence[Firm] | None = None, tries: int = 0
    ) -> Receipt:
        """Invite, propose and accept a new company; return the receipt of the last vote. Each try has its own secret."""
        sponsor = sponsor or self.firms[0]
        secret = encode(f"{firm.name}{tries or ''}").ljust(32, b"i")[:32]
        receipt = self.do(sponsor, "invite", secret, list(firm.roles), self.height + 500)
        assert receipt.status == 0, receipt.abort
        others = [item for item in voters or self.firms if item != sponsor]
        return self.agree("add", self.join(firm, self.request(firm, secret)), [sponsor, *others])

    def ready(self, firm: Firm, held: SigningKey | None = None, height: int | None = None) -> Receipt:
        at = self.height - 1 if height is None else height
        proof = (held or firm.consensus).sign(ready_digest(self.chain, firm.node_id, at, self.block_id))
        return self.do(firm, "ready", firm.node_id, at, self.block_id, proof)

    def leave(self, firm: Firm, count: int = 2) -> Receipt:
        signatures = firm.signed(leave_digest(self.chain, firm.company_id), count)
        return self.propose(firm, "leave", Leave(firm.company_id, signatures))

    def endorse(self, firm: Firm, proposal: bytes) -> Receipt:
        digest = endorse_digest(self.chain, proposal, firm.company_id)
        return self.do(firm, "endorse", proposal, [list(pair) for pair in firm.signed(digest)])

    def rotation(self, firm: Firm, new: SigningKey, *, old: SigningKey | None) -> RotateConsensus:
        """Return the payload that gives a node a new key, signed by the old key or, without it, by root keys."""
        proof = new.sign(possession_digest(self.chain, "consensus", firm.node_id, new.public_key))
        digest = rotate_digest(self.chain, firm.node_id, new.public_key)
        signatures = firm.signed(digest) if old is None else ((old.public_key, old.sign(digest)),)
        return RotateConsensus(firm.node_id, new.public_key, proof, signatures)


def outcome(receipt: Receipt) -> tuple[str, str]:
    """Return (code, rule) of a refusal, or ("ok", result) in words."""
    return (receipt.abort[0].code, receipt.abort[0].reason) if receipt.abort else ("ok", str(receipt.result))


def events(receipt: Receipt) -> list[str]:
    return [event.name for event in receipt.events]


def found_league(
    count: int = 4,
    production: bool = True,
    contracts: Sequence[tuple[str, bytes, int, bytes]] = (("sample", SOURCE, 1, bytes(32)),),
    roles: Mapping[int, tuple[str, ...]] | None = None,
) -> League:
    """Return a league of `count` founders; `contracts` are (name, source, version, IR hash)."""
    firms = [Firm(f"firm {i}", (roles or {}).get(i, ("trader",))) for i in range(count)]
    companies, nodes, users, proofs = [], [], [], []
    for firm in firms:
        cid = firm.company_id
        companies.append(Company(cid, "active", firm.roles, firm.root, (), bytes(32), 0, 1))
        proofs += [prove_key("root", cid, item) for item in firm.root_keys]
        keys = (ConsensusKey(firm.consensus.public_key, 0),)
        nodes.append(Node(firm.node_id, cid, "member", keys, (firm.pin,), bytes(32), "active"))
        proofs.append(prove_key("consensus", firm.node_id, firm.consensus))
        for role, held_roles in PEOPLE.items():
            if role in ("preparer", "approver") and "trader" not in firm.roles:
                continue
            name, held = firm.person(role)
            users.append(User(name, cid, held_roles, held.public_key, 0, "active"))
            proofs.append(prove_key("user", name, held))
        if "regulator" in firm.roles:
            name, held = firm.person("officer")
            users.append(User(name, cid, ("regulator_officer",), held.public_key, 0, "active"))
            proofs.append(prove_key("user", name, held))
    sources = tuple(ContractSource(name, source) for name, source, _, _ in contracts)
    document = arranged(
        GenesisDocument(
            1,
            "league",
            production,
            START_MS,
            0,
            Params(),
            (("CNY", 2), ("EUR", 2)),
            tuple(companies),
            tuple(nodes),
            tuple(users),
            tuple(proofs),
            sources,
        )
    )
    signatures = tuple(sign_genesis(document, firm.company_id, firm.root_keys[i]) for firm in firms for i in range(2))
    assert check_genesis(GenesisFile(encode(document), signatures)) == document
    meta = [(name, version, code_id(source), ir_hash) for name, source, version, ir_hash in contracts]
    state = genesis_state(document, meta)
    header, _, block = genesis_block(document, state)
    firms.sort(key=lambda firm: firm.company_id)
    return League(firms, document, state, header, block)


@pytest.fixture
def league() -> League:
    """Return a production league of four founders; every test has its own."""
    return found_league()


@pytest.fixture
def found() -> Callable[..., League]:
    """Return the function that founds a league of another shape."""
    return found_league
