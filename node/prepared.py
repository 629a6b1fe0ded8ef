"""What is open before the loop begins, and the consensus keys of a node with their journals (S23, S24, P94).

Door: `Prepared`, made by `node.app.prepare`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from consensus.validate import signing_digest_of
from ledger.crypto.ed25519 import SigningKey
from ledger.genesis import GenesisDocument
from ledger.registry.epochs import EpochRecord, epoch_at
from ledger.registry.lookup import companies, nodes, read_key
from node.api.sessions import SessionStore
from node.api.tokens import TokenStore
from node.config import NodeConfig
from node.core.programs import Programs
from node.documents.vault import Vault
from node.home import consensus_keys
from node.identity.directory import Directory, load_directory
from node.identity.keystore import Keystore
from node.identity.tls import TlsFiles
from node.store.ends import EpochEnds
from node.store.journal import Journal, JournalImage
from node.store.ledger import ChainStore
from node.store.places import DataDirectory
from node.store.snapshots import Snapshots


@dataclass(frozen=True, slots=True)
class VotingKey:
    """A consensus key of this node and the journal made with it: each key has its own guard against signing twice."""

    key: SigningKey
    journal_id: bytes
    number: int
    """1 is the first one; names the folder of the journal."""


@dataclass(slots=True, kw_only=True)
class Prepared:
    """Everything that is opened before the loop begins."""

    config: NodeConfig
    data: DataDirectory
    document: GenesisDocument
    genesis_id: bytes
    chain: bytes
    directory: Directory
    node_id: str
    company_id: str
    keys: tuple[VotingKey, ...]
    """All consensus keys of this node, the first one first."""
    key: VotingKey
    """The one that signs in the present epoch; `journal` is its journal."""
    tls: TlsFiles
    api_tls: TlsFiles | None
    """The API's own certificate; None when the configuration names one, or in development (S46)."""
    programs: Programs
    store: ChainStore
    snapshots: Snapshots
    journal: Journal
    image: JournalImage
    chain_keys: Mapping[str, Mapping[int, bytes]]
    journal_keys: Mapping[int, bytes]
    """Keys with which store and journals are opened again, when a snapshot takes the place of the store or a key that
    of another."""
    ends: EpochEnds
    tokens: TokenStore
    vault: Vault
    numbering: bytes
    people: Mapping[str, str]
    sessions: SessionStore = field(default_factory=SessionStore)
    """Signed-in browsers outlive the listener, which ends and begins again when a store is opened anew (S46, U6)."""

    def close(self) -> None:
        """Close what is open; the data directory last, because its lock protects the rest."""
        self.snapshots.close()
        self.store.close()
        self.journal.close()
        self.vault.close()
        self.data.close()

    def open_journal(self) -> None:
        """Open the journal of the key that signs at the next height; the one that was open must be closed."""
        self.key = key = key_at(self.store, self.company_id, self.keys)
        self.journal, self.image = Journal.open(self.data.journal_of(key.number), self.journal_keys, key.journal_id)

    def own_key(self, epoch: EpochRecord) -> bytes:
        """Return the consensus key with which the own company votes in an epoch; empty if it does not."""
        member = epoch.member(self.company_id)
        return b"" if member is None or member.node_id != self.node_id else member.consensus_key

    def own_index(self, epoch: EpochRecord) -> int | None:
        """Return the own index in an epoch; None without a vote, or without the key for it."""
        voting = self.own_key(epoch) == self.key.key.public_key
        return epoch.companies.index(self.company_id) if voting else None


class VoteSigner:
    """Signs with the consensus key; deterministic (P99)."""

    def __init__(self, key: SigningKey, chain: bytes) -> None:
        self._key = key
        self._chain = chain

    def sign(self, kind: str, body: bytes) -> bytes:
        return self._key.sign(signing_digest_of(kind, self._chain, body))


def voting_keys(keystore: Keystore) -> tuple[VotingKey, ...]:
    """Return all consensus keys of a node, the first one first. Raises what the keystore raises."""
    return tuple(
        VotingKey(stored.signing_key(), stored.journal_id, number)
        for number, stored in enumerate(consensus_keys(keystore), start=1)
    )


def key_at(store: ChainStore, company_id: str, keys: tuple[VotingKey, ...]) -> VotingKey:
    """Return the key that votes at the next height; without a vote, the last one that is registered, or the first."""
    view = store.view()
    member = epoch_at(view, store.tip.height + 1).member(company_id)
    if member is not None:
        for key in keys:
            if key.key.public_key == member.consensus_key:
                return key
    return next((key for key in reversed(keys) if read_key(view, key.key.public_key) is not None), keys[0])


def directory_at(config: NodeConfig, store: ChainStore) -> Directory:
    """Return the directory entries of the companies that the state knows. Raises `DirectoryRefused`."""
    view = store.view()
    return load_directory(config.directory_file, companies(view), nodes(view), ahead=True)
