"""A small world for packs: four companies, two blocks executed by the real transition, certified by real signatures."""

from __future__ import annotations

from typing import Any

from contracts.library import sources
from contracts.runtime import program
from finance.audit.pack import PackBody, PackDocument, PackEntry, PackReceipt, PackRow, write
from finance.books import LedgerEvent
from finance.postings import journal
from ledger.block import EMPTY_LIST_ROOT, Header, block_id, list_proof, list_root
from ledger.certificate import CommitCertificate, Vote, bitmap, certificate_hash, genesis_certificate, quorum
from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.crypto.fieldtree import build
from ledger.crypto.hashing import Tag, signing_digest
from ledger.genesis import chain_id, epoch_members, genesis_block, genesis_state
from ledger.merkle import prove
from ledger.money import ISO_4217
from ledger.params import Params
from ledger.registry.records import TlsPin, members_hash
from ledger.transaction import SignerRef, TxBody, decode_transaction, sign_transaction
from ledger.transition import apply_block
from node.identity.founding import Founded, Person, assemble, found_company, genesis_file
from node.packs import contracts_of
from simulator.cluster.found import seeded

PEOPLE = (Person(label="clerk", roles=("preparer",)), Person(label="manager", roles=("approver",)))
DAY = "2026-03-05"
TIME_MS = 1_772_668_800_000


def build_pack(seed: int = 1, *, rotated: bool = False) -> tuple[bytes, bytes]:
    """Return (pack of the seller, genesis file): one invoice with its document, issued and accepted.

    With `rotated` epoch 0 ends with block 2, and the seller votes and signs its pack with another key from then on.
    """
    founded = [
        found_company(
            name=f"Company {number}",
            roles=("trader",),
            people=PEOPLE,
            identifiers=(("vat", f"DE{number}"),),
            endpoint=f"127.0.0.1:{7401 + number}",
            make_tls=lambda node: TlsPin(node.encode().ljust(32, b"-")[:32], node.encode()),
            draw=seeded(seed, f"company-{number}"),
        )
        for number in range(4)
    ]
    programs = program(sources(), dict(ISO_4217))
    document = assemble(
        [item.card for item in founded],
        network="audit",
        production=False,
        time_ms=TIME_MS,
        utc_offset_min=0,
        params=Params(),
        contracts=sources(),
    )
    chain = chain_id(document)
    meta = [(n, programs.interfaces[n].version, programs.interfaces[n].code_id, programs.interfaces[n].ir_hash)
            for n, _ in sources()]  # fmt: skip
    state = genesis_state(document, meta)
    parent, _, parent_id = genesis_block(document, state)
    certificate = genesis_certificate(parent_id)
    members = epoch_members(document)
    new = SigningKey(seeded(seed, "rotated")(32))
    own = founded[0].card.company.company_id
    later = tuple((name, new.public_key if name == own else key) for name, key in members)
    secrets = {key.public_key: key.seed for item in founded for key in item.keys if key.kind == "consensus"}
    secrets[new.public_key] = seeded(seed, "rotated")(32)
    ends: list[Any] = []
    seller, buyer = founded[0], founded[1]
    tree = build({"number": b"A-1", "totals/payable": b"119.00"}, bytes([seed]) * 32)
    issue = _signed(
        seller, chain, 1, "invoices", "issue",
        [buyer.card.company.company_id, "k-1", "380", ["EUR", 10_000], ["EUR", 1_900], ["EUR", 11_900], DAY, DAY,
         tree.root.hex()],
    )  # fmt: skip
    invoice = ""
    links: list[tuple[bytes, bytes]] = []
    receipts: list[Any] = []
    results = []
    for height in (1, 2, 3):
        if height == 1:
            envelopes = [issue]
        elif height == 2:
            invoice = str(results[0].receipts[0].result)
            envelopes = [
                _signed(buyer, chain, 1, "invoices", "receive", [invoice], ("clerk",)),
                _signed(buyer, chain, 2, "acceptance", "accept", [invoice]),
            ]
        else:
            envelopes = []
        transactions = [decode_transaction(envelope, chain) for envelope in envelopes]
        ids = [tx.tx_id for tx in transactions]
        epoch = int(rotated and height == 3)
        following = members_hash([(*seat, True) for seat in (later if rotated and height >= 2 else members)])
        header = Header(
            version=1, chain_id=chain, epoch=epoch, height=height, parent_id=parent_id, tx_root=list_root(ids),
            tx_count=len(ids), size_bytes=sum(map(len, envelopes)), time_ms=TIME_MS + height * 1000, proposer=0,
            exec_height=height - 1, exec_root=state.exec_root, members_hash=parent.next_members_hash,
            next_members_hash=following, evidence_root=EMPTY_LIST_ROOT, last_cert_height=height - 1,
            last_cert_hash=certificate_hash(certificate), params_hash=document.params.hash(),
        )  # fmt: skip
        raw = encode(header)
        parent, parent_id = header, block_id(raw)
        certificate = _certify(secrets, later if epoch else members, chain, epoch, header.height, parent_id)
        if rotated and height == 2:
            vote = (0, 0, 2, parent_id)
            seats = tuple((*seat, True) for seat in later)
            ends.append((raw, (vote, certificate.signers, certificate.signatures), seats))
        if height < 3:
            result = apply_block(state, header, transactions, programs, 0)
            results.append(result)
            receipts.append((height, result.receipts))
            links.append((result.state_root, result.receipts_root))
            state = state.apply(result.writes, result.nodes, height, result.state_root, result.exec_root)
    first = genesis_state(document, meta).exec_root
    rows = _rows(programs, state, seller.card.company.company_id)
    events = _events(programs, receipts, seller.card.company.company_id)
    consensus = next(key for key in seller.keys if key.kind == "consensus")
    body = PackBody(
        chain_id=chain,
        company=seller.card.company.company_id,
        names=tuple(sorted((item.card.company.company_id, item.card.entry.name) for item in founded)),
        header=raw,
        certificate=((epoch, 0, 3, parent_id), certificate.signers, certificate.signatures),
        first_height=1,
        base_exec_root=first,
        links=tuple(links),
        rows=tuple(rows),
        receipts=tuple(_packed(receipts)),
        schemas=(),
        documents=(
            PackDocument(
                contract="invoices",
                table="Invoice",
                owner=invoice,
                count=tree.count,
                fields=tuple(
                    (one.index, one.path, one.value, one.salt, one.siblings)
                    for one in (tree.disclose(path) for path in sorted(tree.fields))
                ),
            ),
        ),
        journal=tuple(
            PackEntry(
                voucher=f"{entry.period}/{entry.voucher}",
                date=entry.date,
                cursor=entry.source,
                reverses=entry.reverses,
                lines=tuple((line.account, line.currency, line.debit) for line in entry.lines),
            )
            for entry in [*journal(events, seller.card.company.company_id)]
        ),
        epochs=tuple(ends),
        contracts=tuple(contracts_of(state, rows, _packed(receipts))),
    )
    key = new if rotated else SigningKey(consensus.seed)
    pack = write(body, lambda data: key.sign(signing_digest(Tag.SIG_BUNDLE, chain, data)))
    return pack, encode(genesis_file(document, ()))


def _signed(
    company: Founded, chain: bytes, nonce: int, contract: str, method: str, args: list[Any],
    labels: tuple[str, ...] = ("clerk", "manager"),
) -> bytes:  # fmt: skip
    keys = [next(key for key in company.keys if key.kind == "user" and key.label == label) for label in labels]
    body = TxBody(
        1,
        tuple(
            SignerRef(key.owner, capacity, company.card.company.company_id)
            for key, capacity in zip(keys, ("maker", "checker"), strict=False)
        ),
        nonce,
        500,
        contract,
        method,
        tuple(args),
        60_000,
    )
    return sign_transaction(body, [SigningKey(key.seed) for key in keys], chain)


def _certify(
    seeds: dict[bytes, bytes],
    members: tuple[tuple[str, bytes], ...],
    chain: bytes,
    epoch: int,
    height: int,
    identity: bytes,
) -> CommitCertificate:
    vote = Vote(epoch, 0, height, identity)
    digest = signing_digest(Tag.SIG_COMMIT, chain, encode(vote))
    q = quorum(len(members))
    signatures = tuple(SigningKey(seeds[key]).sign(digest) for _, key in members[:q])
    return CommitCertificate(vote, bitmap(range(q), len(members)), signatures)


def _rows(programs: Any, state: Any, company: str) -> list[PackRow]:
    found = []
    for name, interface in programs.interfaces.items():
        for table in interface.tables:
            low, high = interface.table_range(table)
            for key in state.scan(low, high, 1000):
                fields = interface.decode_row(table, state.get(key))
                if company in fields.values():
                    proof = prove(state, key)
                    levels = tuple((level.bitmap, level.siblings) for level in proof.levels)
                    found.append(PackRow(contract=name, table=table, key=key, proof=(levels, proof.found, proof.other)))
    return found


def _events(programs: Any, receipts: list[Any], company: str) -> list[LedgerEvent]:
    found = []
    for height, items in receipts:
        for position, receipt in enumerate(items):
            for index, event in enumerate(receipt.events):
                fields = programs.interfaces[event.contract].decode_event(event.name, event.fields)
                if company in fields.values():
                    found.append(
                        LedgerEvent(
                            cursor=f"{height}.{position}.{index}",
                            height=height,
                            day=DAY,
                            contract=event.contract,
                            name=event.name,
                            fields=fields,
                        )
                    )
    return found


def _packed(receipts: list[Any]) -> list[PackReceipt]:
    found = []
    for height, items in receipts:
        leaves = [encode(item) for item in items]
        for index in range(len(leaves)):
            found.append(
                PackReceipt(
                    height=height,
                    index=index,
                    count=len(leaves),
                    receipt=leaves[index],
                    siblings=list_proof(leaves, index),
                )
            )
    return found
