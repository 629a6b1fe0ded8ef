"""Conformance vectors: bytes, digests, signatures, trees and proofs, accepted and refused.

`python scripts/gen_vectors.py` writes tests/vectors/*.json; `--check` compares them with what the code makes now and
fails on the first difference. A vector changes only together with the version number of its format.

Every input is in the file, so another implementation reads nothing else. Bytes are lower-case hex.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import msgspec  # noqa: E402  # the project is importable from a plain checkout

from ledger import merkle  # noqa: E402
from ledger.block import (  # noqa: E402
    EMPTY_LIST_ROOT,
    Header,
    block_id,
    exec_root,
    genesis_exec_root,
    list_proof,
    list_root,
)
from ledger.certificate import (  # noqa: E402
    CommitCertificate,
    Vote,
    bitmap,
    certificate_hash,
    faults,
    genesis_certificate,
    quorum,
)
from ledger.codec import encode  # noqa: E402
from ledger.crypto.aead import (  # noqa: E402
    EnvelopeContext,
    blob_hash,
    envelope_key,
    key_commitment,
    pack,
    seal_envelope,
    seal_padded,
)
from ledger.crypto.ed25519 import SMALL_ORDER, L, P, SigningKey  # noqa: E402
from ledger.crypto.fieldtree import build, leaf  # noqa: E402
from ledger.crypto.hashing import H, Tag, lp, signing_digest  # noqa: E402
from ledger.crypto.kdf import field_salt  # noqa: E402
from ledger.genesis import KeyProof, founder_digest, proof_digest  # noqa: E402
from ledger.governance.follow import EpochEnd, wire_members  # noqa: E402
from ledger.governance.keys import (  # noqa: E402
    endorse_digest,
    join_digest,
    leave_digest,
    possession_digest,
    ready_digest,
    replace_digest,
    rotate_digest,
)
from ledger.governance.records import (  # noqa: E402
    AddCompany,
    Admission,
    Ballot,
    ContractPlan,
    Expel,
    FaultPolicy,
    FirstUser,
    InstallContracts,
    Invite,
    JoinRequest,
    Leave,
    Openings,
    PlannedContract,
    Proposal,
    RearmSchedule,
    ReplaceKeys,
    Replacement,
    Resume,
    ResumeContract,
    RotateConsensus,
    RotateTls,
    Rotation,
    Suspend,
    SuspendContract,
    Suspension,
    admission_key,
    ballot_key,
    invite_key,
    lapse_key,
    openings_key,
    proposal_key,
    replacement_key,
    suspension_key,
)
from ledger.governance.resting import POLICY_KEY, Resting, resting_key  # noqa: E402
from ledger.ids import ZERO_HASH  # noqa: E402
from ledger.merkle import ProofLevel, StateProof, prove  # noqa: E402
from ledger.params import Params  # noqa: E402
from ledger.proof import ResultProof, StateClaim, inclusion_proof, receipt_claim  # noqa: E402
from ledger.receipt import STATUS_FAILED, STATUS_OK, Abort, ContractEvent, Receipt, receipts_root  # noqa: E402
from ledger.registry.epochs import EpochMember, EpochRecord, epoch_key  # noqa: E402
from ledger.registry.lookup import REGISTRY_KEY, UNUSED, signing_key_key, use_nonce  # noqa: E402
from ledger.registry.records import (  # noqa: E402
    KeyRecord,
    RegistryState,
    RootPolicy,
    TlsPin,
    company_id,
    legal_commitment,
    members_hash,
    node_id,
    user_id,
)
from ledger.state import MemoryState  # noqa: E402
from ledger.transaction import SignerRef, TxBody, body_digest, envelope_hash, sign_transaction, transaction_id  # noqa: E402

CHAIN = bytes([0x11]) * 32
SEED = bytes([0x22]) * 32
DEK = bytes([0x33]) * 32
DOC = bytes([0x44]) * 16
PARAMS = Params(rotate_every=0)
"""The parameters of one genesis; a new default of some later version changes no bytes here."""
KEYS = [SigningKey(bytes([byte]) * 32) for byte in (0x55, 0x56, 0x57, 0x58)]

Vectors = dict[str, Any]


def hashing() -> Vectors:
    """Length prefixes, tagged hashes and signing digests (S1-S3)."""
    parts = [[], [b""], [b"ab", b"c"], [b"a", b"bc"], [bytes(300)]]
    return {
        "lp": [{"parts": row, "bytes": lp(*row)} for row in parts],
        "hash": [{"tag": tag.value, "parts": row, "digest": H(tag, *row)} for tag in Tag for row in parts[2:4]],
        "signing_digest": [
            {"domain": tag.value, "chain_id": chain, "body": b"body", "digest": signing_digest(tag, chain, b"body")}
            for tag in (Tag.SIG_TX, Tag.SIG_COMMIT, Tag.SIG_POP)
            for chain in (CHAIN, ZERO_HASH)
        ],
    }


def signatures() -> Vectors:
    """Ed25519 with strict verification: what every node accepts and refuses alike (S6)."""
    digest = signing_digest(Tag.SIG_TX, CHAIN, b"body")
    key = KEYS[0]
    good = key.sign(digest)
    larger = good[:32] + (int.from_bytes(good[32:], "little") + L).to_bytes(32, "little")
    refused = [
        ("another digest", key.public_key, good, bytes(32)),
        ("another key", KEYS[1].public_key, good, digest),
        ("short signature", key.public_key, good[:-1], digest),
        ("S not below the group order", key.public_key, larger, digest),
        ("y of the key not reduced", (P + 3).to_bytes(32, "little"), good, digest),
        ("y of R not reduced", key.public_key, (P + 3).to_bytes(32, "little") + good[32:], digest),
    ]
    refused += [("small-order key", point, good, digest) for point in sorted(SMALL_ORDER)]
    refused += [("small-order R", key.public_key, point + good[32:], digest) for point in sorted(SMALL_ORDER)]
    return {
        "accepted": [
            {
                "seed": bytes([0x55 + i]) * 32,
                "public_key": held.public_key,
                "digest": digest,
                "signature": held.sign(digest),
            }
            for i, held in enumerate(KEYS)
        ],
        "refused": [
            {"reason": reason, "public_key": public, "signature": signature, "digest": signed}
            for reason, public, signature, signed in refused
        ],
    }


def identities() -> Vectors:
    """Self-certifying ids, commitments and proofs of possession (S7, S17, S18, LR5, LR10)."""
    policy = RootPolicy(2, tuple(key.public_key for key in KEYS[:3]))
    company = company_id(policy)
    node = node_id(KEYS[0].public_key)
    members = [(f"c{i}", KEYS[i].public_key, True) for i in range(4)]
    identifiers = (("vat", "DE123456789"), ("gln", "4012345000009"))
    return {
        "company_id": {"m": policy.m, "keys": policy.keys, "id": company},
        "node_id": {"consensus_key": KEYS[0].public_key, "id": node},
        "user_id": {"company_id": company, "key": KEYS[0].public_key, "id": user_id(company, KEYS[0].public_key)},
        "legal_commitment": {
            "salt": SEED,
            "name": "Muster GmbH",
            "identifiers": identifiers,
            "commitment": legal_commitment(SEED, "Muster GmbH", identifiers),
        },
        "members_hash": {"members": members, "hash": members_hash(members)},
        "params_hash": {"params": encode(PARAMS), "hash": PARAMS.hash()},
        "proof_of_possession": {
            "kind": "consensus",
            "owner": node,
            "public_key": KEYS[0].public_key,
            "digest": proof_digest("consensus", node, KEYS[0].public_key),
        },
        "founder": {"chain_id": CHAIN, "company_id": company, "digest": founder_digest(CHAIN, company)},
    }


def transactions() -> Vectors:
    """Body, id, envelope and verdict key; forms that are refused (LR1, LR2, LR4). The nonce window (LR3)."""
    body = TxBody(
        1,
        (SignerRef("u-maker", "maker", "c-a"), SignerRef("u-checker", "checker", "c-a")),
        7,
        100,
        "invoices",
        "issue",
        (
            "c-b",
            "inv 1",
            "380",
            ("EUR", 10_000),
            ("EUR", 1_900),
            ("EUR", 11_900),
            "2026-01-31",
            "2026-03-02",
            "ab" * 32,
        ),
        50_000,
    )
    envelope = sign_transaction(body, KEYS[:2], CHAIN)
    raw = encode(body)
    one_signature = encode((raw, ((KEYS[0].public_key, KEYS[0].sign(signing_digest(Tag.SIG_TX, CHAIN, raw))),)))
    pairs = msgspec.msgpack.decode(envelope)[1]
    long_integer = encode((raw.replace(b"\x07\x64", b"\xcc\x07\x64", 1), pairs))
    twice = encode(msgspec.structs.replace(body, signers=(body.signers[0], body.signers[0])))
    windows, window = [], UNUSED
    for nonce in (1, 3, 2, 259, 5):
        window = use_nonce(window, nonce)
        windows.append({"use": nonce, "window": encode(window), "floor": window.floor})
    return {
        "valid": [
            {
                "chain_id": CHAIN,
                "body": raw,
                "digest": body_digest(raw, CHAIN),
                "tx_id": transaction_id(body_digest(raw, CHAIN), (key.public_key for key in KEYS[:2])),
                "envelope": envelope,
                "envelope_hash": envelope_hash(envelope),
            }
        ],
        "refused": [
            {"reason": "trailing byte", "envelope": envelope + b"\x00"},
            {"reason": "integer longer than needed", "envelope": long_integer},
            {"reason": "one signature for two signers", "envelope": one_signature},
            {"reason": "a user signs twice", "envelope": encode((twice, pairs))},
            {"reason": "empty", "envelope": b""},
        ],
        "nonce_window": windows,
    }


def sample_receipts() -> tuple[Receipt, ...]:
    ok = Receipt(
        bytes([1]) * 32, "invoices", 1, "issue", STATUS_OK, 812, (),
        (ContractEvent("invoices", "Issued", ("inv-1", "c-a", "c-b")),), "inv-1",
    )  # fmt: skip
    abort = Abort("require_failed", "RK1", "acceptance", 1, 12, "exposure 12.00 EUR > limit 10.00 EUR")
    failed = Receipt(bytes([2]) * 32, "acceptance", 1, "accept", STATUS_FAILED, 500, (abort,), (), None)
    return ok, failed, msgspec.structs.replace(ok, tx_id=bytes([3]) * 32)


def lists() -> Vectors:
    """Binary list trees with proofs, receipts (LR6)."""
    receipts = sample_receipts()
    rows = []
    for count in (0, 1, 2, 3, 4, 5, 7, 8, 13):
        items = [b"item %d" % i for i in range(count)]
        rows.append(
            {
                "items": items,
                "root": list_root(items),
                "proofs": [{"index": i, "siblings": list_proof(items, i)} for i in range(count)],
            }
        )
    return {
        "roots": rows,
        "receipts": [encode(receipt) for receipt in receipts],
        "receipts_root": receipts_root(receipts),
    }


def state_tree() -> Vectors:
    """Roots and proofs of the state tree (LR7); proofs that must be refused."""
    rows = []
    for count in (0, 1, 2, 20):
        content = {b"t%d" % i: b"value %d" % i for i in range(count)}
        root, nodes = merkle.build(content)
        view = MemoryState(content, nodes, 0, root, ZERO_HASH)
        rows.append(
            {
                "rows": [[key, value] for key, value in content.items()],
                "root": root,
                "proofs": [
                    {"key": key, "value": content.get(key), "proof": encode(prove(view, key))}
                    for key in (b"t0", b"t19", b"absent", b"absent 2", b"absent 3")
                ],
            }
        )
    refused: list[tuple[str, bytes, StateProof]] = []
    content = {b"t%d" % i: b"value %d" % i for i in range(20)}
    root, nodes = merkle.build(content)
    view = MemoryState(content, nodes, 0, root, ZERO_HASH)
    good = prove(view, b"t0")
    own = (merkle.key_hash(b"t0"), merkle.value_hash(b"value 0"))
    refused.append(("another value", b"t0", msgspec.structs.replace(good, found=(b"value 1",))))
    refused.append(("another key", b"t1", good))
    refused.append(("own leaf as absence", b"t0", msgspec.structs.replace(good, found=(), other=(own,))))
    refused.append(("level missing", b"t0", msgspec.structs.replace(good, levels=good.levels[1:])))
    level = good.levels[0]
    bent = ProofLevel(level.bitmap, level.siblings[:-1])
    refused.append(("sibling missing", b"t0", msgspec.structs.replace(good, levels=(bent, *good.levels[1:]))))
    return {
        "trees": rows,
        "refused": [{"reason": why, "root": root, "key": key, "proof": encode(proof)} for why, key, proof in refused],
    }


def blocks() -> Vectors:
    """Header, block id, certificates and quorum; one result proof of each kind (LR5, LR8, P4, P14)."""
    content = {b"t%d" % i: b"value %d" % i for i in range(20)}
    root, nodes = merkle.build(content)
    view = MemoryState(content, nodes, 1, root, ZERO_HASH)
    receipts = sample_receipts()
    previous = genesis_exec_root(merkle.EMPTY_ROOT)
    executed = exec_root(previous, root, receipts_root(receipts))
    ids = [receipt.tx_id for receipt in receipts]
    members = members_hash([(f"c{i}", key.public_key, True) for i, key in enumerate(KEYS)])
    genesis = genesis_certificate(bytes([9]) * 32)
    header = Header(
        1, CHAIN, 0, 2, bytes([8]) * 32, list_root(ids), len(ids), 900, 1_780_000_000_000, 1, 1, executed,
        members, members, EMPTY_LIST_ROOT, 0, certificate_hash(genesis), PARAMS.hash(),
    )  # fmt: skip
    raw = encode(header)
    vote = Vote(0, 3, 2, block_id(raw))
    digest = signing_digest(Tag.SIG_COMMIT, CHAIN, encode(vote))
    certificate = CommitCertificate(vote, bitmap((0, 2, 3), 4), tuple(KEYS[i].sign(digest) for i in (0, 2, 3)))

    def result(**claim: Any) -> bytes:
        return encode(
            ResultProof(
                height=1,
                state=claim.get("state", ()),
                receipt=claim.get("receipt", ()),
                previous_exec_root=previous,
                state_root=root,
                receipts_root=receipts_root(receipts),
                links=(),
                header=raw,
                certificate=certificate,
            )
        )

    short = msgspec.structs.replace(certificate, signers=bitmap((0, 2), 4), signatures=certificate.signatures[:2])
    swapped = msgspec.structs.replace(certificate, signers=bitmap((0, 1, 3), 4))
    padded = msgspec.structs.replace(certificate, signers=bytes([0b11101]))
    return {
        "chain_id": CHAIN,
        "keys": [key.public_key for key in KEYS],
        "header": raw,
        "block_id": block_id(raw),
        "vote": encode(vote),
        "commit_digest": digest,
        "certificate": encode(certificate),
        "certificate_hash": certificate_hash(certificate),
        "genesis_certificate": encode(genesis),
        "refused_certificates": [
            {"reason": "fewer than q", "certificate": encode(short)},
            {"reason": "another signer", "certificate": encode(swapped)},
            {"reason": "bitmap padding", "certificate": encode(padded)},
        ],
        "quorum": [{"n": n, "f": faults(n), "q": quorum(n)} for n in range(1, 26)],
        "exec_root": {"previous": previous, "state_root": root, "receipts_root": receipts_root(receipts),
                      "exec_root": executed, "genesis": genesis_exec_root(merkle.EMPTY_ROOT)},
        "result_proofs": {
            "value": result(state=(StateClaim(b"t7", prove(view, b"t7")),)),
            "absence": result(state=(StateClaim(b"absent", prove(view, b"absent")),)),
            "receipt": result(receipt=(receipt_claim(receipts, 1),)),
            "transaction": encode(inclusion_proof(ids, 2, raw, certificate)),
        },
    }  # fmt: skip


def documents() -> Vectors:
    """Field tree, disclosure and envelope (S78-S87)."""
    fields = {"buyer": b"A", "total": b"2842.00"}
    many = {f"lines/{i:02}/net": b"%d.00" % i for i in range(40)}
    tree = build(fields, SEED)
    context = EnvelopeContext(suite=1, chain_id=CHAIN, doc=DOC, version=1, root=tree.root)
    sealed = seal_envelope(fields, SEED, DEK, context)
    large = bytes(200_000)
    return {
        "trees": [
            {
                "seed": SEED,
                "fields": [[path, value] for path, value in content.items()],
                "salts": [[path, field_salt(SEED, path)] for path in content],
                "leaves": [[path, leaf(field_salt(SEED, path), path, value)] for path, value in content.items()],
                "count": build(content, SEED).count,
                "root": build(content, SEED).root,
                "disclosures": [encode(build(content, SEED).disclose(path)) for path in list(content)[:2]],
            }
            for content in (fields, many)
        ],
        "envelope": {
            "suite": context.suite,
            "chain_id": CHAIN,
            "doc": DOC,
            "version": context.version,
            "root": tree.root,
            "dek": DEK,
            "ctx": context.encoded(),
            "enc_key": envelope_key(DEK, context),
            "kc": key_commitment(DEK, context),
            "plaintext": pack(fields, SEED),
            "ciphertext": sealed.ciphertext,
            "blob": sealed.blob,
            "ciphertext_of_512_zero_bytes": seal_padded(bytes(512), DEK, context).ciphertext,
        },
        "blob_of_200000_zero_bytes": blob_hash(large),
    }


def governance() -> Vectors:
    """Payloads, records and keys of governance, what is signed for them, a walk over epochs (S22-S26, P85)."""
    policy = RootPolicy(2, tuple(sorted(key.public_key for key in KEYS[:3])))
    company, node, public = company_id(policy), node_id(KEYS[0].public_key), KEYS[0].public_key
    pin = TlsPin(bytes([0x61]) * 32, b"certificate")
    signed = ((KEYS[1].public_key, KEYS[1].sign(leave_digest(CHAIN, company))),)
    proof = KeyProof("consensus", node, public, KEYS[0].sign(possession_digest(CHAIN, "consensus", node, public)))
    request = JoinRequest(
        SEED, policy, public, (pin,), DEK, (), SEED, (FirstUser(("governor",), KEYS[3].public_key),), (proof,)
    )
    payloads = {
        "add": AddCompany(encode(request), signed),
        "leave": Leave(company, signed),
        "expel": Expel(("c-a", "c-b")),
        "rotate_consensus": RotateConsensus(node, public, proof.signature, signed),
        "rotate_tls": RotateTls(node, (pin,)),
        "rotation": Rotation(company, False),
        "suspend": Suspend(company),
        "resume": Resume(company),
        "contract": InstallContracts((PlannedContract("notes", b"contract notes version 1", DEK),), 5),
        "suspend_contract": SuspendContract("notes"),
        "resume_contract": ResumeContract("notes"),
        "rearm_schedule": RearmSchedule("notes", "close", b"\x01key"),
        "fault_policy": FaultPolicy(True),
        "replace_keys": ReplaceKeys(company, encode(request), signed, ()),
    }
    members = tuple(EpochMember(f"c{i}", f"n{i}", KEYS[i].public_key, i != 3) for i in range(4))
    epochs = (
        EpochRecord(0, 1, 0, tuple(msgspec.structs.replace(member, in_rotation=True) for member in members)),
        EpochRecord(1, 15, 5, members),
    )
    records = [
        (epoch_key(1), epochs[1]),
        (REGISTRY_KEY, RegistryState(3, 1)),
        (signing_key_key(public), KeyRecord(public, "consensus", node, 15, 0)),
        (proposal_key(SEED), Proposal(SEED, "rotation", encode(payloads["rotation"]), "c0", 3, 100, "open", 0)),
        (ballot_key(SEED, "c0"), Ballot("c0", True, 3, ("u0", "u1"), False)),
        (openings_key("c0"), Openings((SEED,))),
        (invite_key(DEK), Invite(DEK, ("trader",), 100, "c0", False)),
        (admission_key(node), Admission(node, company, public, SEED, 4)),
        (suspension_key("c1"), Suspension("c1", 1_780_000_000_000, 1_780_086_400_000, False, 0, ("c0", "c2"))),
        (replacement_key(SEED), Replacement("c1", 1_780_604_800_000)),
        (POLICY_KEY, FaultPolicy(True)),
        (resting_key("c1"), Resting("c1", "E3", 0, 1)),
    ]
    plan = ContractPlan((("notes", H(Tag.CONTRACT, b"contract notes version 1"), DEK),), 5)
    end = _epoch_end(epochs[0], epochs[1])
    return {
        "payloads": [{"kind": kind, "payload": encode(payload)} for kind, payload in payloads.items()],
        "join_request": encode(request),
        "contract_plan": encode(plan),
        "records": [{"key": key, "value": encode(record)} for key, record in records],
        "lapse": {"key": lapse_key("c1"), "value": encode(1_780_086_400_000)},
        "signed": [
            {"what": "possession", "chain_id": CHAIN, "digest": possession_digest(CHAIN, "consensus", node, public)},
            {"what": "ready", "chain_id": CHAIN, "digest": ready_digest(CHAIN, node, 14, SEED)},
            {"what": "join", "chain_id": CHAIN, "digest": join_digest(CHAIN, encode(request))},
            {"what": "leave", "chain_id": CHAIN, "digest": leave_digest(CHAIN, company)},
            {"what": "rotate", "chain_id": CHAIN, "digest": rotate_digest(CHAIN, node, public)},
            {"what": "endorse", "chain_id": CHAIN, "digest": endorse_digest(CHAIN, SEED, company)},
            {"what": "replace", "chain_id": CHAIN, "digest": replace_digest(CHAIN, company, encode(request))},
        ],
        "follow": {
            "chain_id": CHAIN,
            "members": wire_members(epochs[0]),
            "end": encode(end),
            "refused": [
                {"reason": "one signature less", "end": encode(_fewer(end))},
                {
                    "reason": "other members than the header names",
                    "end": encode(msgspec.structs.replace(end, members=wire_members(epochs[0]))),
                },
            ],
        },
    }


def _epoch_end(old: EpochRecord, new: EpochRecord) -> EpochEnd:
    header = encode(
        Header(
            1, CHAIN, old.epoch, new.first_height - 1, SEED, EMPTY_LIST_ROOT, 0, 0, 1_780_000_014_000, 0, 13, DEK,
            old.members_hash, new.members_hash, EMPTY_LIST_ROOT, 13, SEED, Params().hash(),
        )
    )  # fmt: skip
    vote = Vote(old.epoch, 0, new.first_height - 1, block_id(header))
    digest = signing_digest(Tag.SIG_COMMIT, CHAIN, encode(vote))
    certificate = CommitCertificate(vote, bitmap(range(3), 4), tuple(key.sign(digest) for key in KEYS[:3]))
    return EpochEnd(header, certificate, wire_members(new))


def _fewer(end: EpochEnd) -> EpochEnd:
    certificate = end.certificate
    short = CommitCertificate(certificate.vote, bitmap(range(2), 4), certificate.signatures[:2])
    return msgspec.structs.replace(end, certificate=short)


FILES: dict[str, Callable[[], Vectors]] = {
    "hashing": hashing,
    "signatures": signatures,
    "identities": identities,
    "transactions": transactions,
    "lists": lists,
    "state_tree": state_tree,
    "blocks": blocks,
    "documents": documents,
    "governance": governance,
}


def rendered(make: Callable[[], Vectors]) -> str:
    """Return the file of one group as text."""
    content = {"format": 1, "about": (make.__doc__ or "").strip(), **make()}
    return json.dumps(_plain(content), indent=1, ensure_ascii=True) + "\n"


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="write or check the conformance vectors")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--folder", type=Path, default=ROOT / "tests" / "vectors")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    differing = 0
    for name, make in FILES.items():
        path = options.folder / f"{name}.json"
        text = rendered(make)
        if not options.check:
            path.write_text(text, encoding="ascii")
            print(f"wrote {path}")
        elif not path.exists() or path.read_text(encoding="ascii") != text:
            differing += 1
            print(f"{path} differs from what the code makes; a changed format needs a new version number")
    if options.check and not differing:
        print(f"{len(FILES)} vector files agree with the code")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
