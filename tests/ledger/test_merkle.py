"""LR7: the state tree depends on the rows only, and its proofs cannot be bent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import merkle
from ledger.codec import encode
from ledger.crypto.hashing import H, Tag
from ledger.errors import InvariantViolated, LedgerError
from ledger.merkle import (
    EMPTY_ROOT,
    ProofLevel,
    StateProof,
    build,
    join,
    key_hash,
    prefix_of,
    proof_codec,
    prove,
    prove_range,
    root_from_range,
    subtree,
    update,
    verify_proof,
)


@dataclass
class Tree:
    """Rows and stored nodes, updated block by block."""

    rows: dict[bytes, bytes] = field(default_factory=dict)
    nodes: dict[bytes, bytes] = field(default_factory=dict)
    state_root: bytes = EMPTY_ROOT

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def tree_node(self, path: bytes) -> bytes | None:
        return self.nodes.get(path)

    def write(self, writes: Mapping[bytes, bytes | None]) -> None:
        self.state_root, changed = update(self.tree_node, self.state_root, writes.items())
        assert list(changed) == sorted(changed)
        for path, node in changed.items():
            assert self.nodes.get(path) != node, "an unchanged node is not a change"
            if node is None:
                del self.nodes[path]
            else:
                self.nodes[path] = node
        for name, value in writes.items():
            if value is None:
                self.rows.pop(name, None)
            else:
                self.rows[name] = value


def plain_root(rows: Mapping[bytes, bytes]) -> bytes:
    """The rule of LR7, word for word and without any stored node."""

    def subtree(leaves: list[tuple[bytes, bytes]], depth: int) -> bytes:
        if len(leaves) == 1:
            return H(Tag.STATE_LEAF, *leaves[0])
        bits, children = 0, []
        for nibble in range(16):
            below = [leaf for leaf in leaves if leaf[0].hex()[depth] == f"{nibble:x}"]
            if below:
                bits |= 1 << nibble
                children.append(subtree(below, depth + 1))
        return H(Tag.STATE_BRANCH, bits.to_bytes(2, "big"), *children)

    leaves = [(H(Tag.STATE_KEY, name), H(Tag.STATE_VALUE, value)) for name, value in rows.items()]
    return subtree(leaves, 0) if leaves else H(Tag.STATE_EMPTY)


def numbered(count: int) -> dict[bytes, bytes]:
    return {b"t%d" % i: b"value %d" % i for i in range(count)}


keys = st.integers(0, 40).map(lambda i: b"k%d" % i)
blocks = st.lists(
    st.dictionaries(keys, st.one_of(st.none(), st.sampled_from((b"", b"one", b"two"))), max_size=25), max_size=8
)


@given(blocks)
@settings(max_examples=150, deadline=None)
def test_lr7_updating_equals_building_from_nothing(written: list[dict[bytes, bytes | None]]) -> None:
    tree = Tree()
    for writes in written:
        tree.write(writes)
        root, nodes = build(tree.rows)
        assert tree.state_root == root == plain_root(tree.rows)
        assert tree.nodes == nodes


@given(blocks, keys)
@settings(max_examples=100, deadline=None)
def test_lr7_presence_and_absence_are_proven(written: list[dict[bytes, bytes | None]], asked: bytes) -> None:
    tree = Tree()
    for writes in written:
        tree.write(writes)
    proof = prove(tree, asked)
    assert proof_codec.decode(encode(proof)) == proof
    assert verify_proof(tree.state_root, asked, proof) == (True, tree.rows.get(asked))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, 300])
def test_lr7_deleting_everything_gives_the_empty_root(count: int) -> None:
    tree = Tree()
    tree.write(dict(numbered(count)))
    tree.write(dict.fromkeys(numbered(count)))
    assert (tree.state_root, tree.nodes) == (EMPTY_ROOT, {})


def test_lr7_a_branch_left_with_one_leaf_becomes_that_leaf() -> None:
    tree = Tree()
    tree.write(dict(numbered(40)))
    for name in list(tree.rows)[1:]:
        tree.write({name: None})
    assert tree.state_root == merkle._leaf(merkle.key_hash(b"t0") + merkle.value_hash(b"value 0"))[1]
    assert list(tree.nodes) == [b""]


def test_e23_one_changed_row_touches_its_path_only() -> None:
    tree = Tree()
    tree.write(dict(numbered(3_000)))
    loaded: list[bytes] = []

    def counted(path: bytes) -> bytes | None:
        loaded.append(path)
        return tree.tree_node(path)

    root, changed = update(counted, tree.state_root, [(b"t7", b"other")])
    assert root != tree.state_root
    assert sorted(changed) == sorted(loaded) == [loaded[-1][:i] for i in range(len(loaded))]
    assert len(loaded) <= 6


def test_e23_the_stored_form_ends_with_the_hash_input() -> None:
    tree = Tree()
    tree.write(dict(numbered(3)))
    node = tree.nodes[b""]
    assert merkle.hash_encoded(Tag.STATE_BRANCH, node[merkle._body_start(node) :]) == tree.state_root


def _changes(data: bytes) -> list[bytes]:
    return [data[:i] + bytes((data[i] ^ flip,)) + data[i + 1 :] for i in range(len(data)) for flip in (1, 0x80)]


@pytest.mark.control("T20")
@pytest.mark.parametrize("asked", [b"t5", b"absent", b"absent too", b"gone 3"])
def test_every_mutated_byte_of_a_state_proof_fails(asked: bytes) -> None:
    tree = Tree()
    tree.write(dict(numbered(60)))
    proof = prove(tree, asked)
    truth = verify_proof(tree.state_root, asked, proof)
    assert truth == (True, tree.rows.get(asked))
    for data in _changes(encode(proof)):
        try:
            bent = proof_codec.decode(data)
        except LedgerError:
            continue
        assert verify_proof(tree.state_root, asked, bent) == (False, None)


def test_both_kinds_of_absence_occur() -> None:
    tree = Tree()
    tree.write(dict(numbered(60)))
    kinds = {len(prove(tree, b"absent %d" % i).other) for i in range(60)}
    assert kinds == {0, 1}


def test_a_proof_speaks_about_one_key_and_one_root() -> None:
    tree = Tree()
    tree.write(dict(numbered(60)))
    proof = prove(tree, b"t5")
    assert not verify_proof(tree.state_root, b"t6", proof)[0]
    assert not verify_proof(bytes(32), b"t5", proof)[0]
    absent = prove(tree, b"absent")
    assert not verify_proof(tree.state_root, b"t5", absent)[0]


@pytest.mark.parametrize(
    "proof",
    [
        StateProof((), (b"value 5",), ((bytes(32), bytes(32)),)),
        StateProof((), (b"value 5", b"value 6"), ()),
        StateProof((), (), ((bytes(31), bytes(32)),)),
        StateProof((ProofLevel(0, ()),), (), ()),
        StateProof((ProofLevel(1 << 16, (bytes(32),)),), (), ()),
        StateProof((ProofLevel(3, (bytes(32), b"short")),), (), ()),
        StateProof((ProofLevel(3, ()),) * 65, (), ()),
    ],
)
def test_shapes_that_cannot_be_a_proof_are_refused(proof: StateProof) -> None:
    tree = Tree()
    tree.write(dict(numbered(60)))
    assert verify_proof(tree.state_root, b"t5", proof) == (False, None)


def test_absence_needs_a_leaf_that_stands_on_the_path() -> None:
    tree = Tree()
    tree.write({b"t0": b"value 0"})
    own = (merkle.key_hash(b"t0"), merkle.value_hash(b"value 0"))
    lie = StateProof((), (), (own,))
    assert verify_proof(tree.state_root, b"absent", lie) == (True, None)
    assert not verify_proof(tree.state_root, b"t0", lie)[0], "a key's own leaf does not show its absence"


def test_a_broken_store_is_our_fault() -> None:
    tree = Tree()
    tree.write(dict(numbered(60)))
    with pytest.raises(InvariantViolated, match="twice"):
        update(tree.tree_node, tree.state_root, [(b"t1", b"a"), (b"t1", b"b")])
    with pytest.raises(InvariantViolated, match="no root node"):
        update(lambda _: None, tree.state_root, [(b"t1", b"a")])
    with pytest.raises(InvariantViolated, match="does not hash"):
        update(tree.tree_node, bytes(32), [(b"t1", b"a")])
    below = dict(tree.nodes)
    deep = max(below, key=len)
    assert deep
    del below[deep]
    with pytest.raises(InvariantViolated, match="no node at"):
        update(below.get, tree.state_root, [(name, b"x") for name in tree.rows])
    del tree.rows[b"t1"]
    with pytest.raises(InvariantViolated, match="differ"):
        prove(tree, b"t1")


# whole subtrees


def sorted_rows(rows: dict[bytes, bytes], prefix: bytes) -> list[tuple[bytes, bytes]]:
    """The rows below a nibble prefix, by place."""
    below = []
    for key, value in rows.items():
        k = key_hash(key)
        nibbles = bytes(part for byte in k for part in (byte >> 4, byte & 15))
        if nibbles.startswith(prefix):
            below.append((k, key, value))
    return [(key, value) for _, key, value in sorted(below)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, 200])
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_every_subtree_is_proven_and_all_of_them_join_to_the_same_tree(count: int, depth: int) -> None:
    rows = {b"key %d" % i: b"value %d" % i for i in range(count)}
    root, nodes = build(rows)
    stubs, below = {}, {}
    for index in range(16**depth):
        prefix = prefix_of(index, depth)
        part = sorted_rows(rows, prefix)
        proof = prove_range(nodes.get, prefix)
        assert root_from_range(prefix, part, proof) == root
        stub, inside = subtree(prefix, part)
        stubs[prefix] = stub
        below.update(inside)
    joined, above = join(depth, stubs)
    assert joined == root
    assert {**below, **above} == nodes


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_range_with_a_row_missing_added_changed_or_moved_leads_elsewhere(depth: int) -> None:
    rows = {b"key %d" % i: b"value %d" % i for i in range(60)}
    root, nodes = build(rows)
    for index in range(16**depth):
        prefix = prefix_of(index, depth)
        part = sorted_rows(rows, prefix)
        proof = prove_range(nodes.get, prefix)
        if part:
            assert root_from_range(prefix, part[1:], proof) != root
            assert root_from_range(prefix, [(part[0][0], b"other"), *part[1:]], proof) != root
            assert root_from_range(prefix, [*part, part[-1]], proof) is None
        if len(part) > 1:
            assert root_from_range(prefix, part[::-1], proof) is None
        stranger = next(item for item in rows.items() if item not in part)
        assert root_from_range(prefix, [stranger], proof) is None
        other = prefix_of((index + 1) % 16**depth, depth)
        if part or sorted_rows(rows, other):
            assert root_from_range(other, part, proof) != root
