"""Check a proof pack offline: standard library, msgpack and PyNaCl, nothing of Hansa's own code (F78).

    python verifier.py PACK --genesis FILE

Everything is computed again from the bytes of the pack and from one thing the auditor must trust, the genesis file:
the chain id and the founding members come from it, the last header of each epoch vouches for the members of the next
one, the members' signatures make the head header certain, the header's execution root makes every result certain by a
chain of hashes, and each line shows its own path. What a row or an event means stands in the source of its contract:
the state names the hash of every version and the height from which it ran, so an event is read by the version of its
height. Any failure ends with exit code 10 and one sentence that names the line, the field and the reason. Written from
the public description of the bytes and of the language (docs/wire-and-disk.md, docs/contract-language.md), not from the
ledger's source.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from hashlib import sha256
from itertools import combinations, product
from pathlib import Path
from typing import Any

import msgpack
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

MAGIC = b"HANSAPACK1\n"
PACK_LIMIT_BYTES = 512 * 1024 * 1024
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
SMALL_Y = (
    0,
    1,
    P - 1,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
    2707385501144840649318225287225658788936804267575313519463743609750303402022,
)
WORDS = re.compile(r'#[^\n]*|"(?:\\.|[^"\\\n])*"|[A-Za-z0-9_]+|\n[ ]*|[^ \n]')
EXIT_FAILED, EXIT_USAGE = 10, 2


class Failure(Exception):
    """The pack does not prove what it says. `line` names the place, `field` the part of it."""

    def __init__(self, line: str, field: str, reason: str) -> None:
        super().__init__(f"{line}: {field}: {reason}")
        self.line, self.field, self.reason = line, field, reason


def tagged(tag: str, *parts: bytes) -> bytes:
    """Return SHA-256 over the length-prefixed tag and parts."""
    data = b"".join(len(part).to_bytes(4, "big") + part for part in (b"hansa/v1/" + tag.encode("ascii"), *parts))
    return sha256(data).digest()


def pack(value: Any) -> bytes:
    """Return the canonical MessagePack of lists, texts, byte strings, integers, booleans and nil."""
    return bytes(msgpack.packb(value, use_bin_type=True))


def unpack(data: bytes, line: str, field: str) -> Any:
    """Decode and insist on the canonical form."""
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True)
    except Exception as error:
        raise Failure(line, field, f"does not decode ({type(error).__name__})") from None
    if pack(value) != data:
        raise Failure(line, field, "is not in canonical form")
    return value


def signature_holds(public_key: bytes, signature: bytes, digest: bytes) -> bool:
    """Verify Ed25519, refusing small-order points and unreduced encodings first."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    for point in (public_key, signature[:32]):
        y = int.from_bytes(point, "little") & ((1 << 255) - 1)
        if y >= P or y in SMALL_Y:
            return False
    if int.from_bytes(signature[32:], "little") >= L:
        return False
    try:
        crypto_sign_open(signature + digest, public_key)
    except (BadSignatureError, ValueError, TypeError):
        return False
    return True


def list_root(item: bytes, index: int, count: int, siblings: list[bytes]) -> bytes | None:
    """Return the binary tree root that the siblings prove for one item."""
    if not 0 <= index < count:
        return None
    node, width, used = tagged("list/leaf", item), count, 0
    while width > 1:
        if index ^ 1 < width:
            if used == len(siblings):
                return None
            pair = (siblings[used], node) if index & 1 else (node, siblings[used])
            node, used = tagged("list/node", *pair), used + 1
        index, width = index // 2, (width + 1) // 2
    return tagged("list/root", count.to_bytes(4, "big"), node) if used == len(siblings) else None


def field_root(leaf: bytes, index: int, count: int, siblings: list[bytes]) -> bytes | None:
    """Return the field tree root that the siblings prove for one leaf."""
    if not 0 <= index < count:
        return None
    node, width, used = leaf, count, 0
    while width > 1:
        if index ^ 1 < width:
            if used == len(siblings):
                return None
            pair = (siblings[used], node) if index & 1 else (node, siblings[used])
            node, used = tagged("node", *pair), used + 1
        index, width = index // 2, (width + 1) // 2
    return tagged("root", count.to_bytes(4, "big"), node) if used == len(siblings) else None


def state_root(key: bytes, proof: list[Any]) -> tuple[bytes | None, bytes | None]:
    """Return (root the proof leads to or None, value or None for absence)."""
    levels, found, other = proof
    place = tagged("state/key", key)
    nibbles = [nibble for byte in place for nibble in (byte >> 4, byte & 15)]
    if len(levels) > len(nibbles) or len(found) + len(other) > 1:
        return None, None
    top: bytes | None = None
    if found:
        top = tagged("state/leaf", place, tagged("state/value", found[0]))
    elif other:
        standing, hashed = other[0]
        theirs = [nibble for byte in standing for nibble in (byte >> 4, byte & 15)]
        if len(standing) != 32 or standing == place or theirs[: len(levels)] != nibbles[: len(levels)]:
            return None, None
        top = tagged("state/leaf", standing, hashed)
    for depth in range(len(levels) - 1, -1, -1):
        bitmap, hashes = levels[depth][0], list(levels[depth][1])
        bit = 1 << nibbles[depth]
        if not 0 < bitmap < 1 << 16 or (top is not None) != bool(bitmap & bit):
            return None, None
        if top is not None:
            hashes.insert(bin(bitmap & (bit - 1)).count("1"), top)
        if len(hashes) != bin(bitmap).count("1") or any(len(item) != 32 for item in hashes):
            return None, None
        top = tagged("state/branch", bitmap.to_bytes(2, "big"), *hashes)
    return (tagged("state/empty") if top is None else top), (found[0] if found else None)


def logical_lines(source: bytes) -> list[tuple[int, list[str]]]:
    """Return (indentation, words) of a contract: a line goes on while a bracket is open, and after a comma."""
    lines: list[tuple[int, list[str]]] = [(0, [])]
    depth = 0
    for word in WORDS.findall(source.decode("ascii")):
        words = lines[-1][1]
        if word[0] == "\n":
            if not words:
                lines[-1] = (len(word) - 1, words)
            elif not depth and words[-1] != ",":
                lines.append((len(word) - 1, []))
        elif word[0] != "#":
            depth += (word in "([{") - (word in ")]}")
            words.append(word)
    return [line for line in lines if line[1]]


def field_names(words: list[str]) -> list[str]:
    """Return the names of `name: type, name: type`; a type may hold commas in brackets."""
    names: list[str] = []
    depth, fresh = 0, True
    for at, word in enumerate(words):
        if fresh and words[at + 1 : at + 2] == [":"]:
            names.append(word)
        depth += (word in "([{") - (word in ")]}")
        fresh = word == "," and not depth
    return names


def declared(source: bytes) -> dict[str, list[str]]:
    """Return the fields of every table and event of a contract, in the order in which they are stored."""
    found: dict[str, list[str]] = {}
    name = ""
    for indent, words in logical_lines(source):
        if indent == 0:
            name = words[1] if words[0] in ("table", "event") else ""
            if name:  # table T key a: int:  table T key (a: int, b: int):  event E: a: int
                found[name] = field_names(words[4:] if words[3:4] == ["("] else words[3:])
        elif name and (words[1:2] == [":"] or words[0] not in ("index", "readers")):
            found[name] += field_names(words)
    return found


class Contract:
    """A contract with its proven versions, ascending by the height from which each ran."""

    def __init__(self, name: str, first: int) -> None:
        self.name = name
        self.first = first
        self.versions: list[tuple[int, dict[str, list[str]]]] = []

    def event(self, name: str, height: int) -> list[str] | None:
        """Return the fields of an event as the version of its height declares them."""
        begun = [fields for active_from, fields in self.versions if active_from <= height]
        return begun[-1].get(name) if begun else None

    def row(self, table: str, layout: int) -> list[str] | None:
        """Return the fields of a row; its layout counts the versions that gave the table more fields."""
        layouts: list[list[str]] = []
        for _, fields in self.versions:
            if table in fields and (not layouts or len(fields[table]) > len(layouts[-1])):
                layouts.append(fields[table])
        return layouts[layout - 1] if 0 < layout <= len(layouts) else None


class Network:
    """What the genesis file says: chain id, and the members by index with their consensus keys."""

    def __init__(self, data: bytes) -> None:
        outer = unpack(data, "genesis", "file")
        if not isinstance(outer, list) or len(outer) != 2:
            raise Failure("genesis", "file", "is not a genesis file")
        document = unpack(outer[0], "genesis", "document")
        self.chain_id = tagged("genesis", outer[0])
        self.name = document[1]
        members = sorted(
            (node[1], node[3][0][0]) for node in document[8] if node[2] == "member" and node[6] == "active"
        )
        self.params_hash = tagged("params", pack(document[5]))
        self.sources = dict(document[11])
        self.signers: list[str] = []
        self.held: set[tuple[str, bytes]] = set()
        self._seat(0, [[company, key, True] for company, key in members])
        for company, key, signature in outer[1]:
            if not signature_holds(key, signature, tagged("sig/genesis", self.chain_id, company.encode())):
                raise Failure("genesis", f"signature of {company}", "does not verify")

    @property
    def quorum(self) -> int:
        n = len(self.keys)
        return (n + (n - 1) // 3) // 2 + 1

    def _seat(self, epoch: int, members: list[list[Any]]) -> None:
        """Let the members (company, key, in rotation) of an epoch be the ones who certify."""
        self.epoch = epoch
        self.companies = [company for company, _, _ in members]
        self.keys = [key for _, key, _ in members]
        self.members_hash = tagged("members", pack(members))
        self.held |= set(zip(self.companies, self.keys, strict=True))

    def follow(self, ends: list[Any]) -> None:
        """Walk to the members of a later epoch; each step is signed by the members before it."""
        for raw, certificate, members in ends:
            line = f"end of epoch {self.epoch}"
            header = self.certified(line, raw, certificate)
            names, keys = [member[0] for member in members], [member[1] for member in members]
            if header[13] == header[12] or tagged("members", pack(members)) != header[13]:
                raise Failure(line, "members", "are not those that the last header of the epoch names")
            if names != sorted(set(names)) or len(set(keys)) != len(keys):
                raise Failure(line, "members", "a company or a key stands there twice, or out of order")
            self._seat(self.epoch + 1, members)

    def certified(self, line: str, raw: bytes, certificate: list[Any]) -> list[Any]:
        """Return the header if exactly a quorum of the present members certified it."""
        vote, bits, signatures = certificate
        header: list[Any] = unpack(raw, line, "header")
        if len(header) != 18 or header[1] != self.chain_id:
            raise Failure(line, "header", "belongs to another chain")
        if header[12] != self.members_hash or header[17] != self.params_hash or header[2] != self.epoch:
            raise Failure(line, "members", "the header names other members or parameters than those that are trusted")
        if vote[3] != tagged("block", raw) or vote[2] != header[3] or vote[0] != header[2]:
            raise Failure(line, "certificate", "is about another block")
        n = len(self.keys)
        mask = int.from_bytes(bits, "little")
        indexes = [index for index in range(n) if mask >> index & 1]
        if len(bits) != (n + 7) // 8 or mask >> n or len(indexes) != self.quorum or len(signatures) != len(indexes):
            raise Failure(line, "certificate", f"needs exactly {self.quorum} signatures of {n} members")
        digest = tagged("sig/vote/commit", self.chain_id, pack(vote))
        for index, signature in zip(indexes, signatures, strict=True):
            if not signature_holds(self.keys[index], signature, digest):
                raise Failure(line, "certificate", f"the signature of {self.companies[index]} does not verify")
        self.signers = [self.companies[index] for index in indexes]
        return header


class Pack:
    """The decoded pack; `check` raises `Failure` on the first thing that does not hold and returns a summary."""

    def __init__(self, data: bytes) -> None:
        if len(data) > PACK_LIMIT_BYTES:
            raise Failure("pack", "size", f"{len(data)} bytes, at most {PACK_LIMIT_BYTES} are read")
        if not data.startswith(MAGIC):
            raise Failure("pack", "first line", "this is not a Hansa proof pack, or its first line was changed")
        outer = unpack(data[len(MAGIC) :], "pack", "envelope")
        if not isinstance(outer, list) or len(outer) != 3 or not isinstance(outer[0], bytes):
            raise Failure("pack", "envelope", "does not have the three parts body, company, signature")
        self.raw, self.signer, self.signature = outer
        body = unpack(self.raw, "pack", "body")
        if not isinstance(body, list) or (body[0], len(body)) not in ((1, 13), (2, 14), (3, 15)):
            raise Failure("pack", "version", "is none of the versions 1 to 3 of the pack format")
        (_, self.chain_id, self.company, self.names, self.head, self.first, self.base, self.links) = body[:8]
        (self.rows, self.receipts, self.schemas, self.documents, self.journal) = body[8:13]
        self.ends = body[13] if len(body) > 13 else []
        self.sources = body[14] if len(body) > 14 else None
        self.contracts: dict[str, Contract] = {}
        self.proven_rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.proven_height = 0

    def check(self, network: Network) -> dict[str, Any]:
        """Check everything, in the order in which one thing leans on another."""
        if self.chain_id != network.chain_id:
            raise Failure("pack", "chain id", f"the pack is about chain {self.chain_id.hex()[:16]}, the genesis file "
                          f"founds {network.chain_id.hex()[:16]}")  # fmt: skip
        network.follow(self.ends)
        height, root = self._head(network)
        receipts_roots, top = self._links(height, root)
        self._contracts(network, top)
        rows = self._rows(top)
        events = self._receipts(receipts_roots)
        self.proven_rows, self.proven_height = rows, height
        documents = self._documents(rows)
        entries = self._journal(events)
        self._signature(network)
        return {
            "schema": "hansa.verification/1",
            "network": network.name,
            "chain_id": network.chain_id.hex(),
            "company": self.company,
            "height": height,
            "epoch": network.epoch,
            "signers": network.signers,
            "quorum": network.quorum,
            "members": len(network.keys),
            "rows": len(self.rows),
            "absences": sum(1 for row in self.rows if not row[3][1]),
            "events": len(events),
            "documents": documents,
            "journal_entries": entries,
            "verified": True,
        }

    def _head(self, network: Network) -> tuple[int, bytes]:
        header = network.certified("head", *self.head)
        return int(header[10]), bytes(header[11])

    def _links(self, height: int, root: bytes) -> tuple[dict[int, bytes], bytes]:
        if not self.links or self.first + len(self.links) - 1 != height:
            raise Failure("results", "links", f"do not lead from height {self.first} to {height}")
        current, roots, top = self.base, {}, b""
        for offset, (state, receipts) in enumerate(self.links):
            current = tagged("exec", current, state, receipts)
            roots[self.first + offset], top = receipts, state
        if current != root:
            raise Failure("results", "links", f"do not give the execution root certified at height {height}")
        return roots, top

    def _contracts(self, network: Network, top: bytes) -> None:
        """Believe a source when the state holds its hash, and a list of versions when none is left out."""
        for name, proof, source, older, below in self.sources or ():
            line = f"contract {name}"
            if name in self.contracts:
                raise Failure(line, "name", "stands there twice")
            record = _record(line, b"c" + name.encode("ascii"), proof, top)
            last = record[1] if record else 0
            contract = self.contracts[name] = Contract(name, last - len(older))
            for version, (shown, text) in enumerate([*older, (None, source)], start=contract.first):
                where = f"{line} version {version}"
                found = record if shown is None else _record(where, _version_key(name, version), shown, top)
                if not found or found[:2] != [name, version] or found[3] != tagged("contract", text):
                    raise Failure(where, "source", "is not the one that the state names")
                if contract.versions and found[5] <= contract.versions[-1][0]:
                    raise Failure(where, "height", "is not above that of the version before")
                contract.versions.append((found[5], declared(text)))
            if name in network.sources:
                if (older[0][1] if older else source) != network.sources[name]:
                    raise Failure(line, "versions", "do not begin with the source in the genesis file")
            elif contract.first > 1 and _record(line, _version_key(name, contract.first - 1), below[0], top):
                raise Failure(line, "versions", f"do not begin with the first one, which is below {contract.first}")

    def _rows(self, top: bytes) -> dict[tuple[str, str, str], dict[str, Any]]:
        rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        for number, (contract, table, key, proof) in enumerate(self.rows, start=1):
            line = f"row {number} ({contract}.{table})"
            try:
                root, value = state_root(key, proof)
            except (TypeError, ValueError, IndexError):
                raise Failure(line, "proof", "is malformed") from None
            if root != top:
                raise Failure(
                    line, "proof", "does not lead to the certified state root: key, value or path was changed"
                )
            if value is None:
                continue
            decoded = unpack(value, line, "value")
            names = self._names(line, contract, table, layout=decoded[0])
            if len(names) != len(decoded) - 1:
                raise Failure(line, "schema", "has another number of fields than the row")
            fields = dict(zip(names, decoded[1:], strict=True))
            rows[(contract, table, str(decoded[1]))] = fields
        return rows

    def _receipts(self, roots: dict[int, bytes]) -> dict[str, tuple[str, str, dict[str, Any]]]:
        events: dict[str, tuple[str, str, dict[str, Any]]] = {}
        for number, (height, index, count, raw, siblings) in enumerate(self.receipts, start=1):
            line = f"receipt {number} (height {height}, position {index})"
            if height not in roots:
                raise Failure(line, "height", "is outside the certified results")
            if list_root(raw, index, count, siblings) != roots[height]:
                raise Failure(line, "proof", "does not lead to the certified receipts root")
            receipt = unpack(raw, line, "receipt")
            for position, (contract, name, values) in enumerate(receipt[7]):
                names = self._names(line, contract, name, height=height)
                if len(names) != len(values):
                    raise Failure(line, "schema", f"event {name} has another number of fields")
                cursor = f"{height}.{index}.{position}"
                events[cursor] = (contract, name, dict(zip(names, values, strict=True)))
        return events

    def _documents(self, rows: dict[tuple[str, str, str], dict[str, Any]]) -> int:
        for number, (contract, table, owner, count, fields) in enumerate(self.documents, start=1):
            line = f"document {number} ({owner})"
            row = rows.get((contract, table, owner))
            if row is None:
                raise Failure(line, "owner", "no proven row carries this document")
            for index, path, value, salt, siblings in fields:
                leaf = tagged("leaf", salt, path.encode("utf-8"), value)
                root = field_root(leaf, index, count, siblings)
                if root is None or root.hex() != row["root"]:
                    raise Failure(line, f"field {path}", "does not belong to the document root on the ledger")
        return len(self.documents)

    def _journal(self, events: dict[str, tuple[str, str, dict[str, Any]]]) -> int:
        totals: dict[str, int] = {}
        vouchers: set[str] = set()
        for number, (voucher, date, cursor, reverses, lines) in enumerate(self.journal, start=1):
            line = f"journal entry {number} ({voucher}, {date})"
            for source in (cursor, *reverses):
                if source not in events:
                    raise Failure(line, "event", f"{source} is not among the proven events")
            if voucher in vouchers:
                raise Failure(line, "voucher", "is used twice")
            vouchers.add(voucher)
            amounts = {amount for source in (cursor, *reverses) for amount in _amounts(events[source][2])}
            sums: dict[str, int] = {}
            for account, currency, minor in lines:
                sums[currency] = sums.get(currency, 0) + minor
                totals[currency] = totals.get(currency, 0) + minor
                if (currency, abs(minor)) not in amounts:
                    raise Failure(line, f"account {account}", f"{minor} {currency} is no amount of event {cursor}")
            for currency, total in sorted(sums.items()):
                if total:
                    raise Failure(line, currency, f"debits and credits differ by {total} minor units")
        for currency, total in sorted(totals.items()):
            if total:
                raise Failure("trial balance", currency, f"differs from zero by {total} minor units")
        return len(self.journal)

    def _signature(self, network: Network) -> None:
        keys = [key for company, key in sorted(network.held) if company == self.signer]
        if not keys:
            raise Failure("pack", "signature", f"{self.signer} is no member of this network")
        digest = tagged("sig/bundle", network.chain_id, self.raw)
        if not any(signature_holds(key, self.signature, digest) for key in keys):
            raise Failure("pack", "signature", "does not verify: something that no proof covers was changed")

    def _names(self, line: str, contract: str, name: str, *, layout: int = 0, height: int = 0) -> list[str]:
        """Return the fields of a row with this layout, or of an event of this height."""
        if self.sources is not None and contract != "governance":
            known = self.contracts.get(contract)
            found = None if known is None else known.row(name, layout) if layout else known.event(name, height)
            if found is None:
                raise Failure(line, "schema", f"no proven source of {contract} declares {name} of this line")
            return found
        for owner, schema, names in self.schemas:
            if owner == contract and schema == name:
                return list(names)
        raise Failure(line, "schema", f"{contract}.{name} is not described in the pack")


def _version_key(name: str, version: int) -> bytes:
    return b"c/version/" + name.encode("ascii") + b"/" + version.to_bytes(4, "big")


def _record(line: str, key: bytes, proof: list[Any], top: bytes) -> list[Any]:
    """Return the record of a contract version that the state proves, or an empty list when it proves that none is."""
    root, value = state_root(key, proof)
    if root != top:
        raise Failure(line, "proof", "does not lead to the certified state root")
    return list(unpack(value, line, "record")) if value is not None else []


def _amounts(fields: dict[str, Any]) -> set[tuple[str, int]]:
    """Return (currency, magnitude) of every amount of an event, and of signed sums of up to three of them.

    An entry may split what an event states (gross into net and tax, less a prepayment), but not invent an amount.
    """
    own = sorted({(value[0], value[1]) for value in fields.values() if isinstance(value, list) and len(value) == 2})
    found: set[tuple[str, int]] = set()
    for currency in {code for code, _ in own}:
        minors = [minor for code, minor in own if code == currency]
        for count in (1, 2, 3):
            for chosen in combinations(minors, count):
                for signs in product((1, -1), repeat=count):
                    found.add((currency, abs(sum(a * b for a, b in zip(chosen, signs, strict=True)))))
    return found


def verify(data: bytes, genesis: bytes) -> dict[str, Any]:
    """Return the summary of a pack that holds; raise `Failure` otherwise."""
    try:
        return Pack(data).check(Network(genesis))
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError) as error:
        raise Failure("pack", "structure", f"a part has the wrong form ({type(error).__name__})") from None


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description="Check a Hansa proof pack offline.")
    parser.add_argument("pack", help="the proof pack (hansa audit export)")
    parser.add_argument("--genesis", required=True, help="the genesis file of the network, obtained independently")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    options = parser.parse_args(arguments)
    try:
        data, genesis = Path(options.pack).read_bytes(), Path(options.genesis).read_bytes()
    except OSError as error:
        print(f"cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_USAGE
    try:
        summary = verify(data, genesis)
    except Failure as failure:
        if options.output == "json":
            problem = {"schema": "hansa.verification/1", "verified": False}
            print(json.dumps(problem | {"line": failure.line, "field": failure.field, "reason": failure.reason}))
        print(f"NOT PROVEN  {failure}", file=sys.stderr)
        print("Next: ask for a fresh export; if it fails in the same place, ask another company's node for the same "
              "height and compare.", file=sys.stderr)  # fmt: skip
        return EXIT_FAILED
    if options.output == "json":
        print(json.dumps(summary))
        return 0
    print(
        f"PROVEN      network {summary['network']}, company {summary['company']}, state at height {summary['height']}"
    )
    print(f"            signed by {len(summary['signers'])} of {summary['members']} members (q={summary['quorum']})")
    print(
        f"            {summary['rows']} ledger rows ({summary['absences']} proven absent), {summary['events']} events, "
        f"{summary['documents']} documents, {summary['journal_entries']} journal entries; books balance"
    )
    print(
        "Limits      The ledger proves who signed what and when, not that goods existed. Figures are as of the height."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
