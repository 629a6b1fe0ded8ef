"""A chain whose contracts are replaced by vote, and what its companies prove about it: packs and single proofs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from finance.audit.pack import PackBody, PackReceipt, PackRow, write
from ledger.block import block_id, list_proof
from ledger.certificate import CommitCertificate, Vote, bitmap, quorum
from ledger.codec import encode
from ledger.crypto.hashing import Tag, signing_digest
from ledger.genesis import genesis_state
from ledger.governance.programs import versions
from ledger.governance.records import InstallContracts, PlannedContract
from ledger.merkle import prove
from ledger.proof import ResultProof, state_claim
from ledger.receipt import Receipt
from node.core.programs import Programs
from node.identity.founding import genesis_file
from node.packs import contracts_of
from tests.ledger.governance.conftest import League, found_league

CURRENCIES = {"CNY": 2, "EUR": 2}
NOTES = """contract notes version 1

table Note key id: text(20):
    owner: party,
    words: text(40)
    index (owner)

event Kept: id: text(20), owner: party

action keep(id: text(20), words: text(40)) by role preparer of caller:
    put Note(id = id, owner = caller, words = words)
    emit Kept(id = id, owner = caller)
"""
NOTES_TWO = (
    NOTES.replace("version 1", "version 2 replaces 1")
    .replace(
        "    index (owner)",
        "    size: int   # of the words\n    index (owner)\n\nmigrate Note: size = count(row.words)",
        1,
    )
    .replace("event Kept: id: text(20), owner: party", "event Kept: owner: party, id: text(20), size: int")
    .replace("words = words)", "words = words, size = count(words))")
    .replace("owner = caller)\n", "owner = caller, size = count(words))\n")
)
LATE = NOTES.replace("contract notes version 1", "contract late version 5")


@dataclass
class Story:
    """A league that keeps what its blocks did, and packs it."""

    league: League
    programs: Programs
    receipts: list[tuple[int, tuple[Receipt, ...]]] = field(default_factory=list)
    links: list[tuple[bytes, bytes]] = field(default_factory=list)
    roots: list[bytes] = field(default_factory=list)

    @staticmethod
    def told() -> Story:
        programs = Programs(CURRENCIES)
        codes = programs.compiled([{"notes": NOTES.encode()}])
        league = found_league(contracts=[("notes", NOTES.encode(), 1, codes["notes"].interface.ir_hash)])
        league.runtime = programs  # type: ignore[assignment]  # a linker gives the runtime of each height
        story = Story(league, programs)
        block = league.block

        def recorded(*transactions: Any) -> tuple[Receipt, ...]:
            receipts = block(*transactions)
            assert league.last is not None
            story.receipts.append((league.last.height, receipts))
            story.links.append((league.last.state_root, league.last.receipts_root))
            story.roots.append(league.last.exec_root)
            return receipts

        league.block = recorded  # type: ignore[method-assign]
        story.keep("first", "notes")
        story.install(notes=NOTES_TWO)
        story.keep("second", "notes")
        story.install(late=LATE)
        story.keep("third", "late")
        return story

    def keep(self, words: str, contract: str) -> None:
        receipt = self.league.do(self.league.firms[0], "keep", words, words, contract=contract, roles=("preparer",),
                                 capacities=("maker",))  # fmt: skip
        assert receipt.status == 0, receipt.abort

    def install(self, **texts: str) -> None:
        named = {name: text.encode() for name, text in texts.items()}
        steps = [step.sources for step in self.programs.steps(self.league.state)]
        codes = self.programs.compiled([*steps, named])
        items = tuple(PlannedContract(name, named[name], codes[name].interface.ir_hash) for name in sorted(named))
        assert self.league.agree("contract", InstallContracts(items, 0)).result == "accepted"
        self.league.advance(versions(self.league.state, items[0].name)[-1].active_from)

    def pack(self, change: Callable[[PackBody], PackBody] = lambda body: body) -> tuple[bytes, bytes]:
        """Return (pack, genesis file); `change` is what a company that lies does before it signs."""
        league, firm = self.league, self.league.firms[0]
        header, certificate = self.head()
        vote = certificate.vote
        rows = self.rows()
        receipts = [
            PackReceipt(
                height=height,
                index=index,
                count=len(found),
                receipt=encode(receipt),
                siblings=list_proof([encode(one) for one in found], index),
            )
            for height, found in self.receipts
            for index, receipt in enumerate(found)
            if receipt.contract != "governance"
        ]
        codes = self.programs.compiled([{"notes": NOTES.encode()}])
        first = genesis_state(
            league.document, [("notes", 1, codes["notes"].interface.code_id, codes["notes"].interface.ir_hash)]
        )
        body = PackBody(
            chain_id=league.chain,
            company=firm.company_id,
            names=(),
            header=header,
            certificate=((0, 0, vote.height, vote.block_id), certificate.signers, certificate.signatures),
            first_height=1,
            base_exec_root=first.exec_root,
            links=tuple(self.links),
            rows=tuple(rows),
            receipts=tuple(receipts),
            schemas=(),
            documents=(),
            journal=(),
            contracts=tuple(contracts_of(league.state, rows, receipts)),
        )
        signed = write(change(body), lambda raw: firm.consensus.sign(signing_digest(Tag.SIG_BUNDLE, league.chain, raw)))
        return signed, encode(genesis_file(league.document, ()))

    def head(self) -> tuple[bytes, CommitCertificate]:
        """Return the next header, which names the result of the last block, with the founders' signatures."""
        league = self.league
        header = msgspec.structs.replace(
            league.header,
            height=league.height,
            exec_height=league.state.height,
            exec_root=league.state.exec_root,
            tx_count=0,
        )
        vote = Vote(0, 0, header.height, block_id(encode(header)))
        digest = signing_digest(Tag.SIG_COMMIT, league.chain, encode(vote))
        q = quorum(len(league.firms))
        signatures = tuple(firm.consensus.sign(digest) for firm in league.firms[:q])
        return encode(header), CommitCertificate(vote, bitmap(range(q), len(league.firms)), signatures)

    def proof(self, key: bytes) -> bytes:
        """Return the proof of a state key after the last block."""
        header, certificate = self.head()
        state_root, receipts_root = self.links[-1]
        return encode(
            ResultProof(
                height=self.league.state.height,
                state=(state_claim(self.league.state, key),),
                receipt=(),
                previous_exec_root=self.roots[-2],
                state_root=state_root,
                receipts_root=receipts_root,
                links=(),
                header=header,
                certificate=certificate,
            )
        )

    def rows(self) -> list[PackRow]:
        state = self.league.state
        found = []
        for name, interface in self.programs.at(state, self.league.height).interfaces.items():
            for key in state.scan(*interface.table_range("Note"), 100):
                proof = prove(state, key)
                levels = tuple((level.bitmap, level.siblings) for level in proof.levels)
                found.append(PackRow(contract=name, table="Note", key=key, proof=(levels, proof.found, proof.other)))
        return found
