"""What a person trusts instead of a node: the genesis file, and proofs checked against it (S20, U25).

The genesis file names the members and their keys; a proof leads from a value to a header that enough of them signed.
Nothing here asks a node whether it tells the truth.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.exit_codes import Exit
from cli.failure import CommandFailed

if TYPE_CHECKING:
    from cli.client import Client
    from contracts.runtime import Program
    from ledger.block import Header
    from ledger.certificate import CommitCertificate
    from ledger.genesis import GenesisDocument
    from ledger.governance.follow import EpochEnd
    from ledger.light import MemberSet
    from ledger.proof import BlockProof, ResultProof

GENESIS_FILE: Final = "genesis.hansa"
PROOF_SCHEMA: Final = "hansa.proof/1"
FORMAT: Final = "ledger.proof/1"
KINDS: Final = ("state", "receipt", "block", "transaction")
"""What a proof file may be about: a state key, the receipt of a transaction, a block, a transaction in its block."""


@dataclass(frozen=True)
class Trusted:
    """A checked genesis file."""

    path: Path
    document: GenesisDocument
    chain_id: bytes
    names: Mapping[str, str]
    """Company id -> name, from a directory file beside it whose entries hash to their commitments; may be empty."""
    ends: tuple[EpochEnd, ...] = ()
    """How epochs 0, 1, ... ended, as somebody says: believed as far as the members before vouch for it (P85)."""
    accepted: tuple[Mapping[str, bytes], ...] = ()
    """Sources by name that companies accepted after genesis, each hash proven, in the order in which they run (L57)."""

    @cached_property
    def members(self) -> tuple[tuple[str, bytes], ...]:
        """Return (company id, consensus key) of the founding members by index."""
        from ledger.genesis import epoch_members

        return epoch_members(self.document)

    def members_of(self, epoch: int) -> MemberSet:
        """Return the members of an epoch, walking to it from the founders; refuse a way that does not hold (P85)."""
        from ledger.light import follow

        found = self.member_set
        for end in self.ends[:epoch]:
            after = follow(end.header, end.certificate, end.members, found, self.chain_id)
            if isinstance(after, str):
                raise does_not_hold(f"end of epoch {found.epoch}: {after}")
            found = after
        if found.epoch != epoch:
            raise does_not_hold(f"it is of epoch {epoch}, and the way from the founders to it ends at {found.epoch}")
        return found

    @cached_property
    def program(self) -> Program:
        """Return the contracts of the genesis document and those accepted since, compiled here."""
        from contracts.errors import ContractsError
        from contracts.runtime import link
        from node.app import programs_of

        founding = {item.name: item.source for item in self.document.contracts}
        try:
            return link(programs_of(self.document).compiled([founding, *self.accepted]))
        except ContractsError as error:
            step = (
                "bring this program to the version that the companies run"
                if self.accepted
                else ("ask the founders for the final genesis file")
            )
            raise CommandFailed(Exit.REJECTED, f"{self.path}: contracts: {error}", step) from None

    @cached_property
    def member_set(self) -> MemberSet:
        """Return the founders, who certify the headers of epoch 0 (P85)."""
        from ledger.light import genesis_members

        return genesis_members(self.document)

    @property
    def currencies(self) -> dict[str, int]:
        """Return currency -> decimals."""
        return dict(self.document.currencies)

    def name(self, company_id: str) -> str:
        """Return the name of a company, or its id."""
        return self.names.get(company_id, company_id)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A proof that held: at which height, certified by which block, signed by whom."""

    proof: ResultProof
    height: int
    certified_by: int
    time_ms: int
    signers: tuple[str, ...]
    members: int

    def words(self, trusted: Trusted) -> str:
        """Return the sentence a person reads."""
        who = ", ".join(trusted.name(company) for company in self.signers)
        return (
            f"proven at height {self.height} by block {self.certified_by}, "
            f"signed by {len(self.signers)} of {self.members} members: {who}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return what scripts read."""
        from node.api.shapes import instant

        return {
            "height": self.height,
            "certified_by": self.certified_by,
            "time": instant(self.time_ms),
            "signers": list(self.signers),
            "members": self.members,
        }


def find_genesis(named: str | None, home: str) -> Path | None:
    """Return the genesis file to trust: the named one, or the home's; None when there is none."""
    if named:
        return Path(named)
    path = Path(home) / GENESIS_FILE if home else None
    return path if path is not None and path.exists() else None


def load(path: Path) -> Trusted:
    """Return the checked genesis file; a fault says what is wrong with it."""
    from node.app import StartRefused, read_genesis
    from node.identity.directory import DirectoryRefused, load_directory

    try:
        document, chain = read_genesis(path)
    except StartRefused as error:
        text, _, step = str(error).rpartition("; ")
        code = Exit.REJECTED if path.exists() else Exit.NOT_FOUND
        raise CommandFailed(code, text, step) from None
    names: Mapping[str, str] = {}
    directory = path.with_name("directory.toml")
    if directory.exists():
        try:
            names = load_directory(directory, document.companies, document.nodes, ahead=True).names
        except DirectoryRefused:
            names = {}  # names are for reading only; a wrong directory is the affair of hansa doctor
    return Trusted(path, document, chain, names)


def require(named: str | None, home: str) -> Trusted:
    """Return the genesis file to trust, or refuse and say how to name it."""
    path = find_genesis(named, home)
    if path is None:
        raise CommandFailed(
            Exit.USAGE, "there is no genesis file to check against", "name one that you trust with --genesis FILE"
        )
    return load(path)


def check(trusted: Trusted, data: bytes, about: bytes) -> Checked:
    """Check a result proof about a state key or transaction id; what does not hold ends with exit code 10."""
    from ledger.errors import LedgerError
    from ledger.proof import result_codec, verify_result

    try:
        proof = result_codec.decode(data)
        keys = trusted.members_of(proof.certificate.vote.epoch).keys
        problem = verify_result(proof, keys, trusted.chain_id, about=about)
    except LedgerError as error:
        raise does_not_hold(str(error)) from None
    if problem:
        raise does_not_hold(problem)
    header = certified(trusted, proof.header, proof.certificate)
    return Checked(
        proof=proof,
        height=proof.height,
        certified_by=header.height,
        time_ms=header.time_ms,
        signers=signers(trusted, proof.certificate),
        members=len(keys),
    )


def certified(trusted: Trusted, raw: bytes, certificate: CommitCertificate) -> Header:
    """Return a header that the trusted members certified, or refuse (P85)."""
    from ledger.light import header_of

    header = header_of(raw, certificate, trusted.members_of(certificate.vote.epoch), trusted.chain_id)
    if isinstance(header, str):
        raise does_not_hold(header)
    return header


def signers(trusted: Trusted, certificate: CommitCertificate) -> tuple[str, ...]:
    """Return the companies that signed a certificate that was checked."""
    from ledger.certificate import bitmap_indexes

    seats = trusted.members_of(certificate.vote.epoch).seats
    return tuple(seats[index][0] for index in bitmap_indexes(certificate.signers, len(seats)) or ())


def does_not_hold(problem: str) -> CommandFailed:
    """Return how a check ends that failed: exit code 10, with the first thing that is wrong."""
    return CommandFailed(
        Exit.FINDINGS,
        f"the proof does not hold: {problem}",
        "do not rely on this answer; ask another company's node, and check that the genesis file is yours",
    )


def block_proof(content: Mapping[str, Any]) -> BlockProof:
    """Return the proof of a block from the API's answer; it is not checked yet."""
    from ledger.certificate import certificate_codec
    from ledger.errors import LedgerError
    from ledger.proof import BlockProof

    try:
        raw = b64decode(str(content["header"]), validate=True)
        certificate = certificate_codec.decode(b64decode(str(content["certificate"]["bytes"]), validate=True))
        ids = tuple(bytes.fromhex(line["id"]) for line in content["transactions"])
    except (KeyError, TypeError, ValueError, LedgerError):
        raise CommandFailed(Exit.REJECTED, "the block is malformed", "ask another node") from None
    return BlockProof(raw, certificate, ids)


def proof_bytes(content: Mapping[str, Any] | None) -> bytes | None:
    """Return the bytes of a proof as the API gives it, or None when there is none yet."""
    if content is None:
        return None
    try:
        if content["format"] != FORMAT:
            raise CommandFailed(Exit.REJECTED, f"the proof has the format {content['format']!r}", "update this program")
        return b64decode(str(content["bytes"]), validate=True)
    except (KeyError, ValueError):
        raise CommandFailed(Exit.REJECTED, "the proof is malformed", "ask another node") from None


def with_epochs(trusted: Trusted, content: Mapping[str, Any] | None) -> Trusted:
    """Return the same trust with the epoch ends that lie beside a proof in an answer or a file; not checked yet."""
    from ledger.errors import LedgerError
    from ledger.governance.follow import epoch_end_codec

    try:
        listed = [str(item) for item in (content or {}).get("epochs", ())]
        ends = tuple(epoch_end_codec.decode(b64decode(item, validate=True)) for item in listed)
    except (TypeError, ValueError, LedgerError):
        raise CommandFailed(Exit.REJECTED, "the ends of epochs beside the proof are malformed", "ask again") from None
    return replace(trusted, ends=ends)


async def contracts_of(client: Client) -> list[dict[str, Any]]:
    """Return every contract version that a vote brought, as the node tells it: its source and the proof of its record.

    Nothing of it is believed yet: `with_contracts` checks it, here or where the proof file is read.
    """
    from cli.sources import SourceRefused, read_head
    from ledger.governance.programs import version_key

    told: list[dict[str, Any]] = []
    for step in (await client.get("v1/contract-history"))["items"]:
        for item in step["contracts"] if step["active"] and step["active_from"] else ():
            source = str(item["source"]).encode("utf-8")
            try:
                head = read_head(Path(str(item["name"])), source)
            except SourceRefused as refusal:
                raise CommandFailed(
                    Exit.REJECTED, f"the node's contract does not read: {refusal.problem.words()}", "ask another node"
                ) from None
            answer = await client.get(f"v1/state/{version_key(head.name, head.version).hex()}", {"proof": "1"})
            proof = answer.get("proof") or {}
            told.append(
                {
                    "name": head.name,
                    "version": head.version,
                    "source": b64encode(source).decode("ascii"),
                    "proof": proof.get("bytes", ""),
                    "epochs": list(proof.get("epochs", ())),
                }
            )
    return told


def with_contracts(trusted: Trusted, content: Mapping[str, Any] | None) -> Trusted:
    """Return the same trust with the contract versions beside a proof; a source whose hash is not proven is refused."""
    from ledger.errors import LedgerError
    from ledger.genesis import code_id, contract_meta_codec
    from ledger.governance.programs import version_key
    from ledger.proof import proven_value

    steps: dict[int, dict[str, bytes]] = {}
    beside = (content or {}).get("contracts", ())
    if (
        isinstance(beside, str)
        or not isinstance(beside, Sequence)
        or not all(isinstance(item, Mapping) for item in beside)
    ):
        raise CommandFailed(Exit.REJECTED, "the contracts beside the proof are malformed", "ask again")
    for item in beside:
        try:
            name, version = str(item["name"]), int(item["version"])
            source = b64decode(str(item["source"]), validate=True)
            data = b64decode(str(item["proof"]), validate=True)
            key = version_key(name, version)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise CommandFailed(Exit.REJECTED, "the contracts beside the proof are malformed", "ask again") from None
        record = proven_value(check(with_epochs(trusted, item), data, key).proof)
        try:
            meta = None if record is None else contract_meta_codec.decode(record)
        except LedgerError as error:
            raise does_not_hold(f"contract {name}: {error}") from None
        if meta is None or (meta.name, meta.version, meta.code_id) != (name, version, code_id(source)):
            raise does_not_hold(f"version {version} of contract {name} is not what the ledger names")
        steps.setdefault(meta.active_from, {})[name] = source
    return replace(trusted, accepted=tuple(steps[active_from] for active_from in sorted(steps)))


def proof_document(
    kind: str, about: bytes, data: bytes, epochs: Sequence[str] = (), contracts: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return the content of a proof file: what `hansa verify` reads. `kind` is one of `KINDS`.

    `epochs` are the ends of the epochs before that of its certificate, as the node gave them (P85); `contracts` are the
    versions that votes brought, with their own proofs, so that a row can be read (L63).
    """
    beside: dict[str, Any] = {"epochs": list(epochs)} if epochs else {}
    if contracts:
        beside["contracts"] = [dict(item) for item in contracts]
    return {
        "schema": PROOF_SCHEMA,
        "kind": kind,
        "about": about.hex(),
        "format": FORMAT,
        "bytes": b64encode(data).decode("ascii"),
        **beside,
    }
