"""What companies send to change their network: payloads of proposals, with the signatures each kind needs (S22-S26).

The private keys of officers and of the node are opened here, used, and forgotten; only signatures leave the machine.
"""

from __future__ import annotations

import secrets
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli import place
from cli.calls import Act
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.unlocking import PEOPLE_SECRET, held_secret, open_key, refusal
from ledger.crypto.ed25519 import SigningKey
from ledger.errors import LedgerError
from ledger.governance.keys import (
    endorse_digest,
    leave_digest,
    possession_digest,
    ready_digest,
    replace_digest,
    rotate_digest,
)
from ledger.governance.records import Leave, ReplaceKeys, RotateConsensus, RotateTls
from ledger.ids import HASH_BYTES
from ledger.registry.records import TlsPin, node_id

if TYPE_CHECKING:
    from cli.acting import Actor
    from cli.client import Client
    from cli.wallet import Wallet
    from node.identity.founding import Card
    from node.identity.joining import InviteFile, KeysFile, RequestFile
    from node.identity.keystore import Keystore

GAS: Final = 100_000
"""More than any governance call takes: the gas is counted by payload and signatures, not proven by a compiler."""
RECOVERY_BLOCKS: Final = 1_000_000
"""Heights for which new keys for a company are proposed: more than the 7 days of delay under load (S28)."""
PROPOSAL_BLOCKS: Final = 20_000
"""Heights for which a proposal or an invite is open unless told otherwise: some hours under load, days without."""


def act(method: str, wallet: Wallet) -> Act:
    """Return a governance call: signed by a governor, and a company_admin or else a second governor (S22)."""
    admin = any("company_admin" in person.roles for person in wallet.people)
    second = "company_admin" if admin else "governor"
    return Act("governance", method, (("governor", "maker"), (second, "checker")), gas=GAS)


async def ask_effect(client: Client, kind: str, payload: bytes) -> dict[str, Any]:
    """Ask the node what accepting this would do to members and quorum (P116)."""
    return await client.post("v1/proposals/effect", {"kind": kind, "payload": b64encode(payload).decode()})


@dataclass(frozen=True, slots=True)
class Home:
    """A company home whose keys sign. `key_file` opens the keystore of the node, if its secret lies elsewhere."""

    path: Path
    key_file: str | None = None

    @property
    def card(self) -> Card:
        from node.home import CARD_FILE, read_card

        try:
            return read_card(self.path / CARD_FILE)
        except (OSError, LedgerError) as error:
            raise CommandFailed(
                Exit.USAGE, f"{self.path / CARD_FILE} cannot be read: {error}", "hansa init makes it"
            ) from None

    def officers(self) -> list[SigningKey]:
        """Open the root keys that lie in this home; those of other officers are added on their machines."""
        found = sorted((self.path / "officers").glob("*.json"))
        if not found:
            raise CommandFailed(
                Exit.NOT_ALLOWED,
                f"no officer's key lies in {self.path / 'officers'}",
                "bring the root keys for this act",
            )
        secret = held_secret(None, self.path / PEOPLE_SECRET, "the officers' keys", "")
        return [open_key(path, secret).signing_key() for path in found]

    def root_signatures(self, digest: bytes) -> tuple[tuple[bytes, bytes], ...]:
        """Sign for the company with as many root keys as its policy asks for."""
        needed = self.card.company.root.m
        keys = self.officers()
        if len(keys) < needed:
            raise CommandFailed(
                Exit.NOT_ALLOWED,
                f"{len(keys)} root keys lie here, {needed} must sign",
                "bring the other officers' keys",
            )
        return tuple((key.public_key, key.sign(digest)) for key in keys[:needed])

    def keystore(self) -> Keystore:
        """Open the keystore of the node; the caller closes it."""
        from node.identity.keystore import Keystore, KeystoreError

        config = place.load_node(self.path / place.NODE_FILE).config
        beside = Path(config.node.key_file) if config.node.key_file else None
        secret = held_secret(self.key_file, beside, "the node's keystore", "--key-file")
        try:
            return Keystore.open(config.keystore_dir, secret)
        except KeystoreError as error:
            raise refusal(error) from None

    @property
    def data(self) -> Path:
        return place.load_node(self.path / place.NODE_FILE).config.data_dir


def join_request(home: Home, wallet: Wallet, invite: InviteFile) -> RequestFile:
    """Return the request of this home's company, proven with all its keys."""
    from node.home import CONSENSUS_KEY
    from node.identity.joining import request_to_join
    from node.identity.keystore import KeyKind

    keystore = home.keystore()
    try:
        consensus = keystore.signing_key(CONSENSUS_KEY, KeyKind.CONSENSUS)
    finally:
        keystore.close()
    users = [wallet.key(person) for person in wallet.people]
    return request_to_join(home.card, invite, consensus, users, home.officers())


def recovery(home: Home, wallet: Wallet, chain: bytes) -> KeysFile:
    """Return what a company that lost its keys asks for from a fresh home, proven with all its new keys (S28)."""
    from node.home import CONSENSUS_KEY
    from node.identity.joining import KeysFile, request_of
    from node.identity.keystore import KeyKind

    keystore = home.keystore()
    try:
        consensus = keystore.signing_key(CONSENSUS_KEY, KeyKind.CONSENSUS)
    finally:
        keystore.close()
    users = [wallet.key(person) for person in wallet.people]
    company = home.card.company.company_id
    request = request_of(home.card, chain, bytes(HASH_BYTES), consensus, users, home.officers())
    signatures = home.root_signatures(replace_digest(chain, company, request))
    return KeysFile(chain, ReplaceKeys(company, request, signatures, ()))


def consented(home: Home, asked: KeysFile) -> KeysFile:
    """Return a request for new keys with the signatures of the company's old officers, who are in `home`."""
    import msgspec

    payload = asked.payload
    digest = replace_digest(asked.chain_id, payload.company_id, payload.request)
    if home.card.company.company_id != payload.company_id:
        raise CommandFailed(
            Exit.NOT_ALLOWED, f"{home.path} is not of company {payload.company_id}", "name the old home with --home"
        )
    return msgspec.structs.replace(
        asked, payload=msgspec.structs.replace(payload, old_signatures=home.root_signatures(digest))
    )


def rotation(home: Home, chain: bytes, voting: bytes, *, keep: bool, by_officers: bool = False) -> RotateConsensus:
    """Return the change from the key `voting` to the next one, signed by both (S23).

    The next key and its journal are made now, unless an earlier proposal made them already. Without `keep` the key is
    drawn for the question only. After a compromise the root policy signs instead of the old key, `by_officers`.
    """
    from node.home import consensus_keys, next_consensus_key

    keystore = home.keystore()
    try:
        held = [stored.signing_key() for stored in consensus_keys(keystore)]
        places = [place for place, key in enumerate(held) if key.public_key == voting]
        if not places:
            raise CommandFailed(
                Exit.NOT_ALLOWED,
                f"the key {voting.hex()[:16]}… is not in the keystore of {home.path}",
                "name its --home",
            )
        node, old, later = node_id(held[0].public_key), held[places[0]], held[places[0] + 1 :]
        drawn = next_consensus_key(keystore, home.data) if keep and not later else None
    finally:
        keystore.close()
    new = later[-1] if later else drawn or SigningKey(secrets.token_bytes(32))
    digest = rotate_digest(chain, node, new.public_key)
    return RotateConsensus(
        node_id=node,
        public_key=new.public_key,
        proof=new.sign(possession_digest(chain, "consensus", node, new.public_key)),
        signatures=home.root_signatures(digest) if by_officers else ((old.public_key, old.sign(digest)),),
    )


def tls_rotation(home: Home, chain: bytes, found: dict[str, Any], *, keep: bool, end_old: bool) -> RotateTls:
    """Return the next pins of the own node, of which `found` tells the present ones (`/v1/admission`, S23).

    Otherwise the newest pin stays beside one that is made now, or by an earlier call that was not carried out. With
    `end_old` only the newest one stays. Without `keep` nothing is written.
    """
    from node.home import next_tls_pin, tls_pins

    now = tuple(TlsPin(bytes.fromhex(one["spki_sha256"]), b64decode(one["certificate"])) for one in found["tls"])
    if not now:
        raise CommandFailed(
            Exit.CONFLICT,
            f"node {found['node']} is not registered yet",
            "hansa company request registers its first key",
        )
    keystore = home.keystore()
    try:
        held = tls_pins(home.path, keystore)
        newest = next((pin for pin in reversed(held) if pin in now), None)
        if newest is None:
            raise CommandFailed(
                Exit.NOT_ALLOWED, f"no registered TLS key of the node lies in {home.path}", "name its --home"
            )
        if end_old:
            if now == (newest,):
                raise CommandFailed(
                    Exit.CONFLICT, "only one TLS key is registered", "leave --end-old out to make another"
                )
            return RotateTls(found["node"], (newest,))
        later = held[held.index(newest) + 1 :]
        made = (
            later[-1]
            if later
            else next_tls_pin(home.path, keystore, found["node"], chain, time.time_ns() // 1_000_000, keep=keep)
        )
    finally:
        keystore.close()
    return RotateTls(found["node"], (newest, made))


async def voting_key(actor: Actor) -> bytes:
    """Return the consensus key of the company in the epoch that was decided last."""
    last = (await actor.client.get("v1/epochs"))["items"][-1]
    mine = [one for one in last["members"] if one["company"]["id"] == actor.wallet.company_id]
    if not mine:
        raise CommandFailed(Exit.CONFLICT, "this company has no vote in the last epoch", "hansa company epochs")
    return bytes.fromhex(mine[0]["consensus_key"])


def leave(home: Home, chain: bytes, company: str) -> Leave:
    """Return the leave of the own company, signed by its root policy (S26)."""
    return Leave(company, home.root_signatures(leave_digest(chain, company)))


def endorsement(home: Home, chain: bytes, proposal: bytes, company: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return the root signatures that back an approval (S26)."""
    return home.root_signatures(endorse_digest(chain, proposal, company))


def readiness(home: Home, chain: bytes, found: dict[str, Any]) -> tuple[str, int, bytes, bytes]:
    """Return the arguments of `ready`: the admitted key of this node signs that it holds a recent block (S22.8)."""
    from node.home import consensus_keys

    node, block, waiting = found["node"], found["block"], found["waiting"]
    if waiting is None or block is None:
        raise CommandFailed(
            Exit.CONFLICT, f"no key of node {node} waits to vote", "hansa company proposals shows what was agreed"
        )
    keystore = home.keystore()
    try:
        keys = [stored.signing_key() for stored in consensus_keys(keystore)]
    finally:
        keystore.close()
    wanted = bytes.fromhex(waiting["consensus_key"])
    key = next((one for one in keys if one.public_key == wanted), None)
    if key is None:
        raise CommandFailed(
            Exit.NOT_ALLOWED, f"the key {wanted.hex()[:16]}… is not in the keystore of {home.path}", "name its --home"
        )
    height, block_id = int(block["height"]), bytes.fromhex(block["id"])
    return node, height, block_id, key.sign(ready_digest(chain, node, height, block_id))
