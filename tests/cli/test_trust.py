"""What is trusted instead of a node: genesis files and proofs, honest and hostile (S20, U25)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import statekeys, trust
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from ledger.block import BlockRef, block_id
from ledger.codec import encode
from ledger.genesis import GenesisFile
from ledger.governance.programs import version_key
from ledger.ids import ZERO_HASH
from ledger.proof import ResultProof, proven_value, state_claim
from tests.cli.conftest import Done
from tests.finance.audit.story import LATE, NOTES, NOTES_TWO, Story
from tests.ledger.conftest import Sample, make_document

KEY = b"trow1"


@pytest.fixture(scope="module")
def network() -> Sample:
    return make_document()[1]


@pytest.fixture(scope="module")
def trusted(network: Sample, tmp_path_factory: pytest.TempPathFactory) -> trust.Trusted:
    path = tmp_path_factory.mktemp("trust") / trust.GENESIS_FILE
    path.write_bytes(encode(network.file))
    return trust.load(path)


@pytest.fixture(scope="module")
def proof(network: Sample) -> bytes:
    """A proof of `KEY` at height 1, by the header of height 3 that three of four signed."""
    first, result = network.run(network.state, network.transaction((("put", KEY, b"value"),)))
    second, later = network.run(first)
    header, raw = network.block_on(second, BlockRef(2, ZERO_HASH, 0, 1, 1), (), second.exec_root)
    assert header.exec_height == 2
    return encode(
        ResultProof(
            height=1,
            state=(state_claim(first, KEY),),
            receipt=(),
            previous_exec_root=network.state.exec_root,
            state_root=result.state_root,
            receipts_root=result.receipts_root,
            links=((later.state_root, later.receipts_root),),
            header=raw,
            certificate=network.certify(3, block_id(raw)),
        )
    )


def test_an_honest_proof_says_where_by_whom_and_what(trusted: trust.Trusted, proof: bytes, network: Sample) -> None:
    checked = trust.check(trusted, proof, KEY)
    assert proven_value(checked.proof) == b"value"
    assert (checked.height, checked.certified_by, checked.members) == (1, 3, 4)
    assert len(checked.signers) == 3 and set(checked.signers) <= set(network.companies)
    assert "proven at height 1 by block 3, signed by 3 of 4 members" in checked.words(trusted)
    assert checked.as_json()["time"].endswith("Z")


def test_p85_a_proof_of_a_later_epoch_needs_the_way_to_its_members(trusted: trust.Trusted) -> None:
    assert trusted.members_of(0) == trusted.member_set
    with pytest.raises(CommandFailed, match="it is of epoch 2, and the way from the founders to it ends at 0"):
        trusted.members_of(2)
    for epochs in (["!!"], [b64encode(b"no end").decode()], 7):
        with pytest.raises(CommandFailed) as refused:
            trust.with_epochs(trusted, {"epochs": epochs})
        assert refused.value.code is Exit.REJECTED
    assert trust.with_epochs(trusted, None).ends == ()
    assert "epochs" not in trust.proof_document("state", KEY, b"proof")
    assert trust.proof_document("state", KEY, b"proof", ["AA=="])["epochs"] == ["AA=="]


def test_u25_no_bit_of_a_proof_can_be_changed(trusted: trust.Trusted, proof: bytes) -> None:
    step = max(1, len(proof) // 200)
    for place in range(0, len(proof), step):
        broken = bytearray(proof)
        broken[place] ^= 1 << (place % 8)
        with pytest.raises(CommandFailed) as refused:
            trust.check(trusted, bytes(broken), KEY)
        assert refused.value.code is Exit.FINDINGS and "does not hold" in refused.value.text, place


@pytest.mark.parametrize("cut", [0, 1, 50, -1])
def test_a_cut_or_lengthened_proof_is_refused(trusted: trust.Trusted, proof: bytes, cut: int) -> None:
    for data in (proof[:cut], proof + b"\x00"):
        with pytest.raises(CommandFailed) as refused:
            trust.check(trusted, data, KEY)
        assert refused.value.code is Exit.FINDINGS


def test_a_proof_about_another_key_or_of_another_network_does_not_hold(
    trusted: trust.Trusted, proof: bytes, home: Path
) -> None:
    for where, about in ((trusted, b"trow2"), (trust.load(home / trust.GENESIS_FILE), KEY)):
        with pytest.raises(CommandFailed) as refused:
            trust.check(where, proof, about)
        assert refused.value.code is Exit.FINDINGS and "genesis file is yours" in refused.value.next_step


def test_a_genesis_file_is_found_named_or_in_the_home_and_otherwise_asked_for(home: Path, tmp_path: Path) -> None:
    assert trust.find_genesis(None, str(home)) == home / trust.GENESIS_FILE
    assert trust.find_genesis("x", str(home)) == Path("x")
    assert trust.find_genesis(None, str(tmp_path)) is None and trust.find_genesis(None, "") is None
    with pytest.raises(CommandFailed) as refused:
        trust.require(None, str(tmp_path))
    assert refused.value.code is Exit.USAGE and "--genesis" in refused.value.next_step
    found = trust.require(None, str(home))
    assert found.name(found.members[0][0]) != found.members[0][0], "the directory beside it gives names"
    assert found.name("c-unknown") == "c-unknown"


def test_a_genesis_file_that_is_missing_damaged_or_something_else_is_told_apart(home: Path, tmp_path: Path) -> None:
    whole = (home / trust.GENESIS_FILE).read_bytes()
    for name, content in (("cut", whole[:-10]), ("empty", b""), ("text", b"hello"), ("longer", whole + b"\x00")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(CommandFailed) as refused:
            trust.load(path)
        assert refused.value.code is Exit.REJECTED and str(path) in refused.value.text and refused.value.next_step
    with pytest.raises(CommandFailed) as refused:
        trust.load(tmp_path / "missing")
    assert refused.value.code is Exit.NOT_FOUND and "No such file" in refused.value.text


def test_names_of_a_directory_that_does_not_fit_are_not_shown(home: Path, tmp_path: Path) -> None:
    (tmp_path / trust.GENESIS_FILE).write_bytes((home / trust.GENESIS_FILE).read_bytes())
    text = (home / "directory.toml").read_text(encoding="utf-8")
    (tmp_path / "directory.toml").write_text(text.replace("Falkenberg", "Falschenberg"), encoding="utf-8")
    assert trust.load(tmp_path / trust.GENESIS_FILE).names == {}


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another schema": lambda file: file | {"schema": "hansa.proof/2"},
    "another kind": lambda file: file | {"kind": "rumour"},
    "another format": lambda file: file | {"format": "ledger.proof/9"},
    "about nothing": lambda file: file | {"about": ""},
    "about no hex": lambda file: file | {"about": "zz"},
    "about a number": lambda file: file | {"about": 5},
    "no bytes": lambda file: {name: value for name, value in file.items() if name != "bytes"},
    "bytes that are no base64": lambda file: file | {"bytes": "%%%"},
    "bytes in a list": lambda file: file | {"bytes": ["AA=="]},
    "a list": lambda file: [file],
    "a text": lambda file: "proof",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_proof_file_is_refused_as_such(
    name: str, tmp_path: Path, trusted: trust.Trusted, proof: bytes, command: Callable[..., Done]
) -> None:
    file = tmp_path / "value.proof"
    document = trust.proof_document("state", KEY, proof)
    file.write_text(json.dumps(document))
    file.write_text(json.dumps(HOSTILE[name](document)))
    done = command("verify", str(file), "--genesis", str(trusted.path), "-o", "json")
    assert done.code == Exit.REJECTED and not done.out and done.problem()["next"], done.err
    assert str(file) in done.err or "the proof" in done.err, "it is the proof that is refused"


def test_a_genesis_file_whose_contracts_do_not_compile_is_refused_when_they_are_needed(
    tmp_path: Path, trusted: trust.Trusted, proof: bytes, command: Callable[..., Done]
) -> None:
    file = tmp_path / "value.proof"
    file.write_text(json.dumps(trust.proof_document("state", KEY, proof)))
    done = command("verify", str(file), "--genesis", str(trusted.path))
    assert done.code == Exit.REJECTED and "contracts: " in done.err and str(trusted.path) in done.err


def test_a_proof_that_is_labelled_as_another_kind_is_found_out(
    tmp_path: Path, trusted: trust.Trusted, proof: bytes, command: Callable[..., Done]
) -> None:
    file = tmp_path / "value.proof"
    file.write_text(json.dumps(trust.proof_document("receipt", KEY, proof)))
    assert command("verify", str(file), "--genesis", str(trusted.path)).code == Exit.FINDINGS


@pytest.mark.parametrize(
    "content", [{}, {"format": trust.FORMAT}, {"format": trust.FORMAT, "bytes": "*"}, {"format": 5}]
)
def test_what_a_node_sends_instead_of_a_proof_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(CommandFailed) as refused:
        trust.proof_bytes(content)
    assert refused.value.code is Exit.REJECTED
    assert trust.proof_bytes(None) is None
    assert trust.proof_bytes({"format": trust.FORMAT, "bytes": b64encode(b"x").decode()}) == b"x"


# -- contracts by vote: the row is read by what the ledger names


@pytest.fixture(scope="module")
def story() -> Story:
    return Story.told()


def trusting(story: Story, folder: Path) -> trust.Trusted:
    path = folder / trust.GENESIS_FILE
    path.write_bytes(encode(GenesisFile(encode(story.league.document), ())))
    return trust.Trusted(path, story.league.document, story.league.chain, {})


def beside(story: Story) -> list[dict[str, Any]]:
    """Return what a node tells about the versions that votes brought."""
    told = []
    for name, version, source in (("notes", 2, NOTES_TWO), ("late", 5, LATE)):
        proof = b64encode(story.proof(version_key(name, version))).decode()
        told.append({"name": name, "version": version, "source": b64encode(source.encode()).decode(), "proof": proof})
    return told


@pytest.mark.control("L57", "L63")
def test_l63_rows_are_named_and_read_by_the_contracts_that_votes_brought(story: Story, tmp_path: Path) -> None:
    genesis = trusting(story, tmp_path)
    with pytest.raises(CommandFailed, match="no contract late"):
        statekeys.parse_key("late.Note/third", genesis)
    knowing = trust.with_contracts(genesis, {"contracts": beside(story)})
    assert [sorted(step) for step in knowing.accepted] == [["notes"], ["late"]]
    for place, words, more in (("notes.Note/first", "first", {"size": 5}), ("notes.Note/second", "second", {"size": 6}),
                               ("late.Note/third", "third", {})):  # fmt: skip
        key = statekeys.parse_key(place, knowing)
        value = proven_value(trust.check(knowing, story.proof(key), key).proof)
        assert value is not None
        what, content = statekeys.read_value(key, value, knowing)
        assert what == place.partition("/")[0] and content["words"] == words
        assert content.items() >= more.items(), "a row of version 1 is lifted"
    key = statekeys.parse_key("notes.Note/second", knowing)
    value = proven_value(trust.check(genesis, story.proof(key), key).proof)
    with pytest.raises(CommandFailed, match="no version of notes known here reads it") as refused:
        statekeys.read_value(key, value or b"", genesis)
    assert refused.value.code is Exit.FINDINGS and "hansa state get" in refused.value.next_step


@pytest.mark.control("L57")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": b64encode(NOTES.encode()).decode()}, "is not what the ledger names"),
        ({"version": 3}, "does not hold"),
        ({"name": "other"}, "does not hold"),
        ({"proof": "AAAA"}, "does not hold"),
        ({"proof": ""}, "does not hold"),
        ({"proof": "!"}, "malformed"),
        ({"source": 7}, "malformed"),
        ({"version": -1}, "malformed"),
        ({"version": None}, "malformed"),
        ({"epochs": 7}, "malformed"),
    ],
)
def test_l57_a_source_that_the_ledger_does_not_name_is_refused(
    change: dict[str, Any], words: str, story: Story, tmp_path: Path
) -> None:
    first, second = beside(story)
    with pytest.raises(CommandFailed, match=words):
        trust.with_contracts(trusting(story, tmp_path), {"contracts": [first | change, second]})


def test_a_proof_of_absence_stands_for_no_contract(story: Story, tmp_path: Path) -> None:
    proof = b64encode(story.proof(version_key("notes", 3))).decode()
    told = {"name": "notes", "version": 3, "source": b64encode(NOTES_TWO.encode()).decode(), "proof": proof}
    with pytest.raises(CommandFailed, match="version 3 of contract notes is not what the ledger names"):
        trust.with_contracts(trusting(story, tmp_path), {"contracts": [told]})
    made = trust.proof_document("state", KEY, b"proof", (), [told])
    assert made["contracts"] == [told] and "contracts" not in trust.proof_document("state", KEY, b"proof")


@pytest.mark.parametrize("beside", [5, True, 1.5, None, "notes", {"name": "notes"}, [5], [None]])
def test_contracts_beside_a_proof_that_are_no_list_are_refused(beside: Any, story: Story, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="the contracts beside the proof are malformed"):
        trust.with_contracts(trusting(story, tmp_path), {"contracts": beside})
