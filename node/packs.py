"""Proof packs of the own company, made from what this node holds (F77, S98). Door: `PackRoom.build`.

A pack speaks about one certified height: every row that names the company with its path to the state root, every
receipt whose events name it, the journal that follows from them, the disclosed fields of the documents kept here, and
the chain of execution roots up to the header that certifies it all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from contracts.errors import Aborted
from contracts.interface import Interface
from finance.audit.pack import PackBody, PackContract, PackDocument, PackEntry, PackReceipt, PackRow, write
from finance.books import LedgerEvent
from finance.formats import ReadOptions
from finance.model import field_map
from finance.postings import journal
from ledger.block import list_proof
from ledger.certificate import CommitCertificate
from ledger.codec import encode
from ledger.crypto.fieldtree import build
from ledger.errors import InvariantViolated
from ledger.genesis import contract_key
from ledger.governance.act import GOVERNANCE
from ledger.governance.follow import EpochEnd
from ledger.governance.programs import read_source, version_key, versions
from ledger.merkle import prove
from ledger.money import CurrencyTable
from ledger.receipt import ContractEvent, receipt_codec
from ledger.state import StateView
from node.access.feed import GOVERNANCE_FIELDS, named, readers_of_row
from node.api.ports import Field, NotYet
from node.api.shapes import ledger_day
from node.documents.intake import Upload, parse_files
from node.documents.vault import Vault
from node.store.ledger import ChainStore
from node.store.rows import EventRow
from node.store.views import ChainView

ROWS_MAX: Final = 200_000
"""Rows of one table that are looked at for a pack; more is refused rather than cut."""
EVENTS_STEP: Final = 1_000
DOCUMENT_TABLES: Final = ("Invoice", "Credit")


class PackRoom:
    """Makes packs for one company. `sign(epoch, body)` signs with its consensus key of an epoch, domain `bundle`."""

    def __init__(
        self,
        *,
        chain_id: bytes,
        company_id: str,
        names: Mapping[str, str],
        interfaces: Mapping[str, Interface],
        event_fields: Callable[[ContractEvent, int], Sequence[Field] | None],
        store: ChainStore,
        vault: Vault,
        currencies: CurrencyTable,
        utc_offset_min: int,
        ends: Sequence[EpochEnd],
        sign: Callable[[int, bytes], bytes],
    ) -> None:
        self._chain_id = chain_id
        self._company = company_id
        self._names = names
        self._interfaces = interfaces
        self._event_fields = event_fields
        self._store = store
        self._vault = vault
        self._currencies = currencies
        self._utc_offset_min = utc_offset_min
        self._ends = ends
        self._sign = sign

    async def build(self) -> tuple[int, bytes]:
        """Return (height, pack) at the newest certified height; raises `NotYet`."""
        height = self._store.certified_height
        view = self._store.at(height)
        by = self._store.certifying_height(height)
        head = None if by is None else self._store.header(by)
        if height < 1 or view is None or head is None:
            raise NotYet("nothing is certified yet; wait for the first blocks and try again")
        epoch = head.header.epoch
        if len(self._ends) < epoch:
            raise NotYet(f"how epoch {len(self._ends)} ended is not held here; ask another company's node")
        rows, owners = self._rows(view)
        events = self._events(height)
        first = min((event.height for event in events), default=height)
        documents = await self._documents(owners)
        receipts = self._receipts(events)
        body = PackBody(
            chain_id=self._chain_id,
            company=self._company,
            names=tuple(sorted(self._names.items())),
            header=head.header_bytes,
            certificate=_certificate(head.certificate),
            first_height=first,
            base_exec_root=self._results(first - 1)[2],
            links=tuple(self._results(each)[:2] for each in range(first, head.header.exec_height + 1)),
            rows=tuple(rows),
            receipts=tuple(receipts),
            schemas=tuple(_governance_schemas()),
            documents=tuple(documents),
            journal=tuple(self._journal(events)),
            epochs=tuple((end.header, _certificate(end.certificate), end.members) for end in self._ends[:epoch]),
            contracts=tuple(contracts_of(view, rows, receipts)),
        )
        return height, write(body, lambda raw: self._sign(epoch, raw))

    # -- parts ---------------------------------------------------------------------------------------------------

    def _rows(self, view: ChainView) -> tuple[list[PackRow], dict[str, tuple[str, str, str]]]:
        """Return the rows that name the company, and document root -> (contract, table, owner)."""
        found: list[PackRow] = []
        owners: dict[str, tuple[str, str, str]] = {}
        for name, program in self._interfaces.items():
            for table, schema in program.tables.items():
                low, high = program.table_range(table)
                keys = view.scan(low, high, ROWS_MAX + 1)
                if len(keys) > ROWS_MAX:
                    raise NotYet(f"table {name}.{table} has more than {ROWS_MAX} rows")
                for key in keys:
                    value = view.get(key)
                    if value is None:
                        raise InvariantViolated("a state lists a key that it does not hold")
                    try:
                        fields = program.decode_row(table, value)
                    except Aborted:  # `migrate` cannot lift it, so no call can read it either (L62)
                        continue
                    if self._company not in readers_of_row(schema, fields):
                        continue
                    found.append(PackRow(contract=name, table=table, key=key, proof=_proof(view, key)))
                    if table in DOCUMENT_TABLES and fields.get("root"):
                        owners[str(fields["root"])] = (name, table, str(fields["id"]))
        return found, owners

    def _events(self, height: int) -> list[EventRow]:
        found: list[EventRow] = []
        after: tuple[int, int, int] | None = None
        while part := self._store.events(after, EVENTS_STEP, company=self._company, up_to=height):
            found += part
            after = (part[-1].height, part[-1].position, part[-1].index)
        return found

    def _receipts(self, events: Sequence[EventRow]) -> list[PackReceipt]:
        found: list[PackReceipt] = []
        for height, position in dict.fromkeys((event.height, event.position) for event in events):
            receipts = self._store.receipts(height)
            if receipts is None:
                raise InvariantViolated(f"the receipts of height {height} are missing")
            leaves = [encode(receipt) for receipt in receipts]
            found.append(
                PackReceipt(
                    height=height,
                    index=position,
                    count=len(leaves),
                    receipt=leaves[position],
                    siblings=list_proof(leaves, position),
                )
            )
        return found

    def _journal(self, events: Sequence[EventRow]) -> list[PackEntry]:
        entries = journal([self._ledger_event(event) for event in events], self._company)
        return [
            PackEntry(
                voucher=f"{entry.period}/{entry.voucher}",
                date=entry.date,
                cursor=entry.source,
                reverses=entry.reverses,
                lines=tuple((line.account, line.currency, line.debit) for line in entry.lines),
            )
            for entry in entries
        ]

    def _ledger_event(self, event: EventRow) -> LedgerEvent:
        head = self._store.header(event.height)
        if head is None:
            raise InvariantViolated(f"the header of height {event.height} is missing")
        schema = self._event_fields(event.event, event.height)
        if schema is None:
            raise InvariantViolated(f"no contract declares the event {event.event.contract}.{event.event.name}")
        return LedgerEvent(
            cursor=f"{event.height}.{event.position}.{event.index}",
            height=event.height,
            day=ledger_day(head.header.time_ms, self._utc_offset_min),
            contract=event.event.contract,
            name=event.event.name,
            fields=named(schema, event.event.fields),
        )

    async def _documents(self, owners: Mapping[str, tuple[str, str, str]]) -> list[PackDocument]:
        """Disclose every field of the documents that this node keeps, under the roots that the ledger holds (S81)."""
        kept = [(root, original) for root in sorted(owners) if (original := self._vault.get(bytes.fromhex(root)))]
        uploads = [Upload(name=original.card.file_name, data=original.data) for _, original in kept]
        options = ReadOptions(strict=False, currencies=self._currencies)
        results = await parse_files(uploads, options) if uploads else []
        found: list[PackDocument] = []
        for (root, original), result in zip(kept, results, strict=True):
            for item in result.items:
                tree = build(field_map(item, self._currencies), original.seed)
                if tree.root.hex() != root:
                    continue
                contract, table, owner = owners[root]
                shown = [tree.disclose(path) for path in sorted(tree.fields)]
                found.append(
                    PackDocument(
                        contract=contract,
                        table=table,
                        owner=owner,
                        count=tree.count,
                        fields=tuple((one.index, one.path, one.value, one.salt, one.siblings) for one in shown),
                    )
                )
        return found

    def _results(self, height: int) -> tuple[bytes, bytes, bytes]:
        results = self._store.results(height)
        if results is None:
            raise InvariantViolated(f"the result of height {height} is missing")
        return results.state_root, results.receipts_root, results.exec_root


def contracts_of(view: StateView, rows: Sequence[PackRow], receipts: Sequence[PackReceipt]) -> Iterator[PackContract]:
    """Yield every contract that a row, or an event of a receipt, needs to be read, with all its versions (L63)."""
    named = {row.contract for row in rows}
    for packed in receipts:
        named |= {event.contract for event in receipt_codec.decode(packed.receipt).events}
    for name in sorted(named - {GOVERNANCE}):
        *older, last = versions(view, name)
        first = older[0].version if older else last.version
        yield PackContract(
            name=name,
            proof=_proof(view, contract_key(name)),
            source=read_source(view, last),
            older=tuple((_proof(view, version_key(name, meta.version)), read_source(view, meta)) for meta in older),
            below=(_proof(view, version_key(name, first - 1)),) if first > 1 else (),
        )


def _proof(view: StateView, key: bytes) -> tuple[Any, ...]:
    """Return the canonical form of a state proof: presence, or absence."""
    proof = prove(view, key)
    return tuple((level.bitmap, level.siblings) for level in proof.levels), proof.found, proof.other


def _governance_schemas() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield the fields of the events that no contract declares."""
    for event, fields in GOVERNANCE_FIELDS.items():
        yield GOVERNANCE, event, tuple(field.name for field in fields)


def _certificate(certificate: CommitCertificate) -> tuple[Any, ...]:
    vote = certificate.vote
    return (vote.epoch, vote.view, vote.height, vote.block_id), certificate.signers, certificate.signatures
