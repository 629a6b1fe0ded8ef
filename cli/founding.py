"""Founding a network from the command line: cards in, one document, signatures of every company, one final file (LR10).

A genesis file travels with `directory.toml`, which stands beside it. Every founder checks that its own card went in
unchanged before its officers sign; the chain id, the hash of the document, is what founders compare by voice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli import place
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from ledger.codec import encode
from ledger.crypto.ed25519 import verify_strict
from ledger.errors import InvalidGenesis, LedgerError
from ledger.genesis import (
    GenesisDocument,
    GenesisFile,
    chain_id,
    check_genesis,
    founder_digest,
    genesis_codec,
    genesis_file_codec,
)
from ledger.registry.records import Company
from node.identity.directory import (
    FILE_NAME,
    Directory,
    DirectoryRefused,
    Entry,
    check_directory,
    parse_directory,
    write_directory,
)
from node.identity.founding import Card, card_codec

CARDS_MAX: Final = 512
Signature = tuple[str, bytes, bytes]


@dataclass(frozen=True, kw_only=True)
class Founding:
    """A genesis file under way: the document, which signatures hold, and names from the directory beside it."""

    path: Path
    document: GenesisDocument
    signatures: tuple[Signature, ...]
    directory: Directory

    @property
    def chain_id(self) -> bytes:
        """The id of the chain this document founds."""
        return chain_id(self.document)

    def name(self, company: str) -> str:
        """Return a company's name, or its id."""
        entry = self.directory.entries.get(company)
        return entry.name if entry else company

    def signed(self, company: Company) -> int:
        """Return how many root keys of a company have signed."""
        return len({key for owner, key, _ in self.signatures if owner == company.company_id})

    @property
    def missing(self) -> list[Company]:
        """Return the companies whose root policy is not satisfied yet."""
        return [company for company in self.document.companies if self.signed(company) < company.root.m]

    @property
    def final(self) -> bool:
        """Tell whether a node would accept it."""
        return not self.document.production or not self.missing


def read_card(path: Path) -> Card:
    """Return the card in a file; a fault names the file."""
    data = place.read_bytes(path, "card")
    try:
        card = card_codec.decode(data)
    except LedgerError as error:
        raise CommandFailed(
            Exit.REJECTED, f"{path} is no company card: {error}", "use the card.hansa that hansa init made"
        ) from None
    _check_card(card, path)
    return card


def read_founding(path: Path, directory: Path | None = None) -> Founding:
    """Return a genesis file, final or not, with everything but missing signatures checked.

    A directory that is named must be there; one beside the file is read when it is.
    """
    data = place.read_bytes(path, "genesis file")
    try:
        file = genesis_file_codec.decode(data)
        document = genesis_codec.decode(file.document)
    except LedgerError as error:
        raise CommandFailed(
            Exit.REJECTED, f"{path} is no genesis file: {error}", "ask the company that made it to send it again"
        ) from None
    check_document(document, path)
    check_signatures(document, file.signatures, path)
    beside = path.with_name(FILE_NAME)
    entries = Directory({})
    if directory is not None or beside.exists():
        entries = read_directory(directory or beside, document)
    return Founding(path=path, document=document, signatures=file.signatures, directory=entries)


def check_document(document: GenesisDocument, path: Path) -> None:
    """Refuse a document that could never found a chain: everything but its signatures, contracts compiled."""
    from contracts.errors import ContractsError
    from node.app import compile_programs

    try:
        check_genesis(GenesisFile(encode(document), ()))
    except InvalidGenesis as error:
        if not error.field.startswith("signatures."):
            step = (
                "name it otherwise: --network" if error.field == "network" else "make the file again from correct cards"
            )
            raise CommandFailed(Exit.REJECTED, f"{path}: {error}", f"{step}; hansa genesis new --help") from None
    try:
        compile_programs(document)
    except ContractsError as error:
        raise CommandFailed(
            Exit.REJECTED, f"{path}: contracts: {error}", "check the contract: hansa contract check FILE"
        ) from None


def check_signatures(document: GenesisDocument, signatures: Sequence[Signature], path: Path) -> None:
    """Refuse a signature that is not one of a root key of a founding company over this document."""
    chain = chain_id(document)
    roots = {company.company_id: company.root.keys for company in document.companies}
    for company, key, signature in signatures:
        if key not in roots.get(company, ()):
            raise CommandFailed(
                Exit.REJECTED,
                f"{path}: signatures: {key.hex()[:16]}… is no root key of {company[:40]}",
                "leave this file out, and ask the company that sent it",
            )
        if not verify_strict(key, signature, founder_digest(chain, company)):
            raise CommandFailed(
                Exit.REJECTED,
                f"{path}: signatures: that of {company} with {key.hex()[:16]}… does not verify",
                "it was made over another document, or damaged; let that company sign this file",
            )


def read_directory(path: Path, document: GenesisDocument) -> Directory:
    """Return the directory at `path`, each entry checked against its commitment (S18)."""
    try:
        text = place.read_bytes(path, "directory").decode("utf-8")
        directory = parse_directory(text, str(path))
        check_directory(directory, document.companies, document.nodes, str(path))
    except UnicodeDecodeError:
        raise CommandFailed(Exit.REJECTED, f"{path} is not UTF-8 text", "ask for the file again") from None
    except DirectoryRefused as error:
        raise CommandFailed(
            Exit.REJECTED, str(error), "use the directory.toml that was made together with this genesis file"
        ) from None
    return directory


def check_unique(cards: Sequence[Card], paths: Sequence[Path]) -> None:
    """Refuse a company or an identifier that stands in two cards."""
    seen: dict[str, Path] = {}
    identifiers: dict[tuple[str, str], Path] = {}
    for card, path in zip(cards, paths, strict=True):
        before = seen.setdefault(card.company.company_id, path)
        if before != path:
            raise CommandFailed(
                Exit.CONFLICT, f"{before} and {path} are cards of the same company", "name each company once"
            )
        for item in card.entry.identifiers:
            key = (item.scheme, "".join(item.value.split()).upper())
            other = identifiers.setdefault(key, path)
            if other != path:
                raise CommandFailed(
                    Exit.CONFLICT,
                    f"the identifier {item.scheme} {item.value} stands in {other} and in {path}",
                    "documents could not be told apart; ask both companies which one is right",
                )


def own_record_problem(founding: Founding, card: Card) -> str:
    """Return "" if a company's card went into the document unchanged, else what differs."""
    document, mine = founding.document, card.company.company_id
    if card.company not in document.companies:
        there = any(company.company_id == mine for company in document.companies)
        return "its company record was changed" if there else "this company is not in it"
    if [node for node in document.nodes if node.company_id == mine] != [card.node]:
        return "its node record was changed"
    users = [user for user in document.users if user.company_id == mine]
    if users != sorted(card.users, key=lambda user: user.user_id):
        return "its users were changed: somebody could sign in your name"
    entry = founding.directory.entries.get(mine)
    if founding.directory.entries and entry != card.entry:
        return "its directory entry is missing or was changed"
    return ""


def write_founding(
    path: Path, document: GenesisDocument, signatures: Sequence[Signature], entries: Sequence[Entry]
) -> None:
    """Write the genesis file, and the directory beside it when there are entries."""
    from node.identity.founding import genesis_file

    place.write_file(path, encode(genesis_file(document, signatures)))
    if entries:
        place.write_file(path.with_name(FILE_NAME), write_directory(entries).encode("utf-8"))


def merge(parts: Sequence[Founding]) -> tuple[Signature, ...]:
    """Return the signatures of all files over one document; refuse files over different documents."""
    first = parts[0]
    for other in parts[1:]:
        if other.document != first.document:
            raise CommandFailed(
                Exit.CONFLICT,
                f"{first.path} founds chain {first.chain_id.hex()[:16]}…, "
                f"{other.path} chain {other.chain_id.hex()[:16]}…",
                "all companies sign the same document: agree on one file, compare the chain id, and sign that",
            )
    merged: dict[tuple[str, bytes], bytes] = {}
    for part in parts:
        for company, key, signature in part.signatures:
            merged.setdefault((company, key), signature)
    return tuple(sorted((company, key, signature) for (company, key), signature in merged.items()))


def names_of(cards: Mapping[str, Card] | Sequence[Card]) -> list[Entry]:
    """Return the directory entries of cards."""
    found = cards.values() if isinstance(cards, Mapping) else cards
    return [card.entry for card in found]


def _check_card(card: Card, path: Path) -> None:
    """Refuse a card that contradicts itself: ids, proofs of possession, and the commitment of its entry."""
    from ledger.params import Params
    from node.identity.founding import assemble

    try:
        alone = assemble(
            [card], network="card", production=False, time_ms=1, utc_offset_min=0, params=Params(), contracts=()
        )
        check_genesis(GenesisFile(encode(alone), ()))
        check_directory(Directory({card.entry.id: card.entry}), alone.companies, alone.nodes, str(path))
    except (LedgerError, DirectoryRefused, ValueError) as error:
        raise CommandFailed(
            Exit.REJECTED, f"{path} contradicts itself: {error}", "ask that company for its card again"
        ) from None
    if card.entry.id != card.company.company_id or card.node.company_id != card.company.company_id:
        raise CommandFailed(Exit.REJECTED, f"{path} mixes two companies", "ask that company for its card again")
