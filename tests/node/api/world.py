"""A small real node for the tests of API and pages: one process, four companies, real contracts, real signatures.

`World` makes a genesis, executes blocks with `ledger.transition` over `MemoryState`, certifies them with the four
consensus keys and answers the whole `NodeService` protocol from that. Nothing of the product is replaced: only
agreement over a network is left out, because there is one machine that signs for all members.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from contracts.library import sources
from contracts.runtime import Program, program
from ledger.block import Header, block_id, list_root
from ledger.certificate import CommitCertificate, Vote, bitmap, certificate_hash, genesis_certificate, quorum
from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey, verify_strict
from ledger.crypto.hashing import Tag, signing_digest
from ledger.errors import InvalidTransaction, Malformed
from ledger.genesis import (
    ContractSource,
    GenesisDocument,
    arranged,
    chain_id,
    epoch_members,
    genesis_block,
    genesis_state,
    prove_key,
)
from ledger.governance.act import GOVERNANCE
from ledger.governance.follow import EpochEnd
from ledger.ids import ZERO_HASH
from ledger.money import ISO_4217
from ledger.params import Params
from ledger.proof import ResultProof, receipt_claim, state_claim
from ledger.receipt import ContractEvent, Receipt
from ledger.registry.lookup import check_nonce, check_signers
from ledger.registry.records import (
    Company,
    ConsensusKey,
    Node,
    RootPolicy,
    TlsPin,
    User,
    company_id,
    legal_commitment,
    node_id,
    user_id,
)
from ledger.state import MemoryState, StateView
from ledger.transaction import SignerRef, Transaction, TxBody, check_expiry, decode_transaction, sign_transaction
from ledger.transition import apply_block
from node.access.feed import GOVERNANCE_FIELDS
from node.api.ports import (
    BlockData,
    CertifiedProof,
    ConsensusStatus,
    DocumentFacts,
    Field,
    HeadData,
    MemberStatus,
    NotYet,
    Step,
    TransactionData,
    TxState,
)
from node.api.sessions import SessionStore
from node.api.tokens import DAY_MS, TokenStore
from node.core.effects import SubmitResult
from node.core.programs import Parked, Programs
from node.core.rehearsal import Rehearsal, ask, rehearse
from node.documents.taking import DocumentRefused, DocumentTaken, DocumentWish, SealedOriginal
from node.driver.line import Line
from node.review.wire import Task, Verdict
from node.review.worker import judge
from node.store.rows import EVERYBODY, parties_of

START_MS = 1_772_700_000_000
"""2026-03-05 08:40 UTC."""
NAMES = ("Acme GmbH", "Bolt SAS", "Corex s.r.o.", "Delta Bank Oy")
ROLES = {
    "preparer": ("preparer",),
    "approver": ("approver",),
    "treasurer": ("treasurer",),
    "risk": ("risk_officer",),
    "admin": ("company_admin",),
    "operator": ("node_operator",),
    "reader": ("reader",),
    "governor": ("governor",),
}


@cache
def library() -> Program:
    return program(sources(), dict(ISO_4217))


@cache
def programs() -> Programs:
    """Links the contracts of every world; those of genesis are compiled once."""
    return Programs(dict(ISO_4217))


def seed(*parts: object) -> bytes:
    from hashlib import sha256

    return sha256("/".join(str(part) for part in parts).encode()).digest()


@dataclass(frozen=True)
class Person:
    user_id: str
    company_id: str
    key: SigningKey


@dataclass(frozen=True)
class Row:
    height: int
    position: int
    index: int
    tx_id: bytes
    event: ContractEvent


class World:
    """Implements `node.api.ports.NodeService`; `company` says whose node this is (0 is Acme)."""

    def __init__(self, company: int = 0, *, network: str = "test", names: Sequence[str] = NAMES) -> None:
        self.now_ms = START_MS + 60_000
        roots = [SigningKey(seed("root", i)) for i in range(4)]
        policies = [RootPolicy(1, (key.public_key,)) for key in roots]
        self.companies = [company_id(policy) for policy in policies]
        self.consensus_keys = [SigningKey(seed("consensus", i)) for i in range(4)]
        self.people_keys: dict[tuple[int, str], Person] = {}
        users = []
        for i in range(4):
            for role, roles in ROLES.items():
                key = SigningKey(seed("user", i, role))
                person = Person(user_id(self.companies[i], key.public_key), self.companies[i], key)
                self.people_keys[i, role] = person
                users.append(User(person.user_id, person.company_id, roles, key.public_key, 0, "active"))
        document = arranged(
            GenesisDocument(
                version=1,
                network=network,
                production=False,
                time_ms=START_MS,
                utc_offset_min=60,
                params=Params(),
                currencies=tuple(sorted(ISO_4217.items())),
                companies=tuple(
                    Company(
                        self.companies[i],
                        "active",
                        ("trader",) if i < 3 else ("trader", "settlement_bank"),
                        policies[i],
                        (),
                        legal_commitment(bytes(16), names[i], []),
                        0,
                        1,
                    )
                    for i in range(4)
                ),
                nodes=tuple(
                    Node(
                        node_id(key.public_key),
                        self.companies[i],
                        "member",
                        (ConsensusKey(key.public_key, 0),),
                        (TlsPin(seed("spki", i), b"certificate"),),
                        seed("endpoint", i),
                        "active",
                    )
                    for i, key in enumerate(self.consensus_keys)
                ),
                users=tuple(users),
                proofs=tuple(
                    [prove_key("root", self.companies[i], key) for i, key in enumerate(roots)]
                    + [prove_key("consensus", node_id(key.public_key), key) for key in self.consensus_keys]
                    + [prove_key("user", person.user_id, person.key) for person in self.people_keys.values()]
                ),
                contracts=tuple(ContractSource(name, source) for name, source in sources()),
            )
        )
        self.document = document
        self.program = library()
        meta = [
            (name, face.version, face.code_id, face.ir_hash)
            for name, face in (
                (contract.name, self.program.interfaces[contract.name]) for contract in document.contracts
            )
        ]
        state = genesis_state(document, meta)
        header, raw, identity = genesis_block(document, state)
        self.chain = chain_id(document)
        self.members = epoch_members(document)
        self.key_of = {key.public_key: key for key in self.consensus_keys}
        self.states: list[MemoryState] = [state]
        self.roots: list[tuple[bytes, bytes]] = [(state.state_root, list_root(()))]
        self.blocks: list[BlockData] = [
            BlockData(
                block_id=identity,
                header=header,
                header_bytes=raw,
                certificate=genesis_certificate(identity),
                transactions=(),
                receipts=(),
            )
        ]
        self.places: dict[bytes, tuple[int, int]] = {}
        self.pending: dict[bytes, Transaction] = {}
        self.log: list[Row] = []
        self.grown = asyncio.Condition()
        self.names_by_index = names
        self.own = company
        self.token_store = TokenStore(None)
        self.session_store = SessionStore()
        self.cut: set[int] = set()
        self.changes: dict[str, Any] = {}
        self.facts: dict[str, DocumentFacts] = {}
        self.originals: dict[bytes, SealedOriginal] = {}
        self.pack: tuple[int, bytes] | None = None
        self.durable_lag = 0
        self.kept_heights = 0
        self.auto = True
        self.places_left = 2_000
        self.line = Line(lambda: self.places_left)
        self.nonces: dict[str, int] = {}
        self.reasons: tuple[str, ...] = ()

    # -- making things happen

    def sign(self, signers: Sequence[tuple[int, str]], contract: str, method: str, *args: Any, **changes: Any) -> bytes:
        """Return an envelope signed by (company, role) people; the first is the maker and owns the nonce."""
        people = [self.people_keys[signer] for signer in signers]
        first = people[0].user_id
        self.nonces[first] = self.nonces.get(first, 0) + 1
        body = TxBody(
            version=1,
            signers=tuple(
                SignerRef(person.user_id, "maker" if at % 2 == 0 else "checker", person.company_id)
                for at, person in enumerate(people)
            ),
            nonce=self.nonces[first],
            valid_until_height=self.height + 100,
            contract=contract,
            method=method,
            args=tuple(args),
            gas_limit=200_000,
        )
        for name, value in changes.items():
            body = type(body)(**{**{field: getattr(body, field) for field in body.__struct_fields__}, name: value})
        return sign_transaction(body, [person.key for person in people], self.chain)

    def act(self, signers: Sequence[tuple[int, str]], contract: str, method: str, *args: Any) -> Receipt:
        """Sign, put into a block of its own, execute; return the receipt."""
        envelope = self.sign(signers, contract, method, *args)
        tx = decode_transaction(envelope, self.chain)
        self.make_block([tx])
        receipts = self.blocks[-1].receipts
        assert receipts is not None
        return receipts[0]

    def done(self, signers: Sequence[tuple[int, str]], contract: str, method: str, *args: Any) -> Any:
        """Like `act`, and the call must have succeeded; return its result."""
        receipt = self.act(signers, contract, method, *args)
        assert not receipt.abort, receipt.abort[0]
        return receipt.result

    def issue(self, seller: int, buyer: int, minor: int, *, issued: str = "2026-03-01", due: str = "2026-04-01",
              currency: str = "EUR", number: str = "", root: str = "") -> str:  # fmt: skip
        tax = minor * 19 // 119
        return str(
            self.done(
                [(seller, "preparer"), (seller, "approver")], "invoices", "issue",
                self.companies[buyer], number or f"key-{len(self.log)}-{minor}", "380", [currency, minor - tax], [currency, tax],
                [currency, minor], issued, due, root or seed("root", number, len(self.log)).hex(),
            )
        )  # fmt: skip

    def accept(self, buyer: int, invoice: str) -> None:
        self.done([(buyer, "preparer")], "invoices", "receive", invoice)
        self.done([(buyer, "preparer"), (buyer, "approver")], "acceptance", "accept", invoice)

    def pay(self, payer: int, payee: int, invoice: str, minor: int, currency: str = "EUR") -> str:
        payment = str(
            self.done(
                [(payer, "preparer"), (payer, "approver")], "payments", "propose",
                self.companies[payee], self.companies[3], [currency, minor], invoice, [currency, minor],
            )
        )  # fmt: skip
        self.done([(payer, "treasurer")], "payments", "release", payment)
        self.done([(3, "preparer"), (3, "approver")], "payments", "confirm", payment, "2026-03-10", f"line-{payment}")
        return payment

    def make_block(self, transactions: Sequence[Transaction] = ()) -> BlockData:
        """Order, certify and execute one block."""
        parent = self.blocks[-1]
        view = self.states[-1]
        members = parent.header.next_members_hash
        height = parent.header.height + 1
        header = Header(
            version=1,
            chain_id=self.chain,
            epoch=0,
            height=height,
            parent_id=parent.block_id,
            tx_root=list_root([tx.tx_id for tx in transactions]),
            tx_count=len(transactions),
            size_bytes=sum(len(tx.envelope) for tx in transactions),
            time_ms=max(parent.header.time_ms + 1, self.now_ms),
            proposer=height % 4,
            exec_height=height - 1,
            exec_root=view.exec_root,
            members_hash=members,
            next_members_hash=members,
            evidence_root=list_root(()),
            last_cert_height=parent.header.height,
            last_cert_hash=certificate_hash(parent.certificate) if height > 1 else ZERO_HASH,
            params_hash=self.document.params.hash(),
        )
        raw = encode(header)
        identity = block_id(raw)
        result = apply_block(view, header, transactions, programs(), self.document.utc_offset_min)
        self.states.append(view.apply(result.writes, result.nodes, result.height, result.state_root, result.exec_root))
        self.roots.append((result.state_root, result.receipts_root))
        block = BlockData(
            block_id=identity,
            header=header,
            header_bytes=raw,
            certificate=self._certify(Vote(0, 0, height, identity)),
            transactions=tuple(transactions),
            receipts=result.receipts,
        )
        self.blocks.append(block)
        for position, (tx, receipt) in enumerate(zip(transactions, result.receipts, strict=False)):
            self.places[tx.tx_id] = (height, position)
            self.pending.pop(tx.tx_id, None)
            self.log += [Row(height, position, index, tx.tx_id, event) for index, event in enumerate(receipt.events)]
        self.now_ms += 1_000
        return block

    async def grow(self, transactions: Sequence[Transaction] = ()) -> BlockData:
        """Make a block and wake whoever waits for it."""
        block = self.make_block(transactions)
        async with self.grown:
            self.grown.notify_all()
        return block

    def _certify(self, vote: Vote) -> CommitCertificate:
        digest = signing_digest(Tag.SIG_COMMIT, self.chain, encode(vote))
        signers = list(range(quorum(4)))
        return CommitCertificate(
            vote, bitmap(signers, 4), tuple(self.key_of[self.members[i][1]].sign(digest) for i in signers)
        )

    def replace_record(self, key: bytes, value: bytes) -> None:
        """Change a registry record as governance would, in the state of the newest height."""
        view = self.states[-1]
        from ledger import merkle

        root, nodes = merkle.update(view.tree_node, view.state_root, [(key, value)])
        self.states[-1] = view.apply([(key, value)], nodes, view.height, root, view.exec_root)

    def token(self, role: str = "preparer", *, company: int | None = None, scopes: Sequence[str] = ("read", "submit"),
              **changes: Any) -> str:  # fmt: skip
        """Make a token for a person and return its text."""
        person = self.people_keys[self.own if company is None else company, role]
        _, text = self.token_store.create(
            company_id=person.company_id,
            user_id=person.user_id,
            label=role,
            scopes=scopes,
            now_ms=self.now_ms,
            life_ms=changes.pop("life_ms", DAY_MS),
            **changes,
        )
        return text

    # -- NodeService

    @property
    def version(self) -> str:
        return "0.1.0"

    @property
    def protocol(self) -> int:
        return 1

    @property
    def network(self) -> str:
        return self.document.network

    @property
    def production(self) -> bool:
        return False

    @property
    def chain_id(self) -> bytes:
        return self.chain

    @property
    def company_id(self) -> str:
        return self.companies[self.own]

    @property
    def node_id(self) -> str:
        return node_id(self.consensus_keys[self.own].public_key)

    @property
    def started_ms(self) -> int:
        return START_MS

    @property
    def utc_offset_min(self) -> int:
        return self.document.utc_offset_min

    @property
    def currencies(self) -> Mapping[str, int]:
        return ISO_4217

    @property
    def interfaces(self) -> Mapping[str, Any]:
        return programs().at(self.states[-1], self.states[-1].height + 1).interfaces

    def interfaces_at(self, view: StateView) -> Mapping[str, Any]:
        return programs().at(view, view.height + 1).interfaces

    @property
    def max_tx_gas(self) -> int:
        return self.document.params.max_tx_gas

    def steps(self, view: StateView) -> Sequence[Step]:
        return programs().steps(view)

    def index_rows(self, view: StateView, sources: Mapping[str, bytes]) -> int:
        return programs().index_rows(view, sources)

    def parked(self, view: StateView, after: bytes, count: int) -> tuple[Sequence[Parked], bytes]:
        return programs().at(view, view.height + 1).parked(view, after, count)

    async def review(self, sources: Mapping[str, bytes]) -> Verdict:
        """As the process does it, in this one."""
        return judge(
            Task(dict(ISO_4217), (*(dict(step.sources) for step in self.steps(self.states[-1])), dict(sources)))
        )

    def failing_rows(
        self, view: StateView, sources: Mapping[str, bytes], name: str
    ) -> Sequence[tuple[str, bytes, int]]:
        return programs().failing_rows(view, sources, name, 200)

    def rehearse(self, view: StateView, body: TxBody, wall_ms: int) -> Rehearsal:
        linked = programs().at(view, view.height + 1)
        if body.method in linked.interfaces[body.contract].queries:
            return ask(linked, view, body.contract, body.method, body.args, wall_ms, self.utc_offset_min, ISO_4217)
        return rehearse(linked, view, body, self.chain, wall_ms, self.utc_offset_min, ISO_4217)

    def event_fields(self, event: ContractEvent, height: int) -> Sequence[Field] | None:
        if event.contract == GOVERNANCE:
            return GOVERNANCE_FIELDS.get(event.name)
        interface = programs().at(self.states[-1], height).interfaces.get(event.contract)
        schema = None if interface is None else interface.events.get(event.name)
        return None if schema is None else schema.fields

    @property
    def sources(self) -> Mapping[str, bytes]:
        return programs().at(self.states[-1], self.states[-1].height + 1).sources

    @property
    def names(self) -> Mapping[str, str]:
        return dict(zip(self.companies, self.names_by_index, strict=True))

    @property
    def people(self) -> Mapping[str, str]:
        return {
            person.user_id: f"{role.title()} {self.names_by_index[self.own].split()[0]}"
            for (company, role), person in self.people_keys.items()
            if company == self.own
        }

    @property
    def tokens(self) -> TokenStore:
        return self.token_store

    @property
    def sessions(self) -> SessionStore:
        return self.session_store

    @property
    def height(self) -> int:
        return self.blocks[-1].header.height

    def wall_ms(self) -> int:
        return self.now_ms

    def view_at(self, height: int) -> MemoryState | None:
        return self.states[height] if self.oldest_state_height() <= height <= self.view().height else None

    def oldest_state_height(self) -> int:
        return self.view().height - self.kept_heights

    def view(self) -> MemoryState:
        return self.states[-1]

    def epoch_ends(self) -> tuple[EpochEnd, ...]:
        return ()

    def consensus(self) -> ConsensusStatus:
        members = tuple(
            MemberStatus(
                index=i,
                company_id=company,
                node_id=node_id(key),
                is_self=company == self.company_id,
                connected=company != self.company_id and i not in self.cut,
                address="" if company == self.company_id else f"10.0.{i}.4:7421",
                problem="timed out" if i in self.cut else "",
                view=0,
                height=self.height if i not in self.cut else max(0, self.height - 2),
                executed_height=self.height,
                mode="normal",
                last_heard_ms=self.now_ms - (51_000 if i in self.cut else 400),
                round_trip_ms=12,
            )
            for i, (company, key) in enumerate(self.members)
        )
        status = ConsensusStatus(
            wall_ms=self.now_ms,
            epoch=0,
            view=0,
            mode="normal",
            halt_reason="",
            vote_problem="",
            height=self.height,
            block_id=self.blocks[-1].block_id,
            executed_height=self.height,
            primary=0,
            own_index=next(i for i, (company, _) in enumerate(self.members) if company == self.company_id),
            members=members,
            timer="",
            timer_ends_ms=0,
            last_block_ms=self.blocks[-1].header.time_ms,
            waiting=len(self.pending),
            waiting_bytes=0,
            oldest_waiting_ms=0,
            view_changes=0,
            suspects=(),
            evidence=(),
            phase="idle",
        )
        return replace(status, **self.changes)

    def not_ready(self) -> tuple[str, ...]:
        return self.reasons

    def counters(self) -> Mapping[str, int]:
        return {"blocks": self.height, "view_changes": 0}

    def block(self, which: int | bytes) -> BlockData | None:
        if isinstance(which, bytes):
            return next((block for block in self.blocks if block.block_id == which), None)
        return self.blocks[which] if 0 <= which < len(self.blocks) else None

    def head(self, height: int) -> HeadData | None:
        if not 0 <= height < len(self.blocks):
            return None
        block = self.blocks[height]
        return HeadData(block_id=block.block_id, header=block.header, certificate=block.certificate)

    def transaction(self, tx_id: bytes) -> TransactionData | None:
        if tx_id in self.pending:
            return TransactionData(
                tx_id=tx_id, state=TxState.PENDING, transaction=self.pending[tx_id], height=0, position=0, time_ms=0,
                receipt=None, final_height=0, code="", detail="",
            )  # fmt: skip
        if tx_id not in self.places:
            return None
        height, position = self.places[tx_id]
        block = self.blocks[height]
        assert block.receipts is not None
        final = height + 1 if height + 1 < len(self.blocks) else 0
        return TransactionData(
            tx_id=tx_id,
            state=TxState.FINAL if final else TxState.COMMITTED,
            transaction=block.transactions[position],
            height=height,
            position=position,
            time_ms=block.header.time_ms,
            receipt=block.receipts[position],
            final_height=final,
            code="",
            detail="",
        )

    def events(
        self, after: tuple[int, int, int] | None, limit: int, *, company: str | None = None, up_to: int | None = None
    ) -> Sequence[Row]:
        top = self.height if up_to is None else up_to
        found = [
            row
            for row in self.log
            if row.height <= top
            and (after is None or (row.height, row.position, row.index) > after)
            and (company is None or {company, EVERYBODY} & set(parties_of(row.event)))
        ]
        return found[:limit]

    def document_facts(self, root: str) -> DocumentFacts | None:
        return self.facts.get(root)

    async def take_document(self, data: bytes, wish: DocumentWish) -> Sequence[DocumentTaken | DocumentRefused]:
        """This world has no reader of files: whatever comes is refused by name, as an unknown format would be."""
        return (
            DocumentRefused(
                number="", field="file", code="format", reason=f"{wish.name} is in no known format", findings=()
            ),
        )

    async def audit_pack(self) -> tuple[int, bytes]:
        if self.pack is None:
            raise NotYet("no result is certified yet; try again after the next block")
        return self.pack

    def original(self, root: bytes) -> SealedOriginal | None:
        return self.originals.get(root)

    def oldest_height(self) -> int:
        return 0

    def event_height(self) -> int:
        return max(0, self.height - self.durable_lag)

    def state_proof(self, key: bytes, height: int | None = None) -> CertifiedProof | None:
        height = self.height - 1 if height is None else height
        if not 1 <= height < self.height:
            return None
        return self._proof(
            height, ResultProof(state=(state_claim(self.states[height], key),), receipt=(), **self._parts(height))
        )

    def receipt_proof(self, tx_id: bytes) -> CertifiedProof | None:
        found = self.transaction(tx_id)
        if found is None or not found.final_height:
            return None
        receipts = self.blocks[found.height].receipts
        assert receipts is not None
        claim = receipt_claim(receipts, found.position)
        return self._proof(found.height, ResultProof(state=(), receipt=(claim,), **self._parts(found.height)))

    def _parts(self, height: int) -> dict[str, Any]:
        after = self.blocks[height + 1]
        return {
            "height": height,
            "previous_exec_root": self.states[height - 1].exec_root,
            "state_root": self.roots[height][0],
            "receipts_root": self.roots[height][1],
            "links": (),
            "header": after.header_bytes,
            "certificate": after.certificate,
        }

    def _proof(self, height: int, proof: ResultProof) -> CertifiedProof:
        return CertifiedProof(height=height, certified_by=height + 1, data=encode(proof))

    def room(self) -> int:
        return self.line.room

    async def turn(self, envelopes: Sequence[bytes]) -> bool:
        return await self.line.turn(len(envelopes), sum(map(len, envelopes)))

    async def submit(self, envelopes: Sequence[bytes]) -> Sequence[SubmitResult]:
        results, fresh = [], []
        for envelope in envelopes:
            try:
                tx = decode_transaction(envelope, self.chain)
                check_expiry(tx.body, self.height + 1, self.document.params)
            except Malformed as error:
                results.append(SubmitResult(tx_id=b"", code=error.code, detail=str(error)))
                continue
            except InvalidTransaction as error:
                results.append(SubmitResult(tx_id=b"", code=error.code, detail=error.detail))
                continue
            code, detail = self._admit(tx)
            results.append(SubmitResult(tx_id=tx.tx_id, code=code, detail=detail))
            if not code and tx.tx_id not in self.places:
                fresh.append(tx)
                self.pending[tx.tx_id] = tx
        if fresh and self.auto:
            await self.grow(fresh)
        return results

    def _admit(self, tx: Transaction) -> tuple[str, str]:
        if tx.tx_id in self.places:
            return "", "committed"
        if not all(verify_strict(key, signature, tx.digest) for key, signature in tx.signatures):
            return "bad_signature", "a signature does not verify"
        problem = check_signers(self.view(), tx, self.height + 1, self.now_ms)
        if problem:
            return "bad_signer", problem
        if not check_nonce(self.view(), tx.body.signers[0].user_id, tx.body.nonce):
            return "bad_nonce", f"nonce {tx.body.nonce} is used or out of range"
        return "", ""

    async def wait_transaction(self, tx_id: bytes, *, final: bool, timeout_s: float) -> TransactionData | None:
        def settled() -> bool:
            found = self.transaction(tx_id)
            return found is not None and found.state is not TxState.PENDING and not (final and not found.final_height)

        await self._wait(settled, timeout_s)
        return self.transaction(tx_id)

    async def wait_height(self, height: int, *, timeout_s: float) -> int:
        await self._wait(lambda: self.event_height() >= height, timeout_s)
        return self.event_height()

    async def _wait(self, holds: Any, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s), self.grown:
                await self.grown.wait_for(holds)
        except TimeoutError:
            pass
